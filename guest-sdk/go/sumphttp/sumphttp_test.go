package sumphttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sump.example/sump"
	"sump.example/sump/sumphttp"
)

func send(t *testing.T, ctx context.Context, url string) *sump.Error {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	err = sumphttp.Send(request)
	if err == nil {
		return nil
	}
	var failure *sump.Error
	if !errors.As(err, &failure) {
		t.Fatalf("the kind of %v is not known", err)
	}
	return failure
}

func TestAStatusDecidesWhatItMeans(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, " too bad ")
	}))
	defer server.Close()
	for _, want := range []struct {
		status int
		kind   sump.Kind
	}{
		{408, sump.KindTransient}, {425, sump.KindTransient}, {429, sump.KindTransient}, {500, sump.KindTransient}, {503, sump.KindTransient},
		{401, sump.KindHalted}, {403, sump.KindHalted}, {407, sump.KindHalted},
		{301, sump.KindRejected}, {400, sump.KindRejected}, {404, sump.KindRejected}, {413, sump.KindRejected}, {501, sump.KindRejected}, {505, sump.KindRejected},
	} {
		status = want.status
		failure := send(t, t.Context(), server.URL)
		if failure == nil || failure.Kind != want.kind || !strings.HasSuffix(failure.Err.Error(), ": too bad") {
			t.Errorf("status %d: want %v, got %v", status, want.kind, failure)
			continue
		}
		if failure.Kind == sump.KindTransient && failure.After != 7*time.Second {
			t.Errorf("status %d: a pause of %v", status, failure.After)
		}
	}
	status = 204
	if failure := send(t, t.Context(), server.URL); failure != nil {
		t.Error(failure)
	}
}

func TestWhetherItWasSentDecidesWhereThereIsNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if failure := send(t, ctx, server.URL); failure == nil || failure.Kind != sump.KindUnknown || failure.Code != "http-no-answer" {
		t.Errorf("got %v", failure)
	}
	server.Close()
	if failure := send(t, t.Context(), server.URL); failure == nil || failure.Kind != sump.KindTransient || failure.Code != "http-not-sent" {
		t.Errorf("got %v", failure)
	}
}
