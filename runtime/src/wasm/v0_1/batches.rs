//! Batches and contexts as the worlds of the 0.1 contract take them.

use crate::wasm::columns::{Column, Columns, Pairs};

/// For the plain world: borrowed.
pub(in crate::wasm) mod plain {
    use super::{Column, Columns, Pairs};
    use crate::batch::Run;
    use crate::wasm::v0_1::plain::sump::sink::events;

    pub(in crate::wasm) fn runs(runs: &[Run], into: &mut Vec<events::Run>) {
        into.clear();
        into.extend(runs.iter().map(|run| events::Run { start: run.start, partition: run.partition }));
    }

    pub(in crate::wasm) fn batch<'a>(columns: &'a Columns<'a>, runs: &'a [events::Run]) -> events::Batch<'a> {
        events::Batch {
            payload: column(columns.payload),
            key: columns.key.map(column),
            timestamps: columns.timestamps,
            headers: columns.headers.map(headers),
            origin: events::Origin { partitions: &columns.partitions, runs, positions: columns.positions },
        }
    }

    fn column(column: Column) -> events::Column {
        events::Column { offsets: column.offsets, bytes: column.bytes, validity: column.validity }
    }

    fn headers(pairs: Pairs) -> events::Headers {
        events::Headers { offsets: pairs.offsets, names: column(pairs.names), values: column(pairs.values) }
    }
}

/// For the async world, whose calls own what they are given.
pub(in crate::wasm) mod concurrent {
    use super::{Column, Columns, Pairs};
    use crate::wasm::v0_1::concurrent::sump::sink::events;

    pub(in crate::wasm) fn batch(columns: &Columns) -> events::Batch {
        events::Batch {
            payload: column(columns.payload),
            key: columns.key.map(column),
            timestamps: columns.timestamps.to_vec(),
            headers: columns.headers.map(headers),
            origin: events::Origin {
                partitions: columns.partitions.iter().map(|name| (*name).to_owned()).collect(),
                runs: columns
                    .runs
                    .iter()
                    .map(|run| events::Run { start: run.start, partition: run.partition })
                    .collect(),
                positions: columns.positions.to_vec(),
            },
        }
    }

    fn column(column: Column) -> events::Column {
        events::Column {
            offsets: column.offsets.to_vec(),
            bytes: column.bytes.to_vec(),
            validity: column.validity.map(<[u8]>::to_vec),
        }
    }

    fn headers(pairs: Pairs) -> events::Headers {
        events::Headers { offsets: pairs.offsets.to_vec(), names: column(pairs.names), values: column(pairs.values) }
    }
}
