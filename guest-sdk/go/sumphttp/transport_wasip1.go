package sumphttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unsafe"

	"sump.example/sump"
	"sump.example/sump/internal/abi"
)

// chunk is how much of an answer is read at once.
const chunk = 64 << 10

// most is how much the host passes at once: a chunk, or an answer's headers, which it bounds.
const most = 128 << 10

func init() {
	// What else uses net/http, such as a library for a service, goes the same way.
	http.DefaultTransport = wasiTransport{}
}

func transport() http.RoundTripper { return wasiTransport{} }

// wasiTransport sends requests by wasi:http.
type wasiTransport struct{}

func (wasiTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	alarm := startAlarm(request.Context())
	response, err := roundTrip(request, alarm)
	if err != nil {
		alarm.stop()
	}
	return response, err
}

func roundTrip(request *http.Request, alarm *alarm) (*http.Response, error) {
	if request.Body != nil {
		defer request.Body.Close()
	}
	outgoing, err := newOutgoing(request)
	if err != nil {
		return nil, err
	}
	// Without a body to write there is none to finish either.
	var body handleResult
	hasBody := request.Body != nil && request.Body != http.NoBody
	if hasBody {
		requestBody(outgoing, &body)
	}
	var sent sentResult
	handle(outgoing, 0, 0, &sent)
	if sent.failed != 0 {
		if hasBody && body.failed == 0 {
			dropOutgoingBody(body.handle)
		}
		return nil, sent.err()
	}
	future := uint32(sent.payload[0])
	defer dropFuture(future)
	if hasBody && body.failed == 0 {
		if err := writeBody(body.handle, request.Body, alarm); err != nil {
			return nil, err
		}
	}
	incoming, err := await(future, alarm)
	if err != nil {
		return nil, err
	}
	return newResponse(request, incoming, alarm)
}

func newOutgoing(request *http.Request) (uint32, error) {
	invalid := func(part string) error {
		return sump.Rejected("http-invalid", "the %s of %s %s is malformed", part, request.Method, request.URL.Redacted())
	}
	fields := newFields()
	add := func(name, value string) error {
		var result [2]uint8
		fieldsAppend(fields, name, unsafe.StringData(value), uint32(len(value)), &result)
		if result[0] != 0 {
			dropFields(fields)
			return invalid("header " + name)
		}
		return nil
	}
	for name, values := range request.Header {
		for _, value := range values {
			if err := add(name, value); err != nil {
				return 0, err
			}
		}
	}
	if request.ContentLength > 0 || request.Body == http.NoBody {
		if err := add("Content-Length", strconv.FormatInt(request.ContentLength, 10)); err != nil {
			return 0, err
		}
	}
	host := request.Host
	if host == "" {
		host = request.URL.Host
	}
	outgoing := newRequest(fields)
	method, other := methodOf(request.Method)
	scheme := uint32(0)
	if request.URL.Scheme == "https" {
		scheme = 1
	}
	part := ""
	switch {
	case setMethod(outgoing, method, other) != 0:
		part = "method"
	case setScheme(outgoing, 1, scheme, "") != 0:
		part = "scheme"
	case setAuthority(outgoing, 1, host) != 0:
		part = "host"
	case setPath(outgoing, 1, request.URL.RequestURI()) != 0:
		part = "path"
	default:
		return outgoing, nil
	}
	dropRequest(outgoing)
	return 0, invalid(part)
}

// methodOf gives a method's number, and its name where it has none.
func methodOf(name string) (uint32, string) {
	known := [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
	for number, method := range known {
		if method == name {
			return uint32(number), ""
		}
	}
	return uint32(len(known)), name
}

// writeBody writes a body to its end. One that the destination stops taking is no error yet: it may have answered, and
// its answer says why.
func writeBody(body uint32, from io.Reader, alarm *alarm) error {
	var opened handleResult
	bodyWrite(body, &opened)
	if opened.failed != 0 {
		dropOutgoingBody(body)
		return nil
	}
	err := writeStream(opened.handle, from, alarm)
	dropOutputStream(opened.handle)
	if err != nil {
		dropOutgoingBody(body)
		if errors.Is(err, errClosed) {
			return nil
		}
		return err
	}
	var finished sentResult
	bodyFinish(body, 0, 0, &finished)
	return nil
}

var errClosed = errors.New("the other side takes no more")

func writeStream(stream uint32, from io.Reader, alarm *alarm) error {
	buffer := make([]byte, chunk)
	var written streamResult
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			var room roomResult
			checkWrite(stream, &room)
			if room.failed != 0 {
				return errClosed
			}
			if room.room == 0 {
				if err := alarm.wait(outputSubscribe(stream)); err != nil {
					return err
				}
				continue
			}
			now := rest[:min(room.room, uint64(len(rest)))]
			streamWrite(stream, &now[0], uint32(len(now)), &written)
			if written.failed != 0 {
				return errClosed
			}
			rest = rest[len(now):]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return sump.Unknown("http-no-answer", "the body can't be read: %w", err)
		}
	}
	streamFlush(stream, &written)
	if written.failed != 0 {
		return errClosed
	}
	return alarm.wait(outputSubscribe(stream))
}

func await(future uint32, alarm *alarm) (uint32, error) {
	for {
		var result futureResult
		abi.Refill(most) // For the text of an error.
		futureGet(future, &result)
		switch {
		case result.some == 0:
			if err := alarm.wait(futureSubscribe(future)); err != nil {
				return 0, err
			}
		case uint8(result.taken) != 0:
			return 0, noAnswer("the answer was taken twice")
		case result.sent.failed != 0:
			return 0, result.sent.err()
		default:
			return uint32(result.sent.payload[0]), nil
		}
	}
}

func newResponse(request *http.Request, incoming uint32, alarm *alarm) (*http.Response, error) {
	defer dropResponse(incoming)
	status := int(responseStatus(incoming))
	header := http.Header{}
	fields := responseHeaders(incoming)
	var entries list
	abi.Refill(most)
	fieldsEntries(fields, &entries)
	for _, entry := range abi.Slice[[2]abi.List](abi.List{At: entries.at, Len: entries.len}) {
		header.Add(abi.String(entry[0]), abi.String(entry[1]))
	}
	dropFields(fields)
	var body, stream handleResult
	responseConsume(incoming, &body)
	if body.failed != 0 {
		return nil, noAnswer("the answer broke off")
	}
	bodyStream(body.handle, &stream)
	if stream.failed != 0 {
		dropIncomingBody(body.handle)
		return nil, noAnswer("the answer broke off")
	}
	length := int64(-1)
	if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: length,
		Body:          &incomingBody{body: body.handle, stream: stream.handle, alarm: alarm},
		Request:       request,
	}, nil
}

// incomingBody is the body of an answer.
type incomingBody struct {
	body, stream uint32
	alarm        *alarm
	kept         []byte
	err          error
}

func (b *incomingBody) Read(into []byte) (int, error) {
	for len(b.kept) == 0 && b.err == nil && len(into) > 0 {
		var result readResult
		abi.Refill(most)
		streamRead(b.stream, chunk, &result)
		switch {
		case result.failed == 0 && result.bytes.len == 0:
			b.err = b.alarm.wait(inputSubscribe(b.stream))
		case result.failed == 0:
			b.kept = abi.Slice[byte](abi.List{At: result.bytes.at, Len: result.bytes.len})
		case result.bytes.at&0xff == 1: // Closed, the second case of the error.
			b.err = io.EOF
		default:
			dropError(result.bytes.len) // The handle is where the length would be.
			b.err = noAnswer("the answer broke off")
		}
	}
	if len(b.kept) == 0 && b.err != nil {
		return 0, b.err
	}
	n := copy(into, b.kept)
	b.kept = b.kept[n:]
	return n, nil
}

func (b *incomingBody) Close() error {
	if b.alarm != nil {
		dropInputStream(b.stream)
		dropIncomingBody(b.body)
		b.alarm.stop()
		b.alarm, b.kept, b.err = nil, nil, http.ErrBodyReadAfterClose
	}
	return nil
}

// alarm is the time that a request has left, by its context.
type alarm struct {
	ctx      context.Context
	pollable uint32 // 0 without a deadline.
}

func startAlarm(ctx context.Context) *alarm {
	alarm := &alarm{ctx: ctx}
	if deadline, ok := ctx.Deadline(); ok {
		alarm.pollable = subscribeDuration(uint64(max(time.Until(deadline), 0)))
	}
	return alarm
}

func (a *alarm) stop() {
	if a.pollable != 0 {
		dropPollable(a.pollable)
		a.pollable = 0
	}
}

// wait blocks until ready, which it drops, or fails when time is up before.
func (a *alarm) wait(ready uint32) error {
	defer dropPollable(ready)
	pollables := []uint32{ready}
	if a.pollable != 0 {
		pollables = append(pollables, a.pollable)
	}
	var indices list
	abi.Refill(64)
	poll(&pollables[0], uint32(len(pollables)), &indices)
	fired := abi.Slice[uint32](abi.List{At: indices.at, Len: indices.len})
	first := fired[0]
	if first == 0 {
		return nil
	}
	return sump.Unknown("http-no-answer", "no answer in time: %w", context.DeadlineExceeded)
}

func noAnswer(why string) error { return sump.Unknown("http-no-answer", "%s", why) }

// err says what an error code means for the request.
func (r *sentResult) err() error {
	code := int(uint8(r.payload[0]))
	if code < len(codes) && codes[code] != nil {
		return codes[code]
	}
	if code == internalError && uint8(r.payload[1]) == 1 {
		text := abi.List{At: uint32(r.payload[1] >> 32), Len: uint32(r.payload[2])}
		return noAnswer(string([]byte(abi.String(text))))
	}
	return noAnswer("the answer was not understood")
}

const internalError = 38

func notSent(why string) error { return sump.Transient("http-not-sent", "%s", why) }
func denied(why string) error  { return sump.Halted("http-denied", "%s", why) }
func invalid(why string) error { return sump.Rejected("http-invalid", "%s", why) }

// codes has the cases of wasi:http's error-code by their number.
var codes = [...]error{
	0:  notSent("the name was not resolved in time"),
	1:  notSent("the name could not be resolved"),
	2:  notSent("destination not found"),
	3:  notSent("destination unavailable"),
	4:  denied("the address is not allowed"),
	5:  notSent("no route to the destination"),
	6:  notSent("connection refused"),
	7:  noAnswer("connection terminated"),
	8:  notSent("not connected in time"),
	9:  noAnswer("the connection stood still while reading"),
	10: noAnswer("the connection stood still while writing"),
	11: notSent("too many connections"),
	12: notSent("TLS protocol error"),
	13: notSent("the certificate is not trusted"),
	14: notSent("the destination ended TLS with an alert"),
	15: denied("no `allow.http` covers it"),
	16: invalid("a length is required"),
	17: invalid("the body is too large"),
	18: invalid("the method is malformed"),
	19: invalid("the URL is malformed"),
	20: invalid("the URL is too long"),
	21: invalid("the headers are too large"),
	22: invalid("a header is too large"),
	23: invalid("the trailers are too large"),
	24: invalid("a trailer is too large"),
	25: noAnswer("the answer broke off"),
	33: noAnswer("no answer in time"),
}
