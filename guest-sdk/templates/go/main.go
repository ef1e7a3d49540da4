// A sink for Sump that logs a line for each event: the place to begin.
//
//	[pipeline.events.sink.out]
//	type = "wasm"
//	path = "build/{{name}}.wasm"
//	config = { prefix = "seen" }
package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"sump.example/sump"
)

type config struct {
	Prefix string `json:"prefix" doc:"What each line begins with." default:"seen"`
}

// item is what an event has to hold.
type item struct {
	ID json.RawMessage `json:"id"`
}

func init() {
	sump.RegisterEvents(sump.About{Name: "{{name}}", Version: "0.1.0"}, open)
}

func main() {}

type sink struct{ config }

func open(_ context.Context, c config, _ sump.Opening) (sump.EventSink, error) {
	return &sink{c}, nil
}

func (s *sink) Process(_ context.Context, _ *sump.Call, event sump.Event) error {
	// What is not JSON is rejected here, and becomes a dead letter.
	var item item
	if err := event.JSON(&item); err != nil {
		return err
	}
	if item.ID == nil {
		return sump.Rejected("no-id", "the event has no `id`")
	}
	slog.Info(s.Prefix + " " + string(item.ID))
	return nil
}
