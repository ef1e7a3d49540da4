package sump_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"sump.example/sump"
	"sump.example/sump/sumptest"
)

func vectors[C any](t *testing.T, file string) []C {
	t.Helper()
	text, err := os.ReadFile("../../wit/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var read struct{ Cases []C }
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Cases) == 0 {
		t.Fatalf("%s has no cases", file)
	}
	return read.Cases
}

// headerPair is the name and value of a header.
type headerPair [2][]byte

type batchCase struct {
	Name  string
	Batch struct {
		Payload    sump.Column
		Key        *sump.Column
		Timestamps []int64
		Headers    *sump.Headers
		Origin     struct {
			Partitions []string
			Runs       []sump.Run
			Positions  []uint64
		}
	}
	Events []struct {
		Payload   []byte
		Key       []byte
		Timestamp int64
		Headers   []headerPair
		Partition string
		Position  uint64
	}
}

// same tells null from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestEveryEventIsSeenAsItIs(t *testing.T) {
	for _, vector := range vectors[batchCase](t, "batches.json") {
		t.Run(vector.Name, func(t *testing.T) {
			given := vector.Batch
			origin := given.Origin
			batch := &sump.Batch{
				Payload: given.Payload, Key: given.Key, Timestamps: given.Timestamps, Headers: given.Headers,
				Partitions: origin.Partitions, Runs: origin.Runs, Positions: origin.Positions,
			}
			if batch.Len() != len(vector.Events) {
				t.Fatalf("want %d events, got %d", len(vector.Events), batch.Len())
			}
			var built []sumptest.Event
			for i, event := range batch.Events() {
				want := vector.Events[i]
				var headers []headerPair
				made := sumptest.Event{
					Payload: event.Payload(), Key: event.Key(), Time: event.Time(),
					Origin: &sumptest.Origin{Partition: event.Partition(), Position: event.Position()},
				}
				for name, value := range event.Headers() {
					headers = append(headers, headerPair{[]byte(name), value})
					made.Headers = append(made.Headers, sumptest.Header{Name: name, Value: value})
				}
				built = append(built, made)
				equal := func(a, b headerPair) bool { return bytes.Equal(a[0], b[0]) && same(a[1], b[1]) }
				if !same(event.Payload(), want.Payload) || !same(event.Key(), want.Key) ||
					event.Time().UnixMilli() != want.Timestamp || event.Partition() != want.Partition ||
					event.Position() != want.Position || !slices.EqualFunc(headers, want.Headers, equal) {
					t.Errorf("event %d: want %+v", i, want)
				}
			}
			// What a test builds of the same events is the same batch.
			if again := sumptest.Batch(built...); len(built) > 0 {
				if !slices.Equal(again.Payload.Offsets, given.Payload.Offsets) || !same(again.Payload.Validity, given.Payload.Validity) ||
					!slices.Equal(again.Runs, origin.Runs) || !slices.Equal(again.Partitions, origin.Partitions) ||
					(again.Headers == nil) != (given.Headers == nil) || (again.Key == nil) != (given.Key == nil) {
					t.Errorf("built: %+v", again)
				}
			}
		})
	}
}

type eventCase struct {
	Name         string
	Ordered      bool
	Begin, Flush string
	Events       []string
	Expect       struct {
		Failure *struct{ Kind, Code string }
		Refused []struct {
			Event      int
			Kind, Code string
		}
		StoppedAt *int `json:"stopped_at"`
	}
}

// obedient does what the words of a case say.
type obedient struct{ begin, flush string }

func obey(word string) error {
	switch word {
	case "busy":
		return sump.Transient("busy", "come again")
	case "bad":
		return sump.Rejected("bad", "never")
	case "lost":
		return sump.Unknown("lost", "who knows")
	case "halt":
		return sump.Halted("halt", "call the operator")
	case "uncaught":
		return errors.New("nobody said what it means")
	}
	return nil
}

func (s *obedient) Begin(context.Context, *sump.Call) error { return obey(s.begin) }
func (s *obedient) Flush(context.Context, *sump.Call) error { return obey(s.flush) }

func (s *obedient) Process(_ context.Context, _ *sump.Call, event sump.Event) error {
	word, err := event.Text()
	if err != nil {
		return err
	}
	if word == "panic" {
		panic("at the disco")
	}
	return obey(word)
}

type obedientConfig struct {
	Begin string `json:"begin,omitempty"`
	Flush string `json:"flush,omitempty"`
}

func init() {
	sump.RegisterEvents(sump.About{Name: "obedient", Version: "0"},
		func(_ context.Context, c obedientConfig, _ sump.Opening) (sump.EventSink, error) {
			return &obedient{c.Begin, c.Flush}, nil
		})
}

func TestTheEventLevelMakesTheReport(t *testing.T) {
	for _, vector := range vectors[eventCase](t, "events.json") {
		t.Run(vector.Name, func(t *testing.T) {
			config, err := json.Marshal(obedientConfig{vector.Begin, vector.Flush})
			if err != nil {
				t.Fatal(err)
			}
			sink := sumptest.Open(t, string(config))
			sink.Call.Ordered = vector.Ordered
			var events []sumptest.Event
			for _, word := range vector.Events {
				events = append(events, sumptest.Text(word))
			}
			outcome, want := sink.Write(events...), vector.Expect
			if want.Failure != nil {
				if outcome.Failure == nil {
					t.Fatal("the write did not fail as a whole")
				}
				if outcome.Failure.Kind.String() != want.Failure.Kind || outcome.Failure.Code != want.Failure.Code {
					t.Errorf("want %v, got %v", *want.Failure, outcome.Failure)
				}
				return
			}
			if outcome.Failure != nil {
				t.Fatalf("the write failed: %v", outcome.Failure)
			}
			if len(outcome.Refused) != len(want.Refused) {
				t.Errorf("want %v, got %v", want.Refused, outcome.Refused)
			}
			for _, refused := range want.Refused {
				got := outcome.Refused[refused.Event]
				if got == nil || got.Kind.String() != refused.Kind || got.Code != refused.Code {
					t.Errorf("event %d: want %v, got %v", refused.Event, refused, got)
				}
			}
			stop := len(events)
			if want.StoppedAt != nil {
				stop = *want.StoppedAt
			}
			if outcome.StoppedAt != stop {
				t.Errorf("want a stop at %d, got %d", stop, outcome.StoppedAt)
			}
		})
	}
}

func TestAPanicIsAnUnknownOutcomeOfItsEvent(t *testing.T) {
	outcome := sumptest.Open(t, "{}").Write(sumptest.Text("ok"), sumptest.Text("panic"), sumptest.Text("ok"))
	outcome.AssertRefused(1, sump.KindUnknown, "panic")
	if !slices.Equal(outcome.Written, []int{0, 2}) {
		t.Errorf("written: %v", outcome.Written)
	}
}

func TestAConfigurationThatDoesNotFitHaltsTheSink(t *testing.T) {
	_, err := sumptest.TryOpen(t, `{"start": "ok"}`)
	var failure *sump.Error
	if !errors.As(err, &failure) || failure.Kind != sump.KindHalted || failure.Code != "config" {
		t.Errorf("got %v", err)
	}
}
