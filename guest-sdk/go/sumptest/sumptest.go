// Package sumptest runs a sink in go test, natively and without the runtime: it builds batches, opens and calls the
// sink that the program registers, and says what became of each event.
//
//	func TestGreets(t *testing.T) {
//		sink := sumptest.Open(t, `{"greeting": "Hello"}`)
//		sink.Write(sumptest.Text("World")).AssertWritten()
//	}
//
// A destination that speaks HTTP is faked as always in Go: by [net/http/httptest].
package sumptest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"sump.example/sump"
)

// Sink is an opened sink, called as the runtime calls it.
type Sink struct {
	t        testing.TB
	instance *sump.Instance
	// Call is what the sink is told at each write.
	Call sump.Call
}

// Open opens the sink that the program registers with a configuration in JSON, and closes it when the test ends. It
// fails the test when the sink does not open.
func Open(t testing.TB, config string) *Sink {
	t.Helper()
	sink, err := TryOpen(t, config)
	if err != nil {
		t.Fatalf("the sink does not open: %v", err)
	}
	return sink
}

// TryOpen opens the sink for a test of how it fails to. The error is a [*sump.Error].
func TryOpen(t testing.TB, config string) (*Sink, error) {
	t.Helper()
	instance, err := sump.Open(t.Context(), []byte(config), sump.Opening{Pipeline: "test", Sink: "sink"})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := instance.Close(); err != nil {
			t.Errorf("the sink does not close: %v", err)
		}
	})
	return &Sink{t, instance, sump.Call{
		Pipeline: "test", Sink: "sink", BatchID: "000102030405060708090a0b0c0d0e0f", Attempt: 1, Timeout: 30 * time.Second,
	}}, nil
}

// Write writes a batch of these events.
func (s *Sink) Write(events ...Event) *Outcome {
	s.t.Helper()
	return s.WriteBatch(Batch(events...))
}

// WriteBatch writes a batch.
func (s *Sink) WriteBatch(batch *sump.Batch) *Outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.Call.Timeout*9/10)
	defer cancel()
	report, err := s.instance.Write(ctx, &s.Call, batch)
	return newOutcome(s.t, batch.Len(), report, err)
}

// Event is an event to be written. What is not set is absent; without an origin it is partition "test/0" and the
// event's index.
type Event struct {
	// Payload is nil for a tombstone.
	Payload []byte
	Key     []byte
	Headers []Header
	Time    time.Time
	Origin  *Origin
}

// Header is a header of an event. Its value may be nil.
type Header struct {
	Name  string
	Value []byte
}

// Origin is where an event was read.
type Origin struct {
	Partition string
	Position  uint64
}

// Text is an event with a payload of text.
func Text(payload string) Event { return Event{Payload: []byte(payload)} }

// JSON is an event with a payload in JSON. It panics when the value has no JSON form.
func JSON(payload any) Event {
	text, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return Event{Payload: text}
}

// Tombstone is an event without a payload.
func Tombstone() Event { return Event{} }

// Batch makes a batch of events.
func Batch(events ...Event) *sump.Batch {
	var payload, key, names, values columnBuilder
	batch, headers := new(sump.Batch), &sump.Headers{Offsets: []uint32{0}}
	for i, event := range events {
		payload.add(event.Payload)
		key.add(event.Key)
		milliseconds := int64(0)
		if !event.Time.IsZero() {
			milliseconds = event.Time.UnixMilli()
		}
		batch.Timestamps = append(batch.Timestamps, milliseconds)
		for _, header := range event.Headers {
			names.add([]byte(header.Name))
			values.add(header.Value)
		}
		headers.Offsets = append(headers.Offsets, uint32(names.values))
		origin := Origin{"test/0", uint64(i)}
		if event.Origin != nil {
			origin = *event.Origin
		}
		addOrigin(batch, i, origin)
	}
	batch.Payload = payload.finish()
	if slices.ContainsFunc(events, func(event Event) bool { return event.Key != nil }) {
		keys := key.finish()
		batch.Key = &keys
	}
	if names.values > 0 {
		headers.Names, headers.Values = names.finish(), values.finish()
		batch.Headers = headers
	}
	return batch
}

func addOrigin(batch *sump.Batch, i int, origin Origin) {
	number := slices.Index(batch.Partitions, origin.Partition)
	if number < 0 {
		number = len(batch.Partitions)
		batch.Partitions = append(batch.Partitions, origin.Partition)
	}
	if n := len(batch.Runs); n == 0 || batch.Runs[n-1].Partition != uint32(number) {
		batch.Runs = append(batch.Runs, sump.Run{Start: uint32(i), Partition: uint32(number)})
	}
	batch.Positions = append(batch.Positions, origin.Position)
}

type columnBuilder struct {
	offsets  []uint32
	bytes    []byte
	validity []byte
	values   int
	nulls    bool
}

func (c *columnBuilder) add(value []byte) {
	if c.values%8 == 0 {
		c.validity = append(c.validity, 0)
	}
	if value == nil {
		c.nulls = true
	} else {
		c.validity[c.values/8] |= 1 << (c.values % 8)
	}
	c.bytes = append(c.bytes, value...)
	c.offsets = append(c.offsets, uint32(len(c.bytes)))
	c.values++
}

func (c *columnBuilder) finish() sump.Column {
	column := sump.Column{Offsets: append([]uint32{0}, c.offsets...), Bytes: c.bytes}
	if column.Bytes == nil {
		column.Bytes = []byte{}
	}
	if c.nulls {
		column.Validity = c.validity
	}
	return column
}

// Outcome is what became of the events of a batch.
type Outcome struct {
	t testing.TB
	// Written are the events that were written, by index.
	Written []int
	// Refused has why each event failed that did.
	Refused map[int]*sump.Error
	// Failure is why the write failed as a whole, or nil.
	Failure *sump.Error
	// StoppedAt is the first event that was not tried, or the number of events.
	StoppedAt int
	events    int
}

// newOutcome reads a report as the runtime does, and fails the test where the runtime would not take it.
func newOutcome(t testing.TB, n int, report *sump.Report, err error) *Outcome {
	t.Helper()
	outcome := &Outcome{t: t, Refused: map[int]*sump.Error{}, StoppedAt: n, events: n}
	if err != nil {
		errors.As(err, &outcome.Failure)
		for i := range n {
			outcome.Refused[i] = outcome.Failure
		}
		return outcome
	}
	if at, stopped := report.StoppedAt(); stopped {
		if at < 0 || at > n {
			t.Fatalf("the report stops at event %d of %d", at, n)
		}
		outcome.StoppedAt = at
	}
	report.Refused(func(failure *sump.Error, events []uint32) {
		for _, event := range events {
			i := int(event)
			if i >= outcome.StoppedAt {
				t.Fatalf("the report refuses event %d of %d, of which %d were tried", i, n, outcome.StoppedAt)
			}
			if outcome.Refused[i] != nil {
				t.Fatalf("the report refuses event %d twice", i)
			}
			outcome.Refused[i] = failure
		}
	})
	for i := range outcome.StoppedAt {
		if outcome.Refused[i] == nil {
			outcome.Written = append(outcome.Written, i)
		}
	}
	return outcome
}

// AssertWritten fails the test unless every event was written.
func (o *Outcome) AssertWritten() {
	o.t.Helper()
	if o.Failure != nil {
		o.t.Fatalf("the write failed: %v", o.Failure)
	}
	for i, failure := range o.Refused {
		o.t.Errorf("event %d was not written: %v", i, failure)
	}
	if o.StoppedAt < o.events {
		o.t.Errorf("events from %d on were not tried", o.StoppedAt)
	}
}

// AssertRefused fails the test unless event i was refused with this kind and code.
func (o *Outcome) AssertRefused(i int, kind sump.Kind, code string) {
	o.t.Helper()
	failure := o.Refused[i]
	if failure == nil {
		o.t.Fatalf("event %d was not refused", i)
	}
	if failure.Kind != kind || failure.Code != code {
		o.t.Errorf("event %d: want %v (%s), got %v", i, kind, code, failure)
	}
}

// AssertFailed fails the test unless the write failed as a whole, with this kind and code.
func (o *Outcome) AssertFailed(kind sump.Kind, code string) {
	o.t.Helper()
	if o.Failure == nil {
		o.t.Fatalf("the write did not fail as a whole")
	}
	if o.Failure.Kind != kind || o.Failure.Code != code {
		o.t.Errorf("want %v (%s), got %v", kind, code, o.Failure)
	}
}
