// Influx writes events as points in InfluxDB's line protocol, to InfluxDB, VictoriaMetrics, or whatever else takes it:
// one request for each batch.
//
//	[pipeline.quakes.sink.store]
//	type = "wasm"
//	path = "influx.wasm"
//	config = { url = "http://127.0.0.1:8428/write", measurement = "quake", tags = ["net"], fields = ["mag", "depth"] }
//	allow.http = [{ to = "http://127.0.0.1:8428/write" }]
package main

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"

	"sump.example/sump"
	"sump.example/sump/sumphttp"
)

type config struct {
	URL         string   `json:"url" doc:"Where points are written, such as http://127.0.0.1:8428/write."`
	Measurement string   `json:"measurement" doc:"What the points are of."`
	Tags        []string `json:"tags,omitempty" doc:"Fields of an event that tell series apart."`
	Fields      []string `json:"fields" doc:"Fields of an event that are measured: numbers, texts, true or false."`
	Time        string   `json:"time" doc:"The field with the time in milliseconds; where it is absent, the event's own time." default:"time"`
}

func init() {
	sump.RegisterBatches(sump.About{Name: "influx", Version: "0.1.0", StopsInOrder: true}, open)
}

func main() {}

type influx struct{ config }

func open(_ context.Context, c config, _ sump.Opening) (sump.BatchSink, error) {
	if len(c.Fields) == 0 {
		return nil, sump.Halted("config", "`fields` names none: a point has at least one")
	}
	return &influx{c}, nil
}

// Write sends a batch whole or not at all: points have identities of their own (series and time), so that one that is
// written twice is still one.
func (s *influx) Write(ctx context.Context, _ *sump.Call, batch *sump.Batch) (*sump.Report, error) {
	report := new(sump.Report)
	var points bytes.Buffer
	for i, event := range batch.Events() {
		if err := s.point(&points, event); err != nil {
			report.Refuse(i, err)
		}
	}
	if points.Len() == 0 {
		return report, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, &points)
	if err != nil {
		return nil, sump.Halted("config", "%w", err)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	return report, sumphttp.Send(request)
}

// point adds the line of an event: MEASUREMENT,TAG=… FIELD=… TIME. It adds nothing when it fails.
func (s *influx) point(points *bytes.Buffer, event sump.Event) error {
	var given map[string]any
	if err := event.JSON(&given); err != nil {
		return err
	}
	line := escape(s.Measurement, ", ")
	for _, tag := range s.Tags {
		// An absent tag, and an empty one, can't be written: the series is the one without it.
		if value, ok := given[tag].(string); ok && value != "" {
			line += "," + escape(tag, ",= ") + "=" + escape(value, ",= ")
		}
	}
	separator := " "
	for _, field := range s.Fields {
		value, ok := fieldValue(given[field])
		if ok {
			line += separator + escape(field, ",= ") + "=" + value
			separator = ","
		}
	}
	if separator == " " {
		return sump.Rejected("no-field", "the event has none of %s", strings.Join(s.Fields, ", "))
	}
	milliseconds := event.Time().UnixMilli()
	if time, ok := given[s.Time].(float64); ok {
		milliseconds = int64(time)
	}
	points.WriteString(line + " " + strconv.FormatInt(milliseconds, 10) + "000000\n")
	return nil
}

func fieldValue(value any) (string, bool) {
	switch value := value.(type) {
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(value), true
	case string:
		return `"` + escape(value, `\"`) + `"`, true
	}
	return "", false
}

// escape puts a backslash before each of these characters. A line ends a point: none gets into it.
func escape(text, special string) string {
	text = strings.ReplaceAll(text, "\n", " ")
	for _, one := range special {
		text = strings.ReplaceAll(text, string(one), `\`+string(one))
	}
	return text
}
