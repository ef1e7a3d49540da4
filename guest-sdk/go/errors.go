package sump

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what a failure means for the events concerned.
type Kind uint8

const (
	// KindTransient: not written, worth trying again; after [Error.After] at least.
	KindTransient Kind = iota
	// KindRejected: not written, and never will be. The events become dead letters.
	KindRejected
	// KindUnknown: perhaps written, the answer was lost. Tried again, a bounded number of times.
	KindUnknown
	// KindHalted: nothing can be written until an operator acts. The sink pauses, and its events wait.
	KindHalted
)

// String gives the kind's name in the runtime's logs and dead letters.
func (k Kind) String() string {
	names := [...]string{"transient", "rejected", "unknown", "halted"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is a failure of a known kind. The runtime looks for one in the chain of an error that a sink returns; an error
// without any is unknown, code "uncaught", because nobody said what it means for the events. Say it where it arises:
//
//	n, err := strconv.Atoi(text)
//	if err != nil {
//		return sump.Rejected("not-a-number", "%w", err)
//	}
type Error struct {
	Kind Kind
	// Code is a short, stable identifier such as "too-large": a label in metrics, a filter in replays.
	Code string
	// After is the pause that the destination asked for before the next attempt; only a transient failure has one.
	After time.Duration
	// Err says what happened, for people.
	Err error
}

// Transient makes the error of what was not written and is worth trying again.
func Transient(code, format string, args ...any) *Error {
	return newError(KindTransient, code, format, args)
}

// Rejected makes the error of what never will be written.
func Rejected(code, format string, args ...any) *Error {
	return newError(KindRejected, code, format, args)
}

// Unknown makes the error of what was sent and not answered.
func Unknown(code, format string, args ...any) *Error {
	return newError(KindUnknown, code, format, args)
}

// Halted makes the error of a sink that can write nothing until an operator acts: credentials refused, a table missing.
func Halted(code, format string, args ...any) *Error {
	return newError(KindHalted, code, format, args)
}

func newError(kind Kind, code, format string, args []any) *Error {
	return &Error{Kind: kind, Code: code, Err: fmt.Errorf(format, args...)}
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s): %v", e.Kind, e.Code, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// outcome finds the failure in an error's chain, or makes one of this kind and code.
func outcome(err error, kind Kind, code string) *Error {
	var failure *Error
	if !errors.As(err, &failure) {
		return &Error{Kind: kind, Code: code, Err: err}
	}
	if err == error(failure) {
		return failure
	}
	// What was said around it is for people, too.
	return &Error{Kind: failure.Kind, Code: failure.Code, After: failure.After, Err: err}
}

// message is the text for people, which does not repeat kind and code.
func (e *Error) message() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}
