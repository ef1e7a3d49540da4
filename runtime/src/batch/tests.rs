//! Slicing, selecting and merging give the events that they should, with all that belongs to them.

use proptest::prelude::*;

use super::*;

/// What an event is, as plain values.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    partition: String,
    position: u64,
    timestamp: i64,
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..5)
}

fn events() -> impl Strategy<Value = Vec<Plain>> {
    let headers = || proptest::collection::vec((bytes(), bytes()), 0..3);
    // Some batches have neither keys nor headers, so that columns are there and absent.
    let rich = any::<(bool, bool)>();
    let event =
        ("[ab]", any::<u64>(), any::<i64>(), proptest::option::of(bytes()), proptest::option::of(bytes()), headers());
    (rich, proptest::collection::vec(event, 0..12)).prop_map(|((keys, headed), events)| {
        let plain = |(partition, position, timestamp, payload, key, headers)| Plain {
            partition,
            position,
            timestamp,
            payload,
            key: if keys { key } else { None },
            headers: if headed { headers } else { Vec::new() },
        };
        events.into_iter().map(plain).collect()
    })
}

fn batch(events: &[Plain]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        let headers: Vec<(&[u8], &[u8])> = event.headers.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        builder.push(
            &Partition::from(event.partition.as_str()),
            Event {
                payload: event.payload.as_deref(),
                key: event.key.as_deref(),
                timestamp: event.timestamp,
                headers: &headers,
                position: event.position,
            },
        );
    }
    builder.finish().unwrap()
}

fn plain(batch: &Batch) -> Vec<Plain> {
    let value = |column: &BinaryArray, row| column.is_valid(row).then(|| column.value(row).to_vec());
    let pair = |(name, value): (&[u8], Option<&[u8]>)| (name.to_vec(), value.unwrap_or_default().to_vec());
    (0..batch.len())
        .map(|row| Plain {
            partition: batch.origin().partition_of(row).to_string(),
            position: batch.origin().positions()[row],
            timestamp: batch.timestamps()[row],
            payload: value(batch.payload(), row),
            key: batch.key().and_then(|key| value(key, row)),
            headers: batch.headers().map(|headers| headers.of(row).map(pair).collect()).unwrap_or_default(),
        })
        .collect()
}

proptest! {
    #[test]
    fn columns_keep_what_belongs_to_an_event_together(
        parts in proptest::collection::vec(events(), 1..4),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        mask in proptest::collection::vec(any::<bool>(), 48),
    ) {
        let all: Vec<Plain> = parts.concat();
        let whole = Batch::concat(&parts.iter().map(|part| batch(part)).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(plain(&whole), all.clone());

        let (a, b) = (cut.0.index(all.len() + 1), cut.1.index(all.len() + 1));
        let range = a.min(b)..a.max(b);
        let slice = whole.slice(range.clone());
        prop_assert_eq!(plain(&slice), all[range.clone()].to_vec());
        prop_assert_eq!(slice.bytes(), whole.bytes_in(range.clone()));

        let rows: RowSet = (0..slice.len() as u32).filter(|row| mask[*row as usize]).collect();
        let selected: Vec<Plain> = rows.iter().map(|row| all[range.start + row as usize].clone()).collect();
        prop_assert_eq!(plain(&slice.select(&rows).unwrap()), selected);
    }

    #[test]
    fn as_many_events_as_fit(events in events(), bytes in 0..400usize) {
        let batch = batch(&events);
        let fits = batch.rows_within(bytes);
        prop_assert!(batch.bytes_in(0..fits) <= bytes);
        prop_assert!(fits == batch.len() || batch.bytes_in(0..fits + 1) > bytes);
    }
}

#[test]
fn a_slice_is_charged_for_its_own_events_and_few_events_do_not_keep_many() {
    let events: Vec<Plain> = (0..1000)
        .map(|position| Plain {
            partition: "a".into(),
            position,
            timestamp: 0,
            payload: Some(vec![b'x'; 80]),
            key: None,
            headers: Vec::new(),
        })
        .collect();
    let batch = batch(&events);
    assert_eq!(batch.slice(0..10).bytes(), 10 * (80 + BYTES_A_ROW));
    let shared = batch.select(&RowSet::range(0..500)).unwrap();
    assert!(std::ptr::eq(shared.payload().value_data(), batch.payload().value_data()));
    let few = batch.select(&RowSet::range(0..10)).unwrap();
    assert!(few.payload().value_data().len() == 800, "copied out");
}

#[test]
fn a_small_part_lets_go_of_the_whole_and_stays_what_it_is() {
    let mut builder = BatchBuilder::new();
    for position in 0..100 {
        let event = Event { payload: Some(&[b'x'; 100]), key: Some(b"key"), position, ..Event::default() };
        builder.push(&Partition::from("a"), event);
    }
    let whole = builder.finish().unwrap();
    for rows in [7..8, 50..80] {
        let part = whole.slice(rows.clone());
        let compact = part.compact().unwrap();
        assert_eq!(plain(&compact), plain(&part));
        assert_eq!(compact.payload().values().len(), 100 * rows.len());
    }
    let most = whole.slice(0..60);
    assert_eq!(most.compact().unwrap().payload().values().as_ptr(), whole.payload().values().as_ptr());
}
