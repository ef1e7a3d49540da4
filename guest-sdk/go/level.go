package sump

import "context"

// eventLevel makes a BatchSink of an EventSink.
type eventLevel struct{ sink EventSink }

func (l *eventLevel) Write(ctx context.Context, call *Call, batch *Batch) (*Report, error) {
	if beginner, ok := l.sink.(Beginner); ok {
		if err := beginner.Begin(ctx, call); err != nil {
			return nil, err
		}
	}
	tally := tally{ordered: call.Ordered}
	for i := 0; i < batch.Len() && !tally.stopping; i++ {
		tally.tried++
		if err := l.process(ctx, call, batch.Event(i)); err != nil {
			tally.fail(i, outcome(err, KindUnknown, "uncaught"))
		}
	}
	return tally.report(batch.Len(), l.flush(ctx, call))
}

// process keeps a panic to its event.
func (l *eventLevel) process(ctx context.Context, call *Call, event Event) (err error) {
	defer recovered(&err)
	return l.sink.Process(ctx, call, event)
}

func (l *eventLevel) flush(ctx context.Context, call *Call) (err error) {
	flusher, ok := l.sink.(Flusher)
	if !ok {
		return nil
	}
	defer recovered(&err)
	return flusher.Flush(ctx, call)
}

// tally is what happened to the events tried so far.
type tally struct {
	ordered bool
	refused Report
	// Events before tried were begun.
	tried  int
	failed map[int]bool
	// The event at which the sink came to a halt, which is always the last one tried, with why.
	halt     *Error
	stopping bool
}

func (t *tally) fail(i int, failure *Error) {
	if t.failed == nil {
		t.failed = make(map[int]bool)
	}
	t.failed[i] = true
	if failure.Kind == KindHalted {
		t.stopping, t.halt = true, failure
		return
	}
	t.stopping = t.ordered && failure.Kind != KindRejected
	t.refused.Refuse(i, failure)
}

// report is the report on a batch of n events, given how flushing went.
func (t *tally) report(n int, flushed error) (*Report, error) {
	if t.halt != nil && t.tried == len(t.failed) {
		return nil, t.halt
	}
	if flushed != nil {
		failure := outcome(flushed, KindUnknown, "uncaught")
		if failure.Kind == KindHalted {
			// The sink stands still, and nothing that it took is written.
			return nil, failure
		}
		for i := range t.tried {
			if !t.failed[i] {
				t.refused.Refuse(i, failure)
			}
		}
	}
	// A halt says nothing about its event, which counts as not tried: it comes again, and then as the first one the
	// halt is about the whole batch.
	stop := t.tried
	if t.halt != nil {
		stop--
	}
	if stop < n {
		t.refused.StopAt(stop)
	}
	return &t.refused, nil
}
