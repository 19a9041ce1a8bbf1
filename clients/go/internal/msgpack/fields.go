package msgpack

import (
	"reflect"
	"strings"
	"sync"
)

// field is a field of a struct as it travels.
type field struct {
	name      string
	index     []int
	omitEmpty bool
	omitZero  bool
}

// record is what is known of a struct type.
type record struct {
	fields []field
	byName map[string]int
	byFold map[string]int
}

var records sync.Map // reflect.Type -> *record

// fieldsOf returns the fields of a struct type by the rules of encoding/json's tags.
func fieldsOf(kind reflect.Type) *record {
	if found, ok := records.Load(kind); ok {
		return found.(*record)
	}
	made := &record{byName: map[string]int{}, byFold: map[string]int{}}
	made.collect(kind, nil, map[reflect.Type]bool{})
	found, _ := records.LoadOrStore(kind, made)
	return found.(*record)
}

// collect adds the fields of a struct, then those of the structs that are embedded in it: the outer one wins.
func (r *record) collect(kind reflect.Type, path []int, seen map[reflect.Type]bool) {
	if seen[kind] {
		return
	}
	seen[kind] = true
	type inner struct {
		kind reflect.Type
		path []int
	}
	var embedded []inner
	for number := 0; number < kind.NumField(); number++ {
		found := kind.Field(number)
		name, options, _ := strings.Cut(found.Tag.Get("json"), ",")
		index := append(append([]int(nil), path...), number)
		if found.Anonymous && name == "" {
			base := found.Type
			if base.Kind() == reflect.Pointer {
				base = base.Elem()
			}
			if base.Kind() == reflect.Struct && (found.IsExported() || found.Type.Kind() != reflect.Pointer) {
				embedded = append(embedded, inner{base, index})
				continue
			}
		}
		if !found.IsExported() || (name == "-" && options == "") {
			continue
		}
		if name == "" {
			name = found.Name
		}
		if _, taken := r.byName[name]; taken {
			continue
		}
		r.byName[name] = len(r.fields)
		if folded := strings.ToLower(name); !r.hasFold(folded) {
			r.byFold[folded] = len(r.fields)
		}
		r.fields = append(r.fields, field{name, index, has(options, "omitempty"), has(options, "omitzero")})
	}
	for _, one := range embedded {
		r.collect(one.kind, one.path, seen)
	}
}

func (r *record) hasFold(name string) bool {
	_, found := r.byFold[name]
	return found
}

// find returns the field of a key: by its name, else by its name in any case.
func (r *record) find(key string) (*field, bool) {
	number, found := r.byName[key]
	if !found {
		number, found = r.byFold[strings.ToLower(key)]
	}
	if !found {
		return nil, false
	}
	return &r.fields[number], true
}

func has(options, wanted string) bool {
	for options != "" {
		var one string
		one, options, _ = strings.Cut(options, ",")
		if one == wanted {
			return true
		}
	}
	return false
}

// get returns a field of a struct; false where it is in an embedded pointer that is nil.
func (f *field) get(value reflect.Value) (reflect.Value, bool) {
	for depth, number := range f.index {
		if depth > 0 && value.Kind() == reflect.Pointer {
			if value.IsNil() {
				return reflect.Value{}, false
			}
			value = value.Elem()
		}
		value = value.Field(number)
	}
	return value, true
}

// settable returns a field of a struct to be written, and makes the embedded structs that it is in.
func (f *field) settable(value reflect.Value) reflect.Value {
	for depth, number := range f.index {
		if depth > 0 && value.Kind() == reflect.Pointer {
			if value.IsNil() {
				value.Set(reflect.New(value.Type().Elem()))
			}
			value = value.Elem()
		}
		value = value.Field(number)
	}
	return value
}

func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return value.Len() == 0
	case reflect.Struct:
		return false
	default:
		return value.IsZero()
	}
}
