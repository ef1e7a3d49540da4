package sumphttp

import "structs"

// The functions of WASI 0.2 that a request takes, as the canonical ABI has them: handles are numbers, what they return
// beyond one number is written where the last argument points.

//go:wasmimport wasi:http/types@0.2.12 [constructor]fields
func newFields() uint32

//go:wasmimport wasi:http/types@0.2.12 [method]fields.append
func fieldsAppend(fields uint32, name string, value *byte, length uint32, result *[2]uint8)

//go:wasmimport wasi:http/types@0.2.12 [method]fields.entries
func fieldsEntries(fields uint32, result *list)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]fields
func dropFields(fields uint32)

//go:wasmimport wasi:http/types@0.2.12 [constructor]outgoing-request
func newRequest(fields uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-method
func setMethod(request, method uint32, other string) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-scheme
func setScheme(request, some, scheme uint32, other string) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-authority
func setAuthority(request, some uint32, authority string) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-path-with-query
func setPath(request, some uint32, path string) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.body
func requestBody(request uint32, result *handleResult)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]outgoing-request
func dropRequest(request uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-body.write
func bodyWrite(body uint32, result *handleResult)

//go:wasmimport wasi:http/types@0.2.12 [static]outgoing-body.finish
func bodyFinish(body, some, trailers uint32, result *sentResult)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]outgoing-body
func dropOutgoingBody(body uint32)

//go:wasmimport wasi:http/outgoing-handler@0.2.12 handle
func handle(request, some, options uint32, result *sentResult)

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.subscribe
func futureSubscribe(future uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.get
func futureGet(future uint32, result *futureResult)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]future-incoming-response
func dropFuture(future uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.status
func responseStatus(response uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.headers
func responseHeaders(response uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.consume
func responseConsume(response uint32, result *handleResult)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-response
func dropResponse(response uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-body.stream
func bodyStream(body uint32, result *handleResult)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-body
func dropIncomingBody(body uint32)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.check-write
func checkWrite(stream uint32, result *roomResult)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.write
func streamWrite(stream uint32, bytes *byte, length uint32, result *streamResult)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.flush
func streamFlush(stream uint32, result *streamResult)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.subscribe
func outputSubscribe(stream uint32) uint32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func dropOutputStream(stream uint32)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.read
func streamRead(stream uint32, most uint64, result *readResult)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.subscribe
func inputSubscribe(stream uint32) uint32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func dropInputStream(stream uint32)

//go:wasmimport wasi:io/error@0.2.12 [resource-drop]error
func dropError(err uint32)

//go:wasmimport wasi:io/poll@0.2.12 poll
func poll(pollables *uint32, length uint32, result *list)

//go:wasmimport wasi:io/poll@0.2.12 [resource-drop]pollable
func dropPollable(pollable uint32)

//go:wasmimport wasi:clocks/monotonic-clock@0.2.12 subscribe-duration
func subscribeDuration(nanoseconds uint64) uint32

type list struct {
	_       structs.HostLayout
	at, len uint32
}

// handleResult is a result of a handle.
type handleResult struct {
	_      structs.HostLayout
	failed uint8
	handle uint32
}

// sentResult is a result of a handle or of nothing, or of an error code. The code is the lowest byte of the first word of
// the payload; what belongs to it begins at the second.
type sentResult struct {
	_       structs.HostLayout
	failed  uint8
	payload [4]uint64
}

// futureResult is an option of a result of a sentResult.
type futureResult struct {
	_     structs.HostLayout
	some  uint8
	taken uint64 // Its lowest byte says that the answer was taken before.
	sent  sentResult
}

// roomResult is how many bytes a stream takes.
type roomResult struct {
	_      structs.HostLayout
	failed uint8
	room   uint64
}

// streamResult is a result of nothing, or of a streamError.
type streamResult struct {
	_      structs.HostLayout
	failed uint8
	err    streamError
}

// readResult is a result of bytes. Where it failed, the error is where the bytes would be.
type readResult struct {
	_      structs.HostLayout
	failed uint8
	bytes  list
}

// streamError is closed, or holds the handle of an error.
type streamError struct {
	_      structs.HostLayout
	closed uint32
	handle uint32
}
