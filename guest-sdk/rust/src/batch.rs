//! Events column by column, as they cross into the sandbox.
use crate::bindings::plain::sump::sink::events;
use crate::event::Event;

/// A batch of events. Its columns are slices of what the runtime handed over; nothing is copied to look at them.
#[derive(Debug)]
pub struct Batch(events::Batch);

impl Batch {
    pub(crate) fn new(batch: events::Batch) -> Self {
        Self(batch)
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.0.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The payloads, one for each event. Null is a Kafka tombstone.
    pub fn payload(&self) -> Column<'_> {
        Column(&self.0.payload)
    }

    /// The keys; `None` when no event has one.
    pub fn key(&self) -> Option<Column<'_>> {
        self.0.key.as_ref().map(Column)
    }

    /// Event times in milliseconds since the Unix epoch.
    pub fn timestamps(&self) -> &[i64] {
        &self.0.timestamps
    }

    /// The headers; `None` when no event has any.
    pub fn headers(&self) -> Option<Headers<'_>> {
        self.0.headers.as_ref().map(Headers)
    }

    /// Position of each event in its partition.
    pub fn positions(&self) -> &[u64] {
        &self.0.origin.positions
    }

    /// The partition that event `index` was read from.
    pub fn partition(&self, index: usize) -> &str {
        let runs = &self.0.origin.runs;
        let next = runs.partition_point(|run| run.start as usize <= index);
        self.run_partition(next.saturating_sub(1))
    }

    /// Runs of consecutive events of one partition: the index of the first, and the partition.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (usize, &str)> {
        let runs = &self.0.origin.runs;
        (0..runs.len()).map(|run| (runs[run].start as usize, self.run_partition(run)))
    }

    /// The events one after the other.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        (0..self.len()).map(|index| Event::new(self, index))
    }

    /// Event `index`, if the batch has as many.
    pub fn event(&self, index: usize) -> Option<Event<'_>> {
        (index < self.len()).then(|| Event::new(self, index))
    }

    fn run_partition(&self, run: usize) -> &str {
        let origin = &self.0.origin;
        let partition = origin.runs.get(run).and_then(|run| origin.partitions.get(run.partition as usize));
        partition.map_or("", String::as_str)
    }
}

/// Byte strings in Arrow's variable-size binary layout.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a>(&'a events::Column);

impl<'a> Column<'a> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.offsets.len().saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `i` is `bytes()[offsets()[i]..offsets()[i + 1]]`.
    pub fn offsets(&self) -> &'a [u32] {
        &self.0.offsets
    }

    /// The bytes of all values.
    pub fn bytes(&self) -> &'a [u8] {
        &self.0.bytes
    }

    /// Arrow validity bitmap, least significant bit first: a 0 bit means null. `None` when nothing is null.
    pub fn validity(&self) -> Option<&'a [u8]> {
        self.0.validity.as_deref()
    }

    /// Whether value `index` is null.
    pub fn is_null(&self, index: usize) -> bool {
        self.validity().is_some_and(|bits| bits[index / 8] & (1 << (index % 8)) == 0)
    }

    /// Value `index`; `None` when it is null or the column is shorter.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        if index >= self.len() || self.is_null(index) {
            return None;
        }
        Some(&self.bytes()[self.0.offsets[index] as usize..self.0.offsets[index + 1] as usize])
    }

    /// The values in order, `None` for null.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        let column = self;
        (0..self.len()).map(move |index| column.get(index))
    }
}

/// The headers of all events.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a>(&'a events::Headers);

impl<'a> Headers<'a> {
    /// The headers of event `i` are entries `offsets()[i]..offsets()[i + 1]` of names and values.
    pub fn offsets(&self) -> &'a [u32] {
        &self.0.offsets
    }

    /// All names.
    pub fn names(&self) -> Column<'a> {
        Column(&self.0.names)
    }

    /// All values; null is a header without a value.
    pub fn values(&self) -> Column<'a> {
        Column(&self.0.values)
    }

    /// The headers of one event: name and value.
    pub fn of(self, event: usize) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let (names, values) = (self.names(), self.values());
        let entries = self.0.offsets[event] as usize..self.0.offsets[event + 1] as usize;
        entries.map(move |entry| (names.get(entry).unwrap_or_default(), values.get(entry)))
    }
}
