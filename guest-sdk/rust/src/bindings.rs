//! The contract's types and calls as Rust, generated from the worlds in `wit/`.
#![expect(missing_docs, reason = "generated from WIT, whose comments stand for documentation")]

pub mod plain {
    //! The world of plain sinks.
    wit_bindgen::generate!({
        world: "sump:rust-sdk/sink-component",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_sink",
        default_bindings_module: "sump_sdk::bindings::plain",
    });
}

pub mod overlapping {
    //! The world of async sinks; what it shares with the plain one is the same type.
    wit_bindgen::generate!({
        world: "sump:rust-sdk/async-sink-component",
        generate_all,
        with: {
            "sump:sink/events@0.1.0": super::plain::sump::sink::events,
            "sump:sink/writing@0.1.0": super::plain::sump::sink::writing,
        },
        pub_export_macro: true,
        export_macro_name: "__export_async_sink",
        default_bindings_module: "sump_sdk::bindings::overlapping",
    });
}

pub mod encoding {
    //! The world of encoders; what it shares with the plain one is the same type.
    wit_bindgen::generate!({
        world: "sump:rust-sdk/encoder-component",
        generate_all,
        with: { "sump:sink/events@0.1.0": super::plain::sump::sink::events },
        pub_export_macro: true,
        export_macro_name: "__export_encoder",
        default_bindings_module: "sump_sdk::bindings::encoding",
    });
}
