// Package sumphttp lets sinks send HTTP requests by net/http.
//
// In the sandbox requests go through the runtime's own pooled client, as far as the pipeline's configuration grants it
// (allow.http); natively they go as always, so that a test's [net/http/httptest] server answers.
//
//	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
//	if err != nil {
//		return sump.Rejected("http-invalid", "%w", err)
//	}
//	return sumphttp.Send(request)
package sumphttp

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sump.example/sump"
)

// Client is the client for sinks. It follows no redirects: the runtime would have to be granted where they lead, and a
// sink asks for what it means.
var Client = &http.Client{
	Transport:     transport(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Send sends a request for its outcome alone: see [Do] and [Check].
func Send(request *http.Request) error {
	response, err := Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return Check(response)
}

// Do sends a request. Its errors are of type [*sump.Error]: a request that can never be sent is rejected, code
// "http-invalid"; one that the runtime's configuration does not allow halts the sink, code "http-denied"; one that was
// not sent is transient, code "http-not-sent"; one that was sent, at least in part, and got no answer is unknown, code
// "http-no-answer". Any status is an answer, not an error.
func Do(request *http.Request) (*http.Response, error) {
	response, err := Client.Do(request)
	if err == nil {
		return response, nil
	}
	var known *sump.Error
	if errors.As(err, &known) {
		return nil, known
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "dial" {
		return nil, sump.Transient("http-not-sent", "%w", err)
	}
	return nil, sump.Unknown("http-no-answer", "%w", err)
}

// excerpt is how much of a refusal's body is quoted.
const excerpt = 200

// Check says what a status means for what was sent, as the runtime's own HTTP sink takes it: 2xx is written; 408, 425,
// 429 and 5xx but 501 and 505 are transient, after Retry-After; 401, 403 and 407 halt the sink; others are rejected.
// The code is "http-" and the status. Of a refusal it reads the beginning of the body, for the message.
//
// A request with several events that is answered 413 is rejected too: the runtime then splits the batch.
func Check(response *http.Response) error {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, excerpt)) // What can't be read is not quoted.
	message := "status " + strconv.Itoa(status)
	if text := strings.TrimSpace(string(body)); text != "" {
		message += ": " + text
	}
	code := "http-" + strconv.Itoa(status)
	switch {
	case status == 401, status == 403, status == 407:
		return sump.Halted(code, "%s", message)
	case status == 408, status == 425, status == 429, status >= 500 && status < 600 && status != 501 && status != 505:
		failure := sump.Transient(code, "%s", message)
		failure.After = retryAfter(response.Header.Get("Retry-After"))
		return failure
	}
	return sump.Rejected(code, "%s", message)
}

// retryAfter is the pause that the header asks for, in either of its forms.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if moment, err := http.ParseTime(value); err == nil {
		return max(time.Until(moment), 0)
	}
	return 0
}
