//! Batches and contexts as the worlds of the 0.1 contract take them.

use crate::wasm::columns::{Column, Columns, Pairs};

/// Makes the conversion for a world whose calls borrow: each has types of its own, with the same fields.
macro_rules! borrowed {
    ($module:ident, $events:path, $batch:ident, $column:ident, $headers:ident) => {
        pub(in crate::wasm) mod $module {
            use $events as events;

            use super::{Column, Columns, Pairs};
            use crate::batch::Run;

            pub(in crate::wasm) fn runs(runs: &[Run], into: &mut Vec<events::Run>) {
                into.clear();
                into.extend(runs.iter().map(|run| events::Run { start: run.start, partition: run.partition }));
            }

            pub(in crate::wasm) fn batch<'a>(columns: &'a Columns<'a>, runs: &'a [events::Run]) -> events::$batch<'a> {
                events::$batch {
                    payload: column(columns.payload),
                    key: columns.key.map(column),
                    timestamps: columns.timestamps,
                    headers: columns.headers.map(headers),
                    origin: events::Origin { partitions: &columns.partitions, runs, positions: columns.positions },
                }
            }

            fn column(column: Column) -> events::$column {
                events::$column { offsets: column.offsets, bytes: column.bytes, validity: column.validity }
            }

            fn headers(pairs: Pairs) -> events::$headers {
                events::$headers { offsets: pairs.offsets, names: column(pairs.names), values: column(pairs.values) }
            }
        }
    };
}

borrowed!(plain, crate::wasm::v0_1::plain::sump::sink::events, Batch, Column, Headers);
borrowed!(encoder, crate::wasm::v0_1::encoder::sump::sink::events, Batch, ColumnParam, HeadersParam);

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
