// Package sump is the SDK for sinks of Sump in Go.
//
// A sink is a program that Sump loads as a WebAssembly component, in a sandbox. It registers what it is when it
// starts, and has an empty main:
//
//	type config struct {
//		Greeting string `json:"greeting" doc:"What each event is greeted with."`
//	}
//
//	func init() {
//		sump.RegisterEvents(sump.About{Name: "greeter", Version: "0.1.0"}, open)
//	}
//
//	func main() {}
//
//	type greeter struct{ config }
//
//	func open(_ context.Context, c config, _ sump.Opening) (sump.EventSink, error) {
//		return &greeter{c}, nil
//	}
//
//	func (g *greeter) Process(_ context.Context, _ *sump.Call, event sump.Event) error {
//		text, err := event.Text()
//		if err != nil {
//			return err
//		}
//		slog.Info("event", "text", g.Greeting+", "+text)
//		return nil
//	}
//
// A sink never sleeps, retries or acknowledges: it says by its errors what a failure means, and the runtime acts. See
// [Error]. Package sumphttp sends HTTP requests; package sumptest runs a sink in go test.
package sump

import (
	"context"
	"io"
	"runtime/debug"
)

// About is what a sink says of itself.
type About struct {
	// Name is the sink's name, such as "slack".
	Name string
	// Version is the sink's own version, such as "1.2.0".
	Version string
	// MaxEvents is how many events one call takes at most; 0 for any number.
	MaxEvents uint32
	// MaxBytes is how many bytes of payload one call takes at most; 0 for any number.
	MaxBytes uint32
	// StopsInOrder is for a [BatchSink] that keeps the order: where [Call.Ordered] is set it stops at the first event
	// that is neither written nor rejected, see [Report.StopAt]. An [EventSink] always does.
	StopsInOrder bool
}

// EventSink takes one event at a time. From its errors the SDK makes the report of the batch:
//
//   - An error refuses its event alone, whatever its kind, but for these two:
//   - In order ([Call.Ordered]) the first event that is neither written nor rejected ends the batch. What follows comes
//     again, in order.
//   - A halt ends the batch in any case. What was written stays written and the rest comes again, so that no event
//     becomes a dead letter for it; when nothing was written, the halt is the outcome of the batch.
//
// A panic in it is an unknown outcome of its event, code "panic".
//
// A sink may also be a [Beginner], a [Flusher], and an [io.Closer], whose Close is the last call.
type EventSink interface {
	Process(ctx context.Context, call *Call, event Event) error
}

// Beginner is an [EventSink] that is called before the first event of each batch. Its error is about the whole batch.
type Beginner interface {
	Begin(ctx context.Context, call *Call) error
}

// Flusher is an [EventSink] that keeps events and writes them at the end of the batch. Its error befalls all events
// that Process took.
type Flusher interface {
	Flush(ctx context.Context, call *Call) error
}

// BatchSink takes whole batches. An error is about all events of the batch, none of which is known to be written; what
// became of single events is in the report. A nil report means that all are written.
//
// A sink may also be an [io.Closer], whose Close is the last call.
type BatchSink interface {
	Write(ctx context.Context, call *Call, batch *Batch) (*Report, error)
}

// RegisterEvents says what the program is: a sink that takes one event at a time. To be called once, in init.
//
// The configuration is decoded into a C, a struct: see [Schema]. Whatever open fails with, but what is transient, halts
// the sink: until an operator acts nothing can be written.
func RegisterEvents[C any](about About, open func(context.Context, C, Opening) (EventSink, error)) {
	about.StopsInOrder = true
	register[C](about, func(ctx context.Context, config C, opening Opening) (BatchSink, error) {
		sink, err := open(ctx, config, opening)
		if err != nil {
			return nil, err
		}
		return &eventLevel{sink}, nil
	})
}

// RegisterBatches says what the program is: a sink that takes whole batches. To be called once, in init.
//
// The configuration is decoded into a C, a struct: see [Schema].
func RegisterBatches[C any](about About, open func(context.Context, C, Opening) (BatchSink, error)) {
	register(about, open)
}

// definition is what was registered.
type definition struct {
	about  About
	schema []byte
	open   func(ctx context.Context, config []byte, opening Opening) (BatchSink, error)
}

// registered is nil until the program says what it is.
var registered *definition

func register[C any](about About, open func(context.Context, C, Opening) (BatchSink, error)) {
	if registered != nil {
		panic("sump: a program is one sink: register once")
	}
	registered = &definition{about, Schema[C](), func(ctx context.Context, text []byte, opening Opening) (BatchSink, error) {
		config, err := Decode[C](text)
		if err != nil {
			return nil, Halted("config", "%w", err)
		}
		return open(ctx, config, opening)
	}}
}

// Instance is an opened sink. It is for package sumptest; sinks have no use for it.
type Instance struct{ sink BatchSink }

// Open opens the registered sink with a configuration in JSON. It is for package sumptest.
func Open(ctx context.Context, config []byte, opening Opening) (_ *Instance, err error) {
	if registered == nil {
		return nil, Halted("not-registered", "the program registers no sink: call sump.RegisterEvents or sump.RegisterBatches in init")
	}
	defer recovered(&err)
	sink, err := registered.open(ctx, config, opening)
	if err != nil {
		return nil, outcome(err, KindUnknown, "uncaught")
	}
	return &Instance{sink}, nil
}

// Write writes a batch. It is for package sumptest.
func (i *Instance) Write(ctx context.Context, call *Call, batch *Batch) (_ *Report, err error) {
	defer recovered(&err)
	report, err := i.sink.Write(ctx, call, batch)
	if err != nil {
		return nil, outcome(err, KindUnknown, "uncaught")
	}
	if report == nil {
		report = new(Report)
	}
	return report, nil
}

// Close makes the last call. It is for package sumptest.
func (i *Instance) Close() (err error) {
	defer recovered(&err)
	var sink any = i.sink
	if level, ok := sink.(*eventLevel); ok {
		sink = level.sink
	}
	if closer, ok := sink.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			return outcome(err, KindUnknown, "uncaught")
		}
	}
	return nil
}

// recovered makes an unknown outcome of a panic, which would otherwise cost the instance its life.
func recovered(err *error) {
	if cause := recover(); cause != nil {
		*err = Unknown("panic", "%v\n%s", cause, debug.Stack())
	}
}

// describe gives the registered sink's description.
func describe() (About, []byte) {
	if registered == nil {
		panic("sump: the program registers no sink: call sump.RegisterEvents or sump.RegisterBatches in init")
	}
	return registered.about, registered.schema
}
