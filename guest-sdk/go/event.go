package sump

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Event is one event of a batch, looked at without copies.
type Event struct {
	batch *Batch
	index int
}

// Index is the event's index in the batch, which a [Report] refers to.
func (e Event) Index() int { return e.index }

// Payload is the payload, or nil for a Kafka tombstone. It must not be changed.
func (e Event) Payload() []byte { return e.batch.Payload.Value(e.index) }

// Bytes is the payload of an event that has to have one. A tombstone is rejected, code "no-payload".
func (e Event) Bytes() ([]byte, error) {
	payload := e.Payload()
	if payload == nil {
		return nil, Rejected("no-payload", "the event has no payload (a tombstone)")
	}
	return payload, nil
}

// Text is the payload as text, without a copy. A tombstone is rejected, code "no-payload"; bytes that are not UTF-8 as
// well, code "not-utf8".
func (e Event) Text() (string, error) {
	payload, err := e.Bytes()
	if err != nil {
		return "", err
	}
	if !utf8.Valid(payload) {
		return "", Rejected("not-utf8", "the payload is not UTF-8")
	}
	return unsafe.String(unsafe.SliceData(payload), len(payload)), nil
}

// JSON decodes the payload into v. A tombstone is rejected, code "no-payload"; so is what is not JSON, code "not-json",
// or does not fit v, code "wrong-shape".
func (e Event) JSON(v any) error {
	payload, err := e.Bytes()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return Rejected("not-json", "%w", err)
		}
		return Rejected("wrong-shape", "%w", err)
	}
	return nil
}

// Key is the key, or nil.
func (e Event) Key() []byte {
	if e.batch.Key == nil {
		return nil
	}
	return e.batch.Key.Value(e.index)
}

// Time is the event time: when it was read, where its source gives none.
func (e Event) Time() time.Time { return time.UnixMilli(e.batch.Timestamps[e.index]).UTC() }

// Headers goes through the names and values of its headers, in order. A value may be nil.
func (e Event) Headers() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		headers := e.batch.Headers
		if headers == nil {
			return
		}
		for i := headers.Offsets[e.index]; i < headers.Offsets[e.index+1]; i++ {
			if !yield(string(headers.Names.Value(int(i))), headers.Values.Value(int(i))) {
				return
			}
		}
	}
}

// Header is the value of the first header of this name, and whether there is one.
func (e Event) Header(name string) ([]byte, bool) {
	for found, value := range e.Headers() {
		if found == name {
			return value, true
		}
	}
	return nil, false
}

// Partition names where it was read: one partition of a Kafka topic, one file.
func (e Event) Partition() string { return e.batch.partition(e.index) }

// Position is where in its partition it was read: an offset, the byte at which a line starts, a running number.
func (e Event) Position() uint64 { return e.batch.Positions[e.index] }

// IdempotencyKey is a key that only this event has in this sink, the same after every retry, replay and restart of a
// source that can be read again. Destinations use it to write each event once.
func (e Event) IdempotencyKey(call *Call) string {
	return fmt.Sprintf("%s/%s/%s/%d", call.Pipeline, call.Sink, e.Partition(), e.Position())
}
