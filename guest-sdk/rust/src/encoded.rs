//! Values that an encoder makes, column by column.
use std::io;

use crate::bindings::encoding::exports::sump::sink::encoder;
use crate::bindings::plain::sump::sink::events;
use crate::error::Error;
use crate::report::Report;

/// The values of one batch. Payloads, keys and headers grow in one buffer each: nothing is allocated for a single value.
#[derive(Debug)]
#[must_use = "what was made is what an encoder returns"]
pub struct Encoded {
    payload: Column,
    key: Column,
    keyed: bool,
    names: Column,
    values: Column,
    pairs: Vec<u32>,
    sources: Vec<u32>,
    source_offsets: Vec<u32>,
    refused: Report,
    any_refused: bool,
}

/// A column of byte strings that grows.
#[derive(Debug)]
struct Column {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    /// A bit for each entry, from the first one that is null on.
    validity: Option<Vec<u8>>,
}

impl Column {
    fn with_capacity(entries: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(entries + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(bytes), validity: None }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Ends an entry, which is what was added to the bytes since the last one.
    fn end(&mut self, valid: bool) {
        let entry = self.len();
        self.offsets.push(narrow(self.bytes.len()));
        if !valid && self.validity.is_none() {
            let mut bits = vec![0xff; entry / 8];
            bits.push((1 << (entry % 8)) - 1);
            self.validity = Some(bits);
        } else if let Some(bits) = &mut self.validity {
            if entry.is_multiple_of(8) {
                bits.push(0);
            }
            if let Some(last) = bits.last_mut() {
                *last |= u8::from(valid) << (entry % 8);
            }
        }
    }

    fn push(&mut self, entry: Option<&[u8]>) {
        self.bytes.extend_from_slice(entry.unwrap_or_default());
        self.end(entry.is_some());
    }

    /// Forgets all entries from this one on.
    fn truncate(&mut self, entries: usize) {
        self.offsets.truncate(entries + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
        if let Some(bits) = &mut self.validity {
            bits.truncate(entries.div_ceil(8));
            if !entries.is_multiple_of(8)
                && let Some(last) = bits.last_mut()
            {
                *last &= (1 << (entries % 8)) - 1;
            }
        }
    }

    #[cfg(not(target_family = "wasm"))]
    fn get(&self, entry: usize) -> Option<&[u8]> {
        let valid = self.validity.as_ref().is_none_or(|bits| bits[entry / 8] >> (entry % 8) & 1 == 1);
        valid.then(|| &self.bytes[self.offsets[entry] as usize..self.offsets[entry + 1] as usize])
    }
}

impl From<Column> for events::Column {
    fn from(column: Column) -> Self {
        Self { offsets: column.offsets, bytes: column.bytes, validity: column.validity }
    }
}

impl Encoded {
    /// Nothing yet, with room for one value of each of so many events.
    pub(crate) fn new(events: usize, bytes: usize) -> Self {
        let with_zero = |entries: usize| {
            let mut offsets = Vec::with_capacity(entries + 1);
            offsets.push(0);
            offsets
        };
        Self {
            payload: Column::with_capacity(events, bytes),
            key: Column::with_capacity(0, 0),
            keyed: false,
            names: Column::with_capacity(0, 0),
            values: Column::with_capacity(0, 0),
            pairs: with_zero(0),
            sources: Vec::with_capacity(events),
            source_offsets: with_zero(events),
            refused: Report::written(),
            any_refused: false,
        }
    }

    /// Adds a value that was made of these events, by index. Its payload is empty, until something is written to it.
    pub fn value(&mut self, events: &[usize]) -> Value<'_> {
        self.sources.extend(events.iter().map(|index| narrow(*index)));
        self.begin()
    }

    /// Nothing can be made of event `index`: it becomes a dead letter. No value may name it.
    pub fn refuse(&mut self, index: usize, error: impl Into<Error>) {
        self.any_refused = true;
        self.refused.refuse(index, error);
    }

    fn begin(&mut self) -> Value<'_> {
        self.source_offsets.push(narrow(self.sources.len()));
        Value { payload: true, key: false, of: self }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all values from this one on.
    pub(crate) fn truncate(&mut self, values: usize) {
        self.payload.truncate(values);
        if self.keyed {
            self.key.truncate(values);
        }
        self.pairs.truncate(values + 1);
        let pairs = self.pairs.last().map_or(0, |end| *end as usize);
        self.names.truncate(pairs);
        self.values.truncate(pairs);
        self.source_offsets.truncate(values + 1);
        self.sources.truncate(self.source_offsets.last().map_or(0, |end| *end as usize));
    }

    /// The payload of a value; `None` is a tombstone.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn payload_of(&self, value: usize) -> Option<&[u8]> {
        self.payload.get(value)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn key_of(&self, value: usize) -> Option<&[u8]> {
        if self.keyed { self.key.get(value) } else { None }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn headers_of(&self, value: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let pairs = self.pairs[value] as usize..self.pairs[value + 1] as usize;
        pairs.map(|pair| (self.names.get(pair).unwrap_or_default(), self.values.get(pair)))
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn events_of(&self, value: usize) -> &[u32] {
        &self.sources[self.source_offsets[value] as usize..self.source_offsets[value + 1] as usize]
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn refused(&self) -> &Report {
        &self.refused
    }

    /// As the contract has it, made of a batch of so many events.
    pub(crate) fn into_wit(self, events: usize) -> encoder::Encoded {
        let one_to_one = !self.any_refused
            && self.len() == events
            && self.sources.len() == events
            && self.sources.iter().zip(0..).all(|(source, value)| *source == value);
        let sources = encoder::Sources { offsets: self.source_offsets, events: self.sources };
        let headers = (self.names.len() > 0).then(|| events::Headers {
            offsets: self.pairs,
            names: self.names.into(),
            values: self.values.into(),
        });
        encoder::Encoded {
            payload: self.payload.into(),
            key: self.keyed.then(|| self.key.into()),
            timestamps: None,
            headers,
            sources: (!one_to_one).then_some(sources),
            refused: self.refused.into_refusals(),
        }
    }
}

/// Values that are made of one event.
#[derive(Debug)]
pub struct Values<'a> {
    encoded: &'a mut Encoded,
    event: usize,
}

impl<'a> Values<'a> {
    pub(crate) fn new(encoded: &'a mut Encoded, event: usize) -> Self {
        Self { encoded, event }
    }

    /// Adds a value.
    pub fn push(&mut self, payload: impl AsRef<[u8]>) -> Value<'_> {
        let mut value = self.empty();
        value.payload().extend_from_slice(payload.as_ref());
        value
    }

    /// Adds a value whose payload is written in place: see [`Value::payload`].
    pub fn empty(&mut self) -> Value<'_> {
        self.encoded.value(&[self.event])
    }

    /// Adds a Kafka tombstone, which has a key and no payload.
    pub fn tombstone(&mut self, key: impl AsRef<[u8]>) -> Value<'_> {
        self.empty().without_payload().key(key)
    }
}

/// A value that is being made. It is complete when it is dropped. As [`io::Write`] it adds to the payload.
#[derive(Debug)]
pub struct Value<'a> {
    of: &'a mut Encoded,
    payload: bool,
    key: bool,
}

impl Value<'_> {
    /// The bytes of its payload go to the end of this. What is before belongs to other values.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.of.payload.bytes
    }

    /// A Kafka tombstone.
    pub fn without_payload(mut self) -> Self {
        self.payload = false;
        self
    }

    /// Gives it a key. Only the first counts.
    #[expect(clippy::return_self_not_must_use, reason = "a value is complete by itself")]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        if !self.key {
            if !self.of.keyed {
                self.of.keyed = true;
                (0..self.of.payload.len()).for_each(|_| self.of.key.push(None));
            }
            self.of.key.push(Some(key.as_ref()));
            self.key = true;
        }
        self
    }

    /// Adds a header.
    #[expect(clippy::return_self_not_must_use, reason = "a value is complete by itself")]
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.of.names.push(Some(name.as_ref()));
        self.of.values.push(Some(value.as_ref()));
        self
    }
}

impl io::Write for Value<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.payload().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        let begun = self.of.payload.offsets.last().map_or(0, |end| *end as usize);
        if !self.payload {
            self.of.payload.bytes.truncate(begun);
        }
        self.of.payload.end(self.payload);
        if self.of.keyed && !self.key {
            self.of.key.push(None);
        }
        self.of.pairs.push(narrow(self.of.names.len()));
    }
}

// Offsets of columns are `u32`; the runtime refuses a column whose last is not its length.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_contract() {
        let mut encoded = Encoded::new(3, 0);
        Values::new(&mut encoded, 0).push("a").header("h", "1");
        Values::new(&mut encoded, 2).tombstone("k");
        Values::new(&mut encoded, 2).push("bc").key("l").header("i", "2").header("j", "3");
        encoded.refuse(1, Error::rejected("bad", ""));
        let wit = encoded.into_wit(3);
        assert_eq!((wit.payload.offsets, wit.payload.bytes), (vec![0, 1, 1, 3], b"abc".to_vec()));
        assert_eq!(wit.payload.validity, Some(vec![0b101]));
        let key = wit.key.unwrap();
        assert_eq!((key.offsets, key.bytes, key.validity), (vec![0, 0, 1, 2], b"kl".to_vec(), Some(vec![0b110])));
        let headers = wit.headers.unwrap();
        assert_eq!((headers.offsets, headers.names.bytes), (vec![0, 1, 1, 3], b"hij".to_vec()));
        let sources = wit.sources.unwrap();
        assert_eq!((sources.offsets, sources.events), (vec![0, 1, 2, 3], vec![0, 2, 2]));
        assert_eq!(wit.refused[0].events, [1]);
    }

    #[test]
    fn one_value_of_each_event_needs_no_sources() {
        let mut encoded = Encoded::new(20, 0);
        (0..20).for_each(|event| drop(Values::new(&mut encoded, event).push("x")));
        let wit = encoded.into_wit(20);
        assert!(wit.sources.is_none() && wit.key.is_none() && wit.headers.is_none() && wit.payload.validity.is_none());
    }

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let mut encoded = Encoded::new(2, 0);
        for event in 0..10 {
            Values::new(&mut encoded, event).push("x").key("k");
        }
        Values::new(&mut encoded, 10).tombstone("gone").header("h", "v");
        encoded.truncate(10);
        Values::new(&mut encoded, 11).push("y");
        let wit = encoded.into_wit(12);
        assert_eq!((wit.payload.bytes, wit.payload.validity), (b"xxxxxxxxxxy".to_vec(), Some(vec![0xff, 0b111])));
        let key = wit.key.unwrap();
        assert_eq!((key.bytes, key.validity), (vec![b'k'; 10], Some(vec![0xff, 0b011])));
        assert!(wit.headers.is_none());
    }
}
