//! What all encoders share.

use futures_util::FutureExt;

use super::*;
use crate::batch::{BatchBuilder, Event, Partition};

/// Events with these payloads, and keys `k0`, `k1` and so on.
pub(super) fn events(payloads: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (position, payload) in (0..).zip(payloads) {
        let key = format!("k{position}");
        let event =
            Event { payload: Some(payload.as_bytes()), key: Some(key.as_bytes()), position, ..Event::default() };
        builder.push(&Partition::from("p"), event);
    }
    builder.finish().unwrap()
}

/// What an encoder that never waits makes of events, and which it refuses.
pub(super) fn encode(encoder: &dyn Encoder, events: &Batch) -> (Batch, Vec<Refusal>) {
    let mut encode = encoder.open().now_or_never().unwrap().unwrap();
    let encoded = encode.encode(events).now_or_never().unwrap().unwrap();
    let refused = encoded.refused().to_vec();
    let all = refused.iter().fold(RowSet::default(), |all, refusal| all.union(&refusal.rows));
    let left = events.select(&all.complement(events.len())).unwrap();
    (encoded.into_values(&left, true).unwrap(), refused)
}

pub(super) fn payloads(values: &Batch) -> Vec<String> {
    (0..values.len()).map(|row| String::from_utf8(values.payload().value(row).to_vec()).unwrap()).collect()
}

fn values(count: usize) -> Values {
    let payload = BinaryArray::from_iter_values(vec!["v"; count]);
    Values { payload, key: None, timestamps: None, headers: None }
}

fn refusal(rows: &[u32]) -> Refusal {
    Refusal { rows: RowSet::from_rows(rows.to_vec()), failure: Failure::rejected("no", "") }
}

#[test]
fn a_template_is_filled_from_each_event_and_what_lacks_something_is_refused() {
    let settings = template::Settings { template: "{key}={event:/a}".parse().unwrap(), content_type: None };
    let events = events(&[r#"{"a":1}"#, "{}", r#"{"a":"x"}"#]);
    let (values, refused) = encode(&template::Template::new(&settings), &events);
    assert_eq!(payloads(&values), ["k0=1", "k2=x"]);
    assert_eq!((values.key().unwrap().value(1), values.origin().positions()), (&b"k2"[..], &[0, 2][..]));
    assert_eq!(values.unencoded().value(1), br#"{"a":"x"}"#);
    assert_eq!(refused.iter().map(|refusal| refusal.rows.clone()).collect::<Vec<_>>(), [RowSet::range(1..2)]);
}

#[test]
fn what_an_encoder_says_is_checked() {
    let sources =
        |offsets: &[u32], events: &[u32]| Some(Sources { offsets: offsets.to_vec(), events: events.to_vec() });
    let bad = |count, sources, refused| Encoded::new(3, values(count), sources, refused).unwrap_err();
    assert!(matches!(bad(2, None, vec![]), BadEncoding::Uneven { column: "values", found: 2, values: 3 }));
    assert!(matches!(bad(3, None, vec![refusal(&[1])]), BadEncoding::Uneven { .. }));
    assert_eq!(bad(2, None, vec![refusal(&[3])]), BadEncoding::NoSuchEvent { event: 3, events: 3 });
    assert_eq!(bad(1, None, vec![refusal(&[0]), refusal(&[0, 1])]), BadEncoding::NamedTwice(0));
    assert!(matches!(bad(2, sources(&[0, 1], &[0]), vec![]), BadEncoding::Uneven { .. }));
    for (offsets, events) in [(&[0, 2, 1][..], &[0][..]), (&[1, 1, 1], &[0]), (&[0, 1, 3], &[0, 1])] {
        assert!(matches!(bad(2, sources(offsets, events), vec![]), BadEncoding::Offsets { .. }), "{offsets:?}");
    }
    assert_eq!(bad(2, sources(&[0, 0, 1], &[0]), vec![]), BadEncoding::NoSource(0));
    assert_eq!(bad(1, sources(&[0, 1], &[3]), vec![]), BadEncoding::NoSuchEvent { event: 3, events: 3 });
    assert_eq!(bad(1, sources(&[0, 1], &[2]), vec![refusal(&[2])]), BadEncoding::NamedTwice(2));
    assert!(Encoded::new(3, values(2), sources(&[0, 1, 3], &[2, 0, 2]), vec![refusal(&[1])]).is_ok());
}
