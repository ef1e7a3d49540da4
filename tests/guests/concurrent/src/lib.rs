//! An async sink in which each write does what its first payload says.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated bindings, and a guest that misbehaves")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

wit_bindgen::generate!({ path: "../../../wit", world: "async-sink-component" });

mod names {
    //! As much of WASI 0.3 as looks names up.
    wit_bindgen::generate!({
        inline: "
            package wasi:sockets@0.3.0;
            interface types {
                type ipv4-address = tuple<u8, u8, u8, u8>;
                type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;
                variant ip-address { ipv4(ipv4-address), ipv6(ipv6-address) }
            }
            interface ip-name-lookup {
                use types.{ip-address};
                variant error-code {
                    access-denied,
                    invalid-argument,
                    name-unresolvable,
                    temporary-resolver-failure,
                    permanent-resolver-failure,
                    other(option<string>),
                }
                resolve-addresses: async func(name: string) -> result<list<ip-address>, error-code>;
            }
            world looks-up { import ip-name-lookup; }
        ",
    });
    pub use wasi::sockets::ip_name_lookup::resolve_addresses;
}

use exports::sump::sink::async_sink::{Batch, Context, Description, Failure, Guest, Opening, Report};
use sump::sink::events::FailureKind;

struct Component;

export!(Component);

thread_local! {
    static OPENED: RefCell<String> = const { RefCell::new(String::new()) };
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static RELEASED: Cell<bool> = const { Cell::new(false) };
    static IN_FLIGHT: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(0) };
}

fn failure(kind: FailureKind, code: &str, message: String) -> Failure {
    Failure { kind, code: code.into(), message }
}

impl Guest for Component {
    fn describe() -> Description {
        Description {
            name: "guest-concurrent".into(),
            version: "1.2.3".into(),
            config_schema: None,
            max_events: None,
            max_bytes: Some(1 << 20),
            stops_in_order: false,
            content_type: None,
        }
    }

    async fn open(opening: Opening) -> Result<(), Failure> {
        if opening.config.contains("halted") {
            return Err(failure(FailureKind::Halted, "no-table", "create it".into()));
        }
        if opening.config.contains("spin") {
            spin();
        }
        OPENED.set(opening.sink);
        Ok(())
    }

    async fn write(batch: Batch, _: Context) -> Result<Report, Failure> {
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        MOST.set(MOST.get().max(IN_FLIGHT.get()));
        let answer = obey(batch).await;
        IN_FLIGHT.set(IN_FLIGHT.get() - 1);
        answer
    }

    async fn close() -> Result<(), Failure> {
        Ok(())
    }
}

async fn obey(batch: Batch) -> Result<Report, Failure> {
    let bounds = &batch.payload.offsets;
    let first = &batch.payload.bytes[bounds[0] as usize..bounds[1] as usize];
    match first {
        // Until another write says `release`.
        b"wait" => {
            poll_fn(|context| {
                if RELEASED.get() {
                    return Poll::Ready(());
                }
                WAITING.with_borrow_mut(|waiting| waiting.push(context.waker().clone()));
                Poll::Pending
            })
            .await
        }
        b"release" => {
            RELEASED.set(true);
            WAITING.take().into_iter().for_each(Waker::wake);
        }
        b"most" => return Err(failure(FailureKind::Rejected, "most", MOST.get().to_string())),
        b"forever" => std::future::pending().await,
        b"spin" => spin(),
        b"sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        b"trap" => panic!("no"),
        b"lookup" => {
            let found = names::resolve_addresses("localhost".into()).await;
            return Err(failure(FailureKind::Rejected, "lookup", format!("{found:?}")));
        }
        b"transient" => return Err(failure(FailureKind::Transient(None), "busy", "come back".into())),
        _ => {}
    }
    Ok(Report { refused: vec![], stopped_at: None })
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}
