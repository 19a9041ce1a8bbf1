package msgpack

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// Assign writes a value, as Unmarshal gives it or as encoding/json does with UseNumber, into what target points to.
// Fields of structs that the value lacks stay as they are; keys that the struct lacks are passed over.
func Assign(target any, value any) error {
	into := reflect.ValueOf(target)
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return fmt.Errorf("expected a pointer to write the result to, got %T", target)
	}
	return assign(into.Elem(), value, "")
}

var (
	unmarshalerType     = reflect.TypeOf((*json.Unmarshaler)(nil)).Elem()
	textUnmarshalerType = reflect.TypeOf((*encoding.TextUnmarshaler)(nil)).Elem()
)

func assign(into reflect.Value, value any, path string) error {
	kind := into.Type()
	if kind.Kind() == reflect.Interface && kind.NumMethod() == 0 {
		if value == nil {
			into.Set(reflect.Zero(kind))
		} else {
			into.Set(reflect.ValueOf(plain(value)))
		}
		return nil
	}
	if value == nil {
		into.Set(reflect.Zero(kind))
		return nil
	}
	if found := reflect.TypeOf(value); found == kind && found.Kind() != reflect.Slice && found.Kind() != reflect.Map {
		into.Set(reflect.ValueOf(value))
		return nil
	}
	if kind.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(kind.Elem()))
		}
		return assign(into.Elem(), value, path)
	}
	if into.CanAddr() {
		if done, err := itself(into.Addr(), value, path); done {
			return err
		}
	}
	if number, ok := value.(json.Number); ok {
		return assignNumber(into, number, path)
	}
	return assignKind(into, value, path)
}

// itself lets a type read the value that can do so.
func itself(into reflect.Value, value any, path string) (bool, error) {
	if into.Type().Implements(unmarshalerType) {
		data, err := ToJSON(value)
		if err == nil {
			err = into.Interface().(json.Unmarshaler).UnmarshalJSON(data)
		}
		return true, within(err, path)
	}
	if text, ok := value.(string); ok && into.Type().Implements(textUnmarshalerType) {
		return true, within(into.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)), path)
	}
	return false, nil
}

func within(err error, path string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("at %s: %w", at(path), err)
}

func assignKind(into reflect.Value, value any, path string) error {
	switch into.Kind() {
	case reflect.Bool:
		if typed, ok := value.(bool); ok {
			into.SetBool(typed)
			return nil
		}
	case reflect.String:
		return assignText(into, value, path)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if typed, ok := whole(value); ok && !into.OverflowInt(typed) {
			into.SetInt(typed)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if typed, ok := unsigned(value); ok && !into.OverflowUint(typed) {
			into.SetUint(typed)
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if typed, ok := float(value); ok {
			into.SetFloat(typed)
			return nil
		}
	case reflect.Slice, reflect.Array:
		return assignList(into, value, path)
	case reflect.Map:
		return assignMap(into, value, path)
	case reflect.Struct:
		return assignRecord(into, value, path)
	}
	return mismatch(into, value, path)
}

func mismatch(into reflect.Value, value any, path string) error {
	return fmt.Errorf("expected what fits a %s at %s, got %s", into.Type(), at(path), describe(value))
}

func describe(value any) string {
	switch typed := value.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case []byte:
		return "bytes"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case bool, int64, uint64, float64, json.Number:
		return fmt.Sprint(typed)
	default:
		return fmt.Sprintf("a %T", value)
	}
}

func assignText(into reflect.Value, value any, path string) error {
	switch typed := value.(type) {
	case string:
		into.SetString(typed)
	case int64, uint64, float64:
		if into.Type() != numberType {
			return mismatch(into, value, path)
		}
		text, err := ToJSON(typed)
		if err != nil {
			return within(err, path)
		}
		into.SetString(string(text))
	default:
		return mismatch(into, value, path)
	}
	return nil
}

func assignNumber(into reflect.Value, number json.Number, path string) error {
	if into.Type() == numberType {
		into.SetString(number.String())
		return nil
	}
	return assignKind(into, plain(number), path)
}

// plain returns numbers of JSON as those of Go, also where they are deep inside.
func plain(value any) any {
	switch typed := value.(type) {
	case json.Number:
		if found, err := strconv.ParseInt(typed.String(), 10, 64); err == nil {
			return found
		}
		if found, err := strconv.ParseUint(typed.String(), 10, 64); err == nil {
			return found
		}
		if found, err := typed.Float64(); err == nil {
			return found
		}
		return typed
	case []any:
		for number, item := range typed {
			typed[number] = plain(item)
		}
	case map[string]any:
		for key, item := range typed {
			switch item.(type) {
			case json.Number, []any, map[string]any:
				typed[key] = plain(item)
			}
		}
	}
	return value
}

// exact is 2**63: floats below it that are whole fit an int64.
const exact = 1 << 63

func whole(value any) (int64, bool) {
	switch typed := value.(type) {
	case int64:
		return typed, true
	case float64:
		return int64(typed), typed == math.Trunc(typed) && typed >= -exact && typed < exact
	default:
		return 0, false
	}
}

func unsigned(value any) (uint64, bool) {
	if typed, ok := value.(uint64); ok {
		return typed, true
	}
	found, ok := whole(value)
	return uint64(found), ok && found >= 0
}

func float(value any) (float64, bool) {
	switch typed := value.(type) {
	case float64:
		return typed, true
	case int64:
		return float64(typed), true
	case uint64:
		return float64(typed), true
	case string: // as the bridge writes them in JSON
		switch typed {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
	}
	return 0, false
}

func assignList(into reflect.Value, value any, path string) error {
	kind := into.Type()
	if data, ok := value.([]byte); ok && kind.Elem().Kind() == reflect.Uint8 {
		if kind.Kind() == reflect.Slice {
			into.SetBytes(data)
			return nil
		}
		if len(data) != into.Len() {
			return fmt.Errorf("expected %d bytes at %s, got %d", into.Len(), at(path), len(data))
		}
		reflect.Copy(into, reflect.ValueOf(data))
		return nil
	}
	items, ok := value.([]any)
	if !ok {
		return mismatch(into, value, path)
	}
	if kind.Kind() == reflect.Slice {
		into.Set(reflect.MakeSlice(kind, len(items), len(items)))
	} else if len(items) != into.Len() {
		return fmt.Errorf("expected %d items at %s, got %d", into.Len(), at(path), len(items))
	}
	for number, item := range items {
		if err := assign(into.Index(number), item, path); err != nil {
			return fmt.Errorf("item %d: %w", number, err)
		}
	}
	return nil
}

func assignMap(into reflect.Value, value any, path string) error {
	kind := into.Type()
	entries, ok := value.(map[string]any)
	if !ok {
		return mismatch(into, value, path)
	}
	made := reflect.MakeMapWithSize(kind, len(entries))
	for name, entry := range entries {
		key := reflect.New(kind.Key()).Elem()
		if err := assignKey(key, name, path); err != nil {
			return err
		}
		item := reflect.New(kind.Elem()).Elem()
		if err := assign(item, entry, path+"."+name); err != nil {
			return err
		}
		made.SetMapIndex(key, item)
	}
	into.Set(made)
	return nil
}

func assignKey(into reflect.Value, name, path string) error {
	if done, err := itself(into.Addr(), name, path); done {
		return err
	}
	switch into.Kind() {
	case reflect.String, reflect.Interface:
		return assign(into, name, path)
	default:
		return assignNumber(into, json.Number(name), path)
	}
}

func assignRecord(into reflect.Value, value any, path string) error {
	entries, ok := value.(map[string]any)
	if !ok {
		return mismatch(into, value, path)
	}
	known := fieldsOf(into.Type())
	for name, entry := range entries {
		if found, ok := known.find(name); ok {
			if err := assign(found.settable(into), entry, path+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// ToJSON returns a value as Unmarshal gives it as JSON: bytes as base64, NaN and infinities as texts.
func ToJSON(value any) ([]byte, error) {
	return json.Marshal(jsonable(value))
}

func jsonable(value any) any {
	switch typed := value.(type) {
	case float64:
		switch {
		case math.IsNaN(typed):
			return "NaN"
		case math.IsInf(typed, 1):
			return "Infinity"
		case math.IsInf(typed, -1):
			return "-Infinity"
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(typed)
	case []any:
		made := make([]any, len(typed))
		for number, item := range typed {
			made[number] = jsonable(item)
		}
		return made
	case map[string]any:
		made := make(map[string]any, len(typed))
		for key, item := range typed {
			made[key] = jsonable(item)
		}
		return made
	}
	return value
}
