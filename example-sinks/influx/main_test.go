package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sump.example/sump"
	"sump.example/sump/sumptest"
)

// database answers every request with a status, and keeps the bodies.
func database(t *testing.T, status int) (sink *sumptest.Sink, bodies *[]string) {
	bodies = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*bodies = append(*bodies, string(body))
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	config, err := json.Marshal(config{
		URL: server.URL, Measurement: "quake", Tags: []string{"net", "kind"}, Fields: []string{"mag", "place"}, Time: "time",
	})
	if err != nil {
		t.Fatal(err)
	}
	return sumptest.Open(t, string(config)), bodies
}

func TestABatchIsOneRequestWithALineForEachEvent(t *testing.T) {
	sink, bodies := database(t, http.StatusNoContent)
	sink.Write(
		sumptest.Text(`{"net": "uw", "mag": 0.31, "time": 1517363399650}`),
		sumptest.Event{Payload: []byte(`{"net": "a b", "mag": 5, "place": "C:\\ \"x\""}`), Time: time.UnixMilli(7)},
	).AssertWritten()
	want := "quake,net=uw mag=0.31 1517363399650000000\n" + `quake,net=a\ b mag=5,place="C:\\ \"x\"" 7000000` + "\n"
	if len(*bodies) != 1 || (*bodies)[0] != want {
		t.Errorf("want %q, got %q", want, *bodies)
	}
}

func TestWhatIsNoPointIsRejectedAndTheOthersAreWritten(t *testing.T) {
	sink, bodies := database(t, http.StatusNoContent)
	outcome := sink.Write(
		sumptest.Text("no json"), sumptest.Text(`{"mag": 1}`), sumptest.Text(`{"sig": 1}`), sumptest.Tombstone(),
	)
	outcome.AssertRefused(0, sump.KindRejected, "not-json")
	outcome.AssertRefused(2, sump.KindRejected, "no-field")
	outcome.AssertRefused(3, sump.KindRejected, "no-payload")
	if len(outcome.Written) != 1 || len(*bodies) != 1 {
		t.Errorf("written: %v, requests: %q", outcome.Written, *bodies)
	}
}

func TestWhatTheDatabaseAnswersDecidesAboutTheBatch(t *testing.T) {
	for status, kind := range map[int]sump.Kind{
		http.StatusServiceUnavailable: sump.KindTransient,
		http.StatusUnauthorized:       sump.KindHalted,
		http.StatusBadRequest:         sump.KindRejected,
	} {
		sink, _ := database(t, status)
		outcome := sink.Write(sumptest.Text(`{"mag": 1}`))
		if outcome.Failure == nil || outcome.Failure.Kind != kind {
			t.Errorf("status %d: want %v, got %v", status, kind, outcome.Failure)
		}
	}
}
