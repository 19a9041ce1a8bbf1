package bridgeclient

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// SchemaOf returns the JSON Schema of a Go type: of a struct with json tags, a slice, a map or a basic type. A tag
// `description` says what a field is for, `enum` which texts it may have, divided by commas. Fields are required but
// for pointers and those with omitempty.
func SchemaOf[T any]() (map[string]any, error) {
	var value T
	kind := reflect.TypeOf(&value).Elem()
	return schemaOf(kind, kind.String(), map[reflect.Type]bool{})
}

var (
	timeType = reflect.TypeOf(time.Time{})
	textType = reflect.TypeOf((*encoding.TextMarshaler)(nil)).Elem()
	rawType  = reflect.TypeOf(json.RawMessage{})
)

func schemaOf(kind reflect.Type, path string, above map[reflect.Type]bool) (map[string]any, error) {
	switch {
	case kind == timeType:
		return map[string]any{"type": "string", "format": "date-time"}, nil
	case kind == rawType:
		return map[string]any{}, nil
	case kind.Implements(textType) || reflect.PointerTo(kind).Implements(textType):
		return map[string]any{"type": "string"}, nil
	}
	switch kind.Kind() {
	case reflect.Pointer:
		return schemaOf(kind.Elem(), path, above)
	case reflect.Interface:
		return map[string]any{}, nil
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}, nil
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}, nil
	case reflect.Slice, reflect.Array:
		items, err := schemaOf(kind.Elem(), path+"[]", above)
		return map[string]any{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := schemaOf(kind.Elem(), path+"[]", above)
		return map[string]any{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		return structSchema(kind, path, above)
	default:
		return nil, fmt.Errorf("bridgeclient: a %s has no JSON Schema, at %s; give one", kind, path)
	}
}

func structSchema(kind reflect.Type, path string, above map[reflect.Type]bool) (map[string]any, error) {
	if above[kind] {
		return nil, fmt.Errorf("bridgeclient: %s contains itself, at %s; give a JSON Schema", kind, path)
	}
	above[kind] = true
	defer delete(above, kind)
	properties, required := map[string]any{}, []string{}
	for _, field := range reflect.VisibleFields(kind) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || field.Anonymous && name == "" || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		schema, err := schemaOf(field.Type, path+"."+name, above)
		if err != nil {
			return nil, err
		}
		if text := field.Tag.Get("description"); text != "" {
			schema["description"] = text
		}
		if texts := field.Tag.Get("enum"); texts != "" {
			schema["enum"] = strings.Split(texts, ",")
		}
		properties[name] = schema
		if field.Type.Kind() != reflect.Pointer && !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}, nil
}
