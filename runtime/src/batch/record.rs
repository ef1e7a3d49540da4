//! A batch as a record batch of Arrow, and back: how events are written down.
//!
//! Columns: `payload` (binary), `timestamp` (milliseconds), `position` (unsigned, 64 bits), and where any event has some
//! `key` (binary) and `headers` (list of `name` and `value`). The partitions are in the metadata of the schema, key
//! [`PARTITIONS`]: one `ROW NAME` a line, each holding from that row on.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{ArrowError, Field, Schema};

use super::{Batch, Headers, Origin, Partition, Run, same_type};

/// The key in the metadata of the schema that tells the partitions.
const PARTITIONS: &str = "sump.partitions";

impl Batch {
    /// The same events, sharing the columns.
    ///
    /// Fails only where the columns contradict each other, which a batch rules out.
    pub fn to_record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("payload", Arc::new(self.payload.clone())),
            ("timestamp", Arc::new(self.timestamps.clone())),
            ("position", Arc::new(self.origin.position_array().clone())),
        ];
        if let Some(key) = &self.key {
            columns.push(("key", Arc::new(key.clone())));
        }
        if let Some(headers) = &self.headers {
            columns.push(("headers", Arc::new(headers.list().clone())));
        }
        let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().map(field).collect();
        let mut partitions = String::new();
        for (rows, partition) in self.origin.spans() {
            let name = &self.origin.partitions()[partition as usize];
            writeln!(partitions, "{} {}", rows.start, name.as_str().escape_default())
                .map_err(|error| ArrowError::SchemaError(error.to_string()))?;
        }
        let metadata = HashMap::from([(PARTITIONS.to_owned(), partitions)]);
        let schema = Schema::new_with_metadata(fields, metadata);
        RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
    }

    /// What [`to_record_batch`](Self::to_record_batch) made.
    ///
    /// Fails where a column is missing or of another type, or the partitions don't fit the events.
    pub fn from_record_batch(record: &RecordBatch) -> Result<Batch, ArrowError> {
        let positions = same_type(column(record, "position")?)?;
        let schema = record.schema();
        let written = schema.metadata().get(PARTITIONS).map_or("", String::as_str);
        let (mut partitions, mut runs): (Vec<Partition>, Vec<Run>) = (Vec::new(), Vec::new());
        for line in written.lines() {
            let (start, name) = line.split_once(' ').ok_or_else(|| bad_partition(line))?;
            let start = start.parse().map_err(|_| bad_partition(line))?;
            let name = unescaped(name).ok_or_else(|| bad_partition(line))?;
            let known = partitions.iter().position(|known| known.as_str() == name);
            let partition = known.unwrap_or_else(|| {
                partitions.push(Partition::new(name));
                partitions.len() - 1
            });
            runs.push(Run { start, partition: partition as u32 });
        }
        let origin = Origin::new(partitions, runs, positions)?;
        let payload: BinaryArray = same_type(column(record, "payload")?)?;
        let timestamps: TimestampMillisecondArray = same_type(column(record, "timestamp")?)?;
        let optional = |name: &str| record.column_by_name(name);
        let key = optional("key").map(|key| same_type(key.as_ref())).transpose()?;
        let headers =
            optional("headers").map(|list| same_type(list.as_ref()).and_then(Headers::from_list)).transpose()?;
        let uneven = |error: super::Uneven| ArrowError::InvalidArgumentError(error.to_string());
        let batch = Batch::new(payload, timestamps, origin).map_err(uneven)?;
        batch.with_key(key).and_then(|batch| batch.with_headers(headers)).map_err(uneven)
    }
}

fn column<'a>(record: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, ArrowError> {
    let found = record.column_by_name(name).map(AsRef::as_ref);
    found.ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))
}

fn bad_partition(line: &str) -> ArrowError {
    ArrowError::SchemaError(format!("`{line}` is not a row and a partition"))
}

/// Undoes `escape_default`; names of partitions come from paths, and may hold anything.
fn unescaped(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.push(next);
            continue;
        }
        match rest.next()? {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let digits: String = rest.by_ref().skip(1).take_while(|digit| *digit != '}').collect();
                text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
            }
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event};

    #[test]
    fn a_batch_comes_back_with_all_that_it_has() {
        let mut builder = BatchBuilder::new();
        let partitions = ["a@1", "odd\n\\ \"ü\"@2"].map(Partition::from);
        let headers: &[(&[u8], &[u8])] = &[(b"h", b"v"), (b"i", b"w")];
        for position in 0..6 {
            let event = Event {
                payload: (position != 2).then_some(b"payload"),
                key: (position == 3).then_some(b"key"),
                timestamp: position as i64 * 7,
                headers: if position == 4 { headers } else { &[] },
                position: position * 10,
            };
            builder.push(&partitions[position as usize / 4], event);
        }
        let batch = builder.finish().unwrap().slice(1..6);
        let back = Batch::from_record_batch(&batch.to_record_batch().unwrap()).unwrap();
        assert_eq!(back.payload(), batch.payload());
        assert_eq!(back.key(), batch.key());
        assert_eq!(back.timestamps(), batch.timestamps());
        assert_eq!(back.origin().positions(), [10, 20, 30, 40, 50]);
        for row in 0..5 {
            assert_eq!(back.origin().partition_of(row), batch.origin().partition_of(row));
            let of = |batch: &Batch| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
                let pairs = batch.headers().unwrap().of(row);
                pairs.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
            };
            assert_eq!(of(&back), of(&batch));
        }
    }

    #[test]
    fn columns_that_are_not_ours_are_an_error() {
        let record = Batch::default().to_record_batch().unwrap();
        assert!(Batch::from_record_batch(&record).unwrap().is_empty());
        assert!(Batch::from_record_batch(&record.project(&[0, 1]).unwrap()).is_err());
    }
}
