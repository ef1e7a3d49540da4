package sump

import (
	"iter"
	"sort"
)

// Column is a column of byte strings in Arrow's variable-size binary layout: value i is Bytes[Offsets[i]:Offsets[i+1]].
type Column struct {
	// Offsets has one entry more than the column has values. They ascend from 0.
	Offsets []uint32
	Bytes   []byte
	// Validity is a bitmap, least significant bit first, in which a 0 means null; nil when nothing is.
	Validity []byte
}

// Len is the number of values.
func (c *Column) Len() int {
	return max(len(c.Offsets)-1, 0)
}

// Value is value i without a copy, or nil for null. An empty value is not nil.
func (c *Column) Value(i int) []byte {
	if c.Validity != nil && c.Validity[i/8]>>(i%8)&1 == 0 {
		return nil
	}
	start, end := c.Offsets[i], c.Offsets[i+1]
	// The capacity ends with the value: whoever appends to it must not write over the next one.
	return c.Bytes[start:end:end]
}

// Headers holds the headers of all events: those of event i are the entries Offsets[i] to Offsets[i+1] of both columns.
type Headers struct {
	Offsets []uint32
	Names   Column
	Values  Column
}

// Run says that events from index Start on, up to the next run's start, were read from partition number Partition.
type Run struct {
	Start     uint32
	Partition uint32
}

// Batch is a batch of events, column by column. Its slices stay valid after the call, and must not be changed.
type Batch struct {
	// Payload has one value for each event. Null is a Kafka tombstone.
	Payload Column
	// Key is nil when no event has a key.
	Key *Column
	// Timestamps has one event time for each event, in milliseconds since the Unix epoch.
	Timestamps []int64
	// Headers is nil when no event has headers.
	Headers *Headers
	// Partitions names where events were read; Runs says which event was read where.
	Partitions []string
	Runs       []Run
	// Positions has where in its partition each event was read: a Kafka offset, a byte offset, a running number.
	Positions []uint64
}

// Len is the number of events.
func (b *Batch) Len() int { return b.Payload.Len() }

// Event is event i.
func (b *Batch) Event(i int) Event { return Event{b, i} }

// Events goes through all events in order.
func (b *Batch) Events() iter.Seq2[int, Event] {
	return func(yield func(int, Event) bool) {
		for i := range b.Len() {
			if !yield(i, Event{b, i}) {
				return
			}
		}
	}
}

func (b *Batch) partition(i int) string {
	run := sort.Search(len(b.Runs), func(run int) bool { return int(b.Runs[run].Start) > i }) - 1
	return b.Partitions[b.Runs[run].Partition]
}
