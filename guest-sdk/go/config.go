package sump

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Schema is the JSON Schema of a configuration of type C, a struct. Its fields are named by their json tags; further
// tags say more about them:
//
//	doc:"…"       what it is for
//	default:"…"   its value where none is given, as text or in JSON
//	enum:"a,b"    the values that it takes
//
// A field is required unless it has a default, is a pointer, or says omitempty or omitzero. Unknown fields are refused.
// A [time.Duration] is text such as "1m30s".
//
// Schema panics for what a configuration can't hold, such as a channel.
func Schema[C any]() []byte {
	schema := schemaOf(reflect.TypeFor[C]())
	if schema["type"] != "object" {
		panic(fmt.Sprintf("sump: a configuration is a struct, not %v", reflect.TypeFor[C]()))
	}
	text, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("sump: no schema for %v: %v", reflect.TypeFor[C](), err))
	}
	return text
}

// Decode reads a configuration of type C, fills in its defaults, and refuses unknown fields and absent ones that are
// required.
func Decode[C any](text []byte) (config C, err error) {
	value := reflect.ValueOf(&config).Elem()
	if err := setDefaults(value); err != nil {
		return config, err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return config, fmt.Errorf("the configuration is no JSON object: %w", err)
	}
	for _, field := range fieldsOf(value.Type()) {
		raw, ok := given[field.name]
		delete(given, field.name)
		if !ok {
			if field.required {
				return config, fmt.Errorf("`%s` is missing", field.name)
			}
			continue
		}
		if err := decodeField(raw, value.FieldByIndex(field.index)); err != nil {
			return config, fmt.Errorf("`%s`: %w", field.name, err)
		}
		if field.enum != nil && !field.takes(value.FieldByIndex(field.index)) {
			return config, fmt.Errorf("`%s` is one of %s", field.name, strings.Join(field.enum, ", "))
		}
	}
	for name := range given {
		return config, fmt.Errorf("`%s` is unknown", name)
	}
	return config, nil
}

type field struct {
	name     string
	index    []int
	kind     reflect.Type
	doc      string
	fallback *string
	enum     []string
	required bool
}

func (f *field) takes(value reflect.Value) bool {
	for _, one := range f.enum {
		if fmt.Sprint(value.Interface()) == one {
			return true
		}
	}
	return false
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		found := field{name: name, index: f.Index, kind: f.Type, doc: f.Tag.Get("doc")}
		if text, ok := f.Tag.Lookup("default"); ok {
			found.fallback = &text
		}
		if text, ok := f.Tag.Lookup("enum"); ok {
			found.enum = strings.Split(text, ",")
		}
		found.required = found.fallback == nil && f.Type.Kind() != reflect.Pointer && !strings.Contains(options, "omit")
		fields = append(fields, found)
	}
	return fields
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType     = reflect.TypeFor[json.Unmarshaler]()
)

func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == durationType:
		return map[string]any{"type": "string", "examples": []string{"30s", "1m30s"}}
	case reflect.PointerTo(t).Implements(textType):
		return map[string]any{"type": "string"}
	case reflect.PointerTo(t).Implements(jsonType):
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Interface:
		return map[string]any{}
	case reflect.Struct:
		return structSchema(t)
	}
	panic(fmt.Sprintf("sump: a configuration can't hold a %v", t))
}

func structSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, field := range fieldsOf(t) {
		property := schemaOf(field.kind)
		if field.doc != "" {
			property["description"] = field.doc
		}
		if field.enum != nil {
			property["enum"] = field.enum
		}
		if field.fallback != nil {
			property["default"] = jsonOf(*field.fallback, property["type"])
		}
		if field.required {
			required = append(required, field.name)
		}
		properties[field.name] = property
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// jsonOf is a default as JSON: text stands for itself where a string is expected.
func jsonOf(text string, kind any) json.RawMessage {
	if kind != "string" && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // A string can always be marshalled.
	return quoted
}

func setDefaults(value reflect.Value) error {
	for _, field := range fieldsOf(value.Type()) {
		if field.fallback == nil {
			continue
		}
		raw := jsonOf(*field.fallback, schemaOf(field.kind)["type"])
		if err := decodeField(raw, value.FieldByIndex(field.index)); err != nil {
			return fmt.Errorf("the default of `%s`: %w", field.name, err)
		}
	}
	return nil
}

func decodeField(raw json.RawMessage, value reflect.Value) error {
	if value.Type() == durationType {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		duration, err := time.ParseDuration(text)
		value.SetInt(int64(duration))
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value.Addr().Interface())
}
