//! Reads events that come as a list of records.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated bindings")]

use memchr::memmem::Finder;

wit_bindgen::generate!({ path: "wit", world: "records" });

use exports::bench::records::sink::{Event, Guest};

struct Component;

export!(Component);

impl Guest for Component {
    fn write(events: Vec<Event>, search: bool) -> u64 {
        let first = |bytes: &[u8]| bytes.first().map_or(0, |byte| u64::from(*byte));
        let payload = |event: &Event| first(event.payload.as_deref().unwrap_or_default());
        if search {
            let finder = Finder::new(b"\"needle\"");
            let found = |event: &&Event| finder.find(event.payload.as_deref().unwrap_or_default()).is_some();
            return events.iter().filter(found).count() as u64;
        }
        let headers = |event: &Event| event.headers.iter().map(|h| first(&h.name) + first(&h.value)).sum::<u64>();
        events.iter().map(|event| payload(event) + headers(event)).sum()
    }
}
