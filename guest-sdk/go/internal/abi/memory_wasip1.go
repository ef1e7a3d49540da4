// Package abi moves values between Go and the canonical ABI of the component model.
//
// What the host passes lies in Go's own heap, and what it is given as well. Addresses are numbers, which keep nothing
// alive: so everything that was passed or given is held here until the next call.
package abi

import (
	"fmt"
	"math"
	"runtime/debug"
	"unsafe"
)

// List is a list or a string.
type List struct{ At, Len uint32 }

// OptionList is an optional list or string.
type OptionList struct {
	Some uint8
	List List
}

// OptionU32 is an optional number.
type OptionU32 struct {
	Some  uint8
	Value uint32
}

// SomeList is a list that is there.
func SomeList(list List) OptionList { return OptionList{1, list} }

// NonZero is a number that is not there when it is 0.
func NonZero(value uint32) OptionU32 {
	if value == 0 {
		return OptionU32{}
	}
	return OptionU32{1, value}
}

// room is memory for the adapter from WASI 0.1 to 0.2, which lives in this memory, and takes what it needs while Go's
// runtime starts.
var room [2 << 13]uint64

// arena is memory for what the host passes, as addresses: where it goes on, and where it ends. The host takes it without
// a call of Go, because while it asks for memory nothing may be called of it, and Go looks at the clock whenever it
// collects garbage.
var arena struct{ next, end uint32 }

// mark says where both are. `sump build` finds it in the module, and adds the functions that hand them out.
var mark = struct {
	mark  [16]byte
	room  *[2 << 13]uint64
	arena *struct{ next, end uint32 }
}{[16]byte{'s', 'u', 'm', 'p', ':', 'a', 'd', 'a', 'p', 't', 'e', 'r', 'r', 'o', 'o', 'm'}, &room, &arena}

// least is how large an arena is at least: enough for an answer's chunk.
const least = 128 << 10

// most is how large it is at most.
const most = 8 << 20

var (
	// buffer is the arena's memory. It is left to the garbage collector once a batch was passed in it, whose payloads
	// may live on.
	buffer []uint64
	// passed is what did not fit, by its address.
	passed = map[uint32][]uint64{}
	// size is how large the next arena is to be.
	size = uint32(least)
	// given keeps alive what the host has addresses of.
	given []unsafe.Pointer
)

// softLimit is what the heap of an instance keeps below by collecting more often, half of what an instance may take by
// default: the runtime ends one that takes too much, and Go would let the heap grow to twice of what is in use.
const softLimit = 64 << 20

// percent and limit are the collector's settings within calls.
var percent, limit = 100, int64(softLimit)

func init() {
	percent = debug.SetGCPercent(-1)
	if given := debug.SetMemoryLimit(math.MaxInt64); given != math.MaxInt64 {
		limit = given // By GOMEMLIMIT.
	}
	Refill(least)
}

// Refill makes sure that the arena has room for so many bytes.
func Refill(bytes uint32) {
	if arena.end-arena.next >= bytes && mark.arena == &arena {
		return
	}
	buffer = make([]uint64, (max(size, bytes)+7)/8)
	arena.next = uint32(uintptr(unsafe.Pointer(unsafe.SliceData(buffer))))
	arena.end = arena.next + uint32(len(buffer))*8
}

// Begin begins a call whose values were taken: what was given by earlier ones is forgotten.
func Begin() {
	given = given[:0]
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(limit)
}

// End readies memory for what the host passes next, and stops the collector: it must not begin while the host passes
// what the arena has no room for, because it waits for others then, and who waits leaves the module. A call has to make
// it last.
func End() {
	defer func() {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(math.MaxInt64)
	}()
	used := uint32(len(buffer))*8 - (arena.end - arena.next)
	for at, words := range passed {
		used += uint32(len(words)) * 8
		delete(passed, at)
	}
	// Batches are of about the same size: a little more, and slowly less. What is larger by far is rare, and can wait.
	size = min(max(least, used+used/8, size-size/8), most)
	arena.next = arena.end
	Refill(size)
}

func hold(value unsafe.Pointer) uint32 {
	given = append(given, value)
	return uint32(uintptr(value))
}

// Realloc gives the host memory that the arena does not have.
func Realloc(old, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	// Words, because they are aligned for everything that the ABI has.
	words := make([]uint64, (uint64(size)+7)/8)
	memory := unsafe.Pointer(unsafe.SliceData(words))
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(found(old)), oldSize))
		delete(passed, old)
	}
	at := uint32(uintptr(memory))
	passed[at] = words
	return at
}

// found is what the host passed at an address.
func found(at uint32) unsafe.Pointer {
	base := unsafe.Pointer(unsafe.SliceData(buffer))
	if offset := at - uint32(uintptr(base)); offset < uint32(len(buffer))*8 {
		return unsafe.Add(base, offset)
	}
	words, ok := passed[at]
	if !ok {
		panic(fmt.Sprintf("sump: the host passes address %#x, which it was not given", at))
	}
	return unsafe.Pointer(unsafe.SliceData(words))
}

// Take is the value that the host passes at an address.
func Take[T any](at uint32) *T { return (*T)(found(at)) }

// Slice is a list as a slice of the same memory; nil when it is empty.
func Slice[T any](list List) []T {
	if list.Len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(found(list.At)), list.Len)
}

// String is a string of the same memory.
func String(list List) string {
	bytes := Slice[byte](list)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

// Strings is a list of strings.
func Strings(list List) []string {
	var strings []string
	for _, one := range Slice[List](list) {
		strings = append(strings, String(one))
	}
	return strings
}

// New is a value to give to the host, by its [Address].
func New[T any]() *T {
	value := new(T)
	hold(unsafe.Pointer(value))
	return value
}

// Address is where a value of [New] is.
func Address[T any](value *T) uint32 { return uint32(uintptr(unsafe.Pointer(value))) }

// FromSlice gives the host a slice, which must not change until it is read.
func FromSlice[T any](slice []T) List {
	if len(slice) == 0 {
		return List{}
	}
	return List{hold(unsafe.Pointer(unsafe.SliceData(slice))), uint32(len(slice))}
}

// FromString gives the host a string.
func FromString(text string) List {
	if text == "" {
		return List{}
	}
	return List{hold(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}
