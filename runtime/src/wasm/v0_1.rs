//! The 0.1 version of the contract: its generated bindings, and what stands between them and the runtime's own types.

pub(super) mod answers;
pub(super) mod batches;

pub(super) mod plain {
    //! Bindings of the plain world; batches are borrowed.
    #![allow(unreachable_pub, missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sink-component",
        ownership: Borrowing { duplicate_if_necessary: false },
        exports: { default: async },
    });
}

pub(super) mod concurrent {
    //! Bindings of the async world; concurrent calls own their arguments.
    #![allow(unreachable_pub, missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "async-sink-component",
        exports: { default: async },
    });
}

pub(super) mod encoder {
    //! Bindings of the encoder's world; batches are borrowed, what it makes is owned.
    #![allow(unreachable_pub, missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "encoder-component",
        ownership: Borrowing { duplicate_if_necessary: true },
        exports: { default: async },
    });
}
