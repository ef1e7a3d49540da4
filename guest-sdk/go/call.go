package sump

import "time"

// Opening says for whom an instance is opened.
type Opening struct {
	Pipeline string
	Sink     string
	// Instance is which of the sink's instances this is, from 0; one that replaces another takes its number over.
	Instance uint32
}

// Call is the circumstances of one write. The context beside it has the deadline: the runtime abandons the call, and
// the instance with it, soon after.
type Call struct {
	Pipeline string
	Sink     string
	// BatchID is the same for every attempt at exactly these events, and for no others: an idempotency key.
	BatchID string
	// Attempt is 1 for the first.
	Attempt uint32
	// Timeout is how long the runtime waits for the call.
	Timeout time.Duration
	// Ordered: order was promised. An [EventSink] keeps it; see [About.StopsInOrder] for others.
	Ordered bool
	// Traceparent is a W3C trace context to pass on, or empty.
	Traceparent string
}
