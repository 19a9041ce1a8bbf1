// Package msgpack turns Go values into MessagePack and back, by the rules and tags of encoding/json where it has some.
//
// It differs from JSON where MessagePack is richer: bytes are bytes, NaN and infinities are numbers, integers have 64
// bits. As in the second version of encoding/json, slices and maps that are nil are empty lists and maps; only a nil any
// or pointer is null. It knows nothing of calls; types that travel beside the object are told to it as Special.
package msgpack

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// maxDepth is how deep lists and maps may be nested; servers take no more.
const maxDepth = 200

// Special replaces the values of one type, before they are encoded, by others.
type Special struct {
	Type    reflect.Type
	Replace func(value any) (any, error)
}

// Marshal returns a value as MessagePack. Values of special's type are replaced first.
func Marshal(value any, special *Special) ([]byte, error) {
	one := encoder{special: special, out: make([]byte, 0, 64)}
	if err := one.encode(reflect.ValueOf(value), "", 0); err != nil {
		return nil, err
	}
	return one.out, nil
}

type encoder struct {
	special *Special
	out     []byte
}

var (
	numberType = reflect.TypeOf(json.Number(""))
	jsonType   = reflect.TypeOf((*json.Marshaler)(nil)).Elem()
	textType   = reflect.TypeOf((*encoding.TextMarshaler)(nil)).Elem()
)

func (e *encoder) encode(value reflect.Value, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("expected less than %d levels, got more at %s; is there a cycle?", maxDepth, short(path))
	}
	if !value.IsValid() {
		e.out = append(e.out, 0xc0)
		return nil
	}
	if done, err := e.own(value, path, depth); done || err != nil {
		return err
	}
	switch value.Kind() {
	case reflect.Bool:
		e.bool(value.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.int(value.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.uint(value.Uint())
	case reflect.Float32:
		e.out = binary.BigEndian.AppendUint32(append(e.out, 0xca), math.Float32bits(float32(value.Float())))
	case reflect.Float64:
		e.float(value.Float())
	case reflect.String:
		e.text(value.String())
	case reflect.Interface, reflect.Pointer:
		return e.encode(value.Elem(), path, depth+1)
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			e.bin(value.Bytes())
			return nil
		}
		return e.list(value, path, depth)
	case reflect.Array:
		return e.list(value, path, depth)
	case reflect.Map:
		return e.mapping(value, path, depth)
	case reflect.Struct:
		return e.record(value, path, depth)
	default:
		return fmt.Errorf("a %s can not be sent at %s; expected numbers, text, bytes, lists, maps or structs", value.Type(), at(path))
	}
	return nil
}

// own encodes what is special, numbers as text, and what says itself how it looks as JSON or as text.
func (e *encoder) own(value reflect.Value, path string, depth int) (bool, error) {
	kind := value.Type()
	if e.special != nil && kind == e.special.Type {
		replaced, err := e.special.Replace(value.Interface())
		if err != nil {
			return true, fmt.Errorf("at %s: %w", at(path), err)
		}
		return true, e.encode(reflect.ValueOf(replaced), path, depth+1)
	}
	if kind == numberType {
		return true, e.number(value.String(), path)
	}
	if kind.PkgPath() == "" && kind.Kind() != reflect.Pointer { // types without a name have no methods
		return false, nil
	}
	if kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Interface {
		if value.IsNil() || !kind.Implements(jsonType) && !kind.Implements(textType) {
			return false, nil
		}
		if kind.Kind() == reflect.Interface {
			return false, nil
		}
		if e.special != nil && kind.Elem() == e.special.Type {
			return false, nil
		}
	}
	if !kind.Implements(jsonType) && !kind.Implements(textType) {
		if !value.CanAddr() || kind.Kind() == reflect.Interface {
			return false, nil
		}
		pointer := reflect.PointerTo(kind)
		if !pointer.Implements(jsonType) && !pointer.Implements(textType) {
			return false, nil
		}
		value = value.Addr()
		kind = pointer
	}
	if kind.Implements(jsonType) {
		return true, e.json(value.Interface(), path, depth)
	}
	text, err := value.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return true, fmt.Errorf("at %s: %w", at(path), err)
	}
	e.text(string(text))
	return true, nil
}

func (e *encoder) json(value any, path string, depth int) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("at %s: %w", at(path), err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return fmt.Errorf("at %s: %w", at(path), err)
	}
	return e.encode(reflect.ValueOf(plain), path, depth+1)
}

// number encodes a number that is written as text.
func (e *encoder) number(text, path string) error {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		e.int(whole)
		return nil
	}
	if whole, err := strconv.ParseUint(text, 10, 64); err == nil {
		e.uint(whole)
		return nil
	}
	if !strings.ContainsAny(text, ".eEnN") {
		return fmt.Errorf("expected an integer between -2**63 and 2**64-1 at %s, got %q; send it as text", at(path), text)
	}
	float, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("expected a number at %s, got %q", at(path), text)
	}
	e.float(float)
	return nil
}

func (e *encoder) bool(value bool) {
	if value {
		e.out = append(e.out, 0xc3)
	} else {
		e.out = append(e.out, 0xc2)
	}
}

func (e *encoder) int(value int64) {
	switch {
	case value >= 0:
		e.uint(uint64(value))
	case value >= -32:
		e.out = append(e.out, byte(value))
	case value >= math.MinInt8:
		e.out = append(e.out, 0xd0, byte(value))
	case value >= math.MinInt16:
		e.out = binary.BigEndian.AppendUint16(append(e.out, 0xd1), uint16(value))
	case value >= math.MinInt32:
		e.out = binary.BigEndian.AppendUint32(append(e.out, 0xd2), uint32(value))
	default:
		e.out = binary.BigEndian.AppendUint64(append(e.out, 0xd3), uint64(value))
	}
}

func (e *encoder) uint(value uint64) {
	switch {
	case value < 0x80:
		e.out = append(e.out, byte(value))
	case value <= math.MaxUint8:
		e.out = append(e.out, 0xcc, byte(value))
	case value <= math.MaxUint16:
		e.out = binary.BigEndian.AppendUint16(append(e.out, 0xcd), uint16(value))
	case value <= math.MaxUint32:
		e.out = binary.BigEndian.AppendUint32(append(e.out, 0xce), uint32(value))
	default:
		e.out = binary.BigEndian.AppendUint64(append(e.out, 0xcf), value)
	}
}

func (e *encoder) float(value float64) {
	e.out = binary.BigEndian.AppendUint64(append(e.out, 0xcb), math.Float64bits(value))
}

func (e *encoder) text(value string) {
	if len(value) < 32 {
		e.out = append(e.out, 0xa0|byte(len(value)))
	} else {
		e.head(len(value), 0xd9, 0xda, 0xdb)
	}
	e.out = append(e.out, value...)
}

func (e *encoder) bin(value []byte) {
	e.head(len(value), 0xc4, 0xc5, 0xc6)
	e.out = append(e.out, value...)
}

// head writes a length in as many bytes as it needs; a code of 0 is one that the kind does not have.
func (e *encoder) head(length int, one, two, four byte) {
	switch {
	case one != 0 && length <= math.MaxUint8:
		e.out = append(e.out, one, byte(length))
	case length <= math.MaxUint16:
		e.out = binary.BigEndian.AppendUint16(append(e.out, two), uint16(length))
	default:
		e.out = binary.BigEndian.AppendUint32(append(e.out, four), uint32(length))
	}
}

func (e *encoder) mapHead(length int) {
	if length < 16 {
		e.out = append(e.out, 0x80|byte(length))
	} else {
		e.head(length, 0, 0xde, 0xdf)
	}
}

func (e *encoder) list(value reflect.Value, path string, depth int) error {
	length := value.Len()
	if length < 16 {
		e.out = append(e.out, 0x90|byte(length))
	} else {
		e.head(length, 0, 0xdc, 0xdd)
	}
	for number := 0; number < length; number++ {
		if err := e.encode(value.Index(number), path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) mapping(value reflect.Value, path string, depth int) error {
	if plain, ok := value.Interface().(map[string]any); ok {
		return e.plainMap(plain, path, depth)
	}
	type entry struct {
		key   string
		value reflect.Value
	}
	entries := make([]entry, 0, value.Len())
	for each := value.MapRange(); each.Next(); {
		key, err := keyText(each.Key())
		if err != nil {
			return fmt.Errorf("at %s: %w", at(path), err)
		}
		entries = append(entries, entry{key, each.Value()})
	}
	sort.Slice(entries, func(a, b int) bool { return entries[a].key < entries[b].key })
	e.mapHead(len(entries))
	for _, one := range entries {
		e.text(one.key)
		if err := e.encode(one.value, path+"."+one.key, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// plainMap encodes the most common map without reflection on its keys.
func (e *encoder) plainMap(value map[string]any, path string, depth int) error {
	keys := make([]string, 0, len(value))
	for key := range value {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	e.mapHead(len(keys))
	for _, key := range keys {
		e.text(key)
		if err := e.encode(reflect.ValueOf(value[key]), path+"."+key, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func keyText(key reflect.Value) (string, error) {
	if key.Kind() == reflect.String {
		return key.String(), nil
	}
	if marshaler, ok := key.Interface().(encoding.TextMarshaler); ok {
		text, err := marshaler.MarshalText()
		return string(text), err
	}
	switch key.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(key.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(key.Uint(), 10), nil
	default:
		return "", fmt.Errorf("expected keys of text or whole numbers, got %s", key.Type())
	}
}

func (e *encoder) record(value reflect.Value, path string, depth int) error {
	known := fieldsOf(value.Type())
	sent := 0
	for number := range known.fields {
		if _, ok := known.fields[number].sent(value); ok {
			sent++
		}
	}
	e.mapHead(sent)
	for number := range known.fields {
		one := &known.fields[number]
		found, ok := one.sent(value)
		if !ok {
			continue
		}
		e.text(one.name)
		if err := e.encode(found, path+"."+one.name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// sent returns a field's value, and whether it is to be sent.
func (f *field) sent(value reflect.Value) (reflect.Value, bool) {
	found, ok := f.get(value)
	if !ok || f.omitEmpty && isEmpty(found) || f.omitZero && found.IsZero() {
		return found, false
	}
	return found, true
}

func at(path string) string {
	if path == "" {
		return "the top"
	}
	return strings.TrimPrefix(path, ".")
}

func short(path string) string {
	path = at(path)
	if len(path) > 60 {
		return path[:60] + "..."
	}
	return path
}
