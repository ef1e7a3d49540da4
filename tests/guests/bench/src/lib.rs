//! A sink that reads what it is given, as its configuration says, and writes nothing.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated bindings")]

use std::cell::Cell;
use std::hint::black_box;

use memchr::memmem::Finder;

wit_bindgen::generate!({ path: "../../../wit", world: "sink-component" });

use exports::sump::sink::sink::{Batch, Context, Description, Failure, Guest, Opening, Report};
use sump::sink::events::Column;

struct Component;

export!(Component);

thread_local! {
    static SEARCH: Cell<bool> = const { Cell::new(false) };
}

impl Guest for Component {
    fn describe() -> Description {
        Description {
            name: "guest-bench".into(),
            version: "0.1.0".into(),
            config_schema: None,
            max_events: None,
            max_bytes: None,
            stops_in_order: true,
            content_type: None,
        }
    }

    fn open(opening: Opening) -> Result<(), Failure> {
        SEARCH.set(opening.config.contains("search"));
        Ok(())
    }

    fn write(batch: Batch, _: Context) -> Result<Report, Failure> {
        if SEARCH.get() {
            black_box(search(&batch.payload));
        } else {
            let mut sum = first_bytes(&batch.payload);
            if let Some(headers) = &batch.headers {
                sum += headers.offsets.iter().map(|offset| u64::from(*offset)).sum::<u64>();
                sum += first_bytes(&headers.names) + first_bytes(&headers.values);
            }
            black_box(sum);
        }
        Ok(Report { refused: Vec::new(), stopped_at: None })
    }

    fn close() -> Result<(), Failure> {
        Ok(())
    }
}

/// The first byte of every value.
fn first_bytes(column: &Column) -> u64 {
    let bytes = &column.bytes[..];
    column
        .offsets
        .windows(2)
        .map(|pair| bytes[pair[0] as usize..pair[1] as usize].first().map_or(0, |b| u64::from(*b)))
        .sum()
}

/// How many values have a text in them that none has: one pass over all of them, and a look at the offsets for what is
/// found.
fn search(column: &Column) -> usize {
    const NEEDLE: &[u8] = b"\"needle\"";
    let ends = &column.offsets[1..];
    let within = |at: &usize| {
        let row = ends.partition_point(|end| *end as usize <= *at);
        at + NEEDLE.len() <= ends[row] as usize
    };
    Finder::new(NEEDLE).find_iter(&column.bytes).filter(within).count()
}
