package sump

import (
	"context"
	"log/slog"
	"os"
	"time"

	"sump.example/sump/internal/abi"
)

// The exports of the contract's interface `sink`, and what they take and give, laid out as the canonical ABI of the
// component model says. Addresses are 32 bits there, and Go's pointers 64 here: so they are numbers in these types.

type abiColumn struct {
	offsets, bytes abi.List
	validity       abi.OptionList
}

type abiOptionColumn struct {
	some   uint8
	column abiColumn
}

type abiHeaders struct {
	offsets       abi.List
	names, values abiColumn
}

type abiOptionHeaders struct {
	some    uint8
	headers abiHeaders
}

type abiWrite struct {
	payload                     abiColumn
	key                         abiOptionColumn
	timestamps                  abi.List
	headers                     abiOptionHeaders
	partitions, runs, positions abi.List
	pipeline, sink, batchID     abi.List
	attempt, timeoutMs          uint32
	ordered                     uint8
	traceparent                 abi.OptionList
}

type abiDescription struct {
	name, version abi.List
	configSchema  abi.OptionList
	maxEvents     abi.OptionU32
	maxBytes      abi.OptionU32
	stopsInOrder  uint8
	contentType   abi.OptionList
}

type abiFailure struct {
	kind          uint8
	after         abi.OptionU32
	code, message abi.List
}

type abiRefusal struct {
	events  abi.List
	failure abiFailure
}

// abiUnit is the result of open and close.
type abiUnit struct {
	failed  uint8
	failure abiFailure
}

// abiReport is the result of write where it succeeds; where it fails, that is an abiUnit. Both have the same size.
type abiReport struct {
	failed    uint8
	refused   abi.List
	stoppedAt abi.OptionU32
	_         [12]byte
}

// instance is what open opened.
var instance *Instance

func init() {
	// The runtime gives each line of the log a time of its own.
	withoutTime := func(groups []string, attribute slog.Attr) slog.Attr {
		if len(groups) == 0 && attribute.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attribute
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
}

//go:wasmexport sump_realloc
func realloc(old, oldSize, align, size uint32) uint32 { return abi.Realloc(old, oldSize, align, size) }

//go:wasmexport sump:sink/sink@0.1.0#describe
func exportDescribe() uint32 {
	defer abi.End()
	abi.Begin()
	about, schema := describe()
	description := abi.New[abiDescription]()
	description.name, description.version = abi.FromString(about.Name), abi.FromString(about.Version)
	description.configSchema = abi.SomeList(abi.FromString(string(schema)))
	description.maxEvents, description.maxBytes = abi.NonZero(about.MaxEvents), abi.NonZero(about.MaxBytes)
	if about.StopsInOrder {
		description.stopsInOrder = 1
	}
	return abi.Address(description)
}

//go:wasmexport sump:sink/sink@0.1.0#open
func exportOpen(configAt, configLen, pipelineAt, pipelineLen, sinkAt, sinkLen, number uint32) uint32 {
	defer abi.End()
	config := abi.String(abi.List{At: configAt, Len: configLen})
	pipeline := abi.String(abi.List{At: pipelineAt, Len: pipelineLen})
	sink := abi.String(abi.List{At: sinkAt, Len: sinkLen})
	abi.Begin()
	opened, err := Open(context.Background(), []byte(config), Opening{pipeline, sink, number})
	instance = opened
	return lowerUnit(err)
}

//go:wasmexport sump:sink/sink@0.1.0#write
func exportWrite(at uint32) uint32 {
	defer abi.End()
	batch, call := liftWrite(abi.Take[abiWrite](at))
	abi.Begin()
	if instance == nil {
		return lowerUnit(Unknown("not-open", "the runtime wrote to an instance that it had not opened"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), call.Timeout*9/10)
	defer cancel()
	report, err := instance.Write(ctx, call, batch)
	if err != nil {
		return lowerUnit(err)
	}
	return lowerReport(report)
}

//go:wasmexport sump:sink/sink@0.1.0#close
func exportClose() uint32 {
	defer abi.End()
	abi.Begin()
	if instance == nil {
		return lowerUnit(nil)
	}
	closing := instance
	instance = nil
	return lowerUnit(closing.Close())
}

func liftWrite(given *abiWrite) (*Batch, *Call) {
	batch := &Batch{
		Payload:    liftColumn(&given.payload),
		Timestamps: abi.Slice[int64](given.timestamps),
		Partitions: abi.Strings(given.partitions),
		Runs:       abi.Slice[Run](given.runs),
		Positions:  abi.Slice[uint64](given.positions),
	}
	if given.key.some != 0 {
		key := liftColumn(&given.key.column)
		batch.Key = &key
	}
	if given.headers.some != 0 {
		headers := &given.headers.headers
		batch.Headers = &Headers{
			Offsets: abi.Slice[uint32](headers.offsets),
			Names:   liftColumn(&headers.names),
			Values:  liftColumn(&headers.values),
		}
	}
	call := &Call{
		Pipeline:    abi.String(given.pipeline),
		Sink:        abi.String(given.sink),
		BatchID:     abi.String(given.batchID),
		Attempt:     given.attempt,
		Timeout:     time.Duration(given.timeoutMs) * time.Millisecond,
		Ordered:     given.ordered != 0,
		Traceparent: abi.String(given.traceparent.List),
	}
	return batch, call
}

func liftColumn(given *abiColumn) Column {
	column := Column{Offsets: abi.Slice[uint32](given.offsets), Bytes: abi.Slice[byte](given.bytes)}
	if column.Bytes == nil {
		// Values of no bytes are values: only a null is nil.
		column.Bytes = []byte{}
	}
	if given.validity.Some != 0 {
		column.Validity = abi.Slice[byte](given.validity.List)
	}
	return column
}

func lowerUnit(err error) uint32 {
	result := abi.New[abiUnit]()
	if err != nil {
		result.failed = 1
		result.failure = lowerFailure(outcome(err, KindUnknown, "uncaught"))
	}
	return abi.Address(result)
}

func lowerReport(report *Report) uint32 {
	result := abi.New[abiReport]()
	refused := make([]abiRefusal, 0, len(report.refused))
	report.Refused(func(failure *Error, events []uint32) {
		refused = append(refused, abiRefusal{abi.FromSlice(events), lowerFailure(failure)})
	})
	result.refused = abi.FromSlice(refused)
	if at, stopped := report.StoppedAt(); stopped {
		result.stoppedAt = abi.OptionU32{Some: 1, Value: uint32(at)}
	}
	return abi.Address(result)
}

func lowerFailure(failure *Error) abiFailure {
	lowered := abiFailure{
		kind:    uint8(failure.Kind),
		code:    abi.FromString(failure.Code),
		message: abi.FromString(failure.message()),
	}
	if failure.Kind == KindTransient && failure.After > 0 {
		milliseconds := min(failure.After.Milliseconds(), 1<<32-1)
		lowered.after = abi.OptionU32{Some: 1, Value: uint32(milliseconds)}
	}
	return lowered
}
