package sump_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sump.example/sump"
)

type common struct {
	URL string `json:"url" doc:"Where to."`
}

type everything struct {
	common
	Mode    string            `json:"mode" default:"fast" enum:"fast,slow"`
	Size    int               `json:"size" default:"10"`
	Wait    time.Duration     `json:"wait" default:"1m30s"`
	Ratio   *float64          `json:"ratio"`
	Tags    []string          `json:"tags,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Nested  struct {
		On bool `json:"on"`
	} `json:"nested,omitempty"`
	hidden  int
	Ignored int `json:"-"`
}

func TestTheSchemaSaysWhatTheTypeSays(t *testing.T) {
	var got, want any
	if err := json.Unmarshal(sump.Schema[everything](), &got); err != nil {
		t.Fatal(err)
	}
	text := `{
		"type": "object", "additionalProperties": false, "required": ["url"],
		"properties": {
			"url": {"type": "string", "description": "Where to."},
			"mode": {"type": "string", "default": "fast", "enum": ["fast", "slow"]},
			"size": {"type": "integer", "default": 10},
			"wait": {"type": "string", "default": "1m30s", "examples": ["30s", "1m30s"]},
			"ratio": {"type": "number"},
			"tags": {"type": "array", "items": {"type": "string"}},
			"headers": {"type": "object", "additionalProperties": {"type": "string"}},
			"nested": {"type": "object", "additionalProperties": false, "required": ["on"], "properties": {"on": {"type": "boolean"}}}
		}
	}`
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("want %v\ngot %v", want, got)
	}
}

func TestAConfigurationIsDecodedWithItsDefaults(t *testing.T) {
	config, err := sump.Decode[everything]([]byte(`{"url": "u", "wait": "5s", "ratio": 0.5, "headers": {"a": "b"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if config.URL != "u" || config.Mode != "fast" || config.Size != 10 || config.Wait != 5*time.Second ||
		config.Ratio == nil || *config.Ratio != 0.5 || config.Headers["a"] != "b" || config.hidden != 0 {
		t.Errorf("got %+v", config)
	}
}

func TestAConfigurationThatDoesNotFitIsToldByItsField(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                    "`url` is missing",
		`{"url": 1}`:                            "`url`: ",
		`{"url": "u", "mode": "slw"}`:           "`mode` is one of fast, slow",
		`{"url": "u", "urls": "u"}`:             "`urls` is unknown",
		`{"url": "u", "wait": "long"}`:          "`wait`: ",
		`{"url": "u", "nested": {"off": true}}`: "`nested`: ",
		`[]`:                                    "no JSON object",
	} {
		if _, err := sump.Decode[everything]([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", text, want, err)
		}
	}
}
