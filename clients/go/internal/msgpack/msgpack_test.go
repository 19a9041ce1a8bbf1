package msgpack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func roundTrip(t *testing.T, value any) any {
	t.Helper()
	data, err := Marshal(value, nil)
	if err != nil {
		t.Fatalf("Marshal(%v): %v", value, err)
	}
	back, err := Unmarshal(data)
	if err != nil {
		t.Fatalf("Unmarshal(%x): %v", data, err)
	}
	return back
}

func TestValuesSurvive(t *testing.T) {
	long := strings.Repeat("ä", 40000)
	for _, value := range []any{
		nil, true, false, "", "text", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 300), long,
		int64(0), int64(127), int64(128), int64(255), int64(256), int64(65536), int64(math.MaxInt64), int64(-1), int64(-32),
		int64(-33), int64(-128), int64(-129), int64(-32769), int64(math.MinInt64), uint64(math.MaxUint64), 1.5, math.Inf(1),
		math.Inf(-1), []byte{}, []byte{0, 255}, bytes.Repeat([]byte{7}, 70000), []any{}, []any{int64(1), []any{nil}},
		map[string]any{}, map[string]any{"a": map[string]any{"b": []byte("c")}},
	} {
		if back := roundTrip(t, value); !reflect.DeepEqual(back, value) {
			t.Errorf("expected %v, got %v", value, back)
		}
	}
	if back, ok := roundTrip(t, math.NaN()).(float64); !ok || !math.IsNaN(back) {
		t.Errorf("expected NaN, got %v", back)
	}
	items := make([]any, 70000)
	if back := roundTrip(t, items); len(back.([]any)) != len(items) {
		t.Errorf("expected %d items", len(items))
	}
}

func TestBytesAreThoseOfTheSpecification(t *testing.T) {
	for _, one := range []struct {
		value any
		wire  string
	}{
		{map[string]any{"b": 1, "a": nil}, "82a161c0a16201"},
		{[]int{1, -1, 200, -200}, "9401ffccc8d1ff38"},
		{float32(0.5), "ca3f000000"},
		{0.5, "cb3fe0000000000000"},
		{[]byte("x"), "c40178"},
		{json.Number("18446744073709551615"), "cfffffffffffffffff"},
		{json.Number("1.5"), "cb3ff8000000000000"},
		{json.RawMessage(`{"n": 9007199254740993}`), "81a16ecf0020000000000001"},
		{map[int]bool{2: true}, "81a132c3"},
		{[]any{nil, []int(nil), map[string]int(nil), []byte(nil), (*int)(nil)}, "95c09080c400c0"},
	} {
		data, err := Marshal(one.value, nil)
		if got := hex.EncodeToString(data); err != nil || got != one.wire {
			t.Errorf("%v: expected %s, got %s, %v", one.value, one.wire, got, err)
		}
	}
}

type inner struct {
	Deep string `json:"deep"`
}

type sample struct {
	inner
	Name    string            `json:"name"`
	Skipped string            `json:"-"`
	Empty   []string          `json:"empty,omitempty"`
	Pointer *int              `json:"pointer"`
	When    time.Time         `json:"when"`
	Data    []byte            `json:"data"`
	Scores  map[string]uint16 `json:"scores"`
	Any     any
	hidden  int
}

func TestStructsFollowJSONTags(t *testing.T) {
	number, when := 7, time.Date(2026, 11, 21, 10, 0, 0, 5, time.UTC)
	value := sample{
		inner: inner{"x"}, Name: "tea", Skipped: "no", Pointer: &number, When: when, Data: []byte{1},
		Scores: map[string]uint16{"a": 65535}, Any: []any{int64(1)}, hidden: 1,
	}
	back := roundTrip(t, value).(map[string]any)
	for _, absent := range []string{"Skipped", "-", "empty", "hidden", "inner"} {
		if _, there := back[absent]; there {
			t.Errorf("expected no %s", absent)
		}
	}
	var again sample
	if err := Assign(&again, back); err != nil {
		t.Fatal(err)
	}
	value.Skipped, value.hidden = "", 0
	if !reflect.DeepEqual(again, value) {
		t.Errorf("expected %+v, got %+v", value, again)
	}
	if err := Assign(&again, map[string]any{"NAME": "case", "unknown": int64(1)}); err != nil || again.Name != "case" {
		t.Errorf("expected keys in any case, got %q, %v", again.Name, err)
	}
}

func TestAssignConverts(t *testing.T) {
	var (
		small    int8
		float    float64
		text     string
		list     [2]uint8
		times    map[int]time.Time
		number   json.Number
		whatever any
	)
	for _, one := range []struct {
		target any
		value  any
		fails  string
	}{
		{&small, int64(-128), ""},
		{&small, int64(128), "int8"},
		{&small, 1.0, ""},
		{&small, 1.5, "int8"},
		{&float, int64(3), ""},
		{&float, "NaN", ""},
		{&text, int64(3), "string"},
		{&text, json.Number("3"), "string"},
		{&list, []byte{1, 2}, ""},
		{&list, []any{int64(1)}, "2 items"},
		{&times, map[string]any{"3": "2026-01-02T03:04:05Z"}, ""},
		{&number, int64(5), ""},
		{&whatever, json.Number("9007199254740993"), ""},
	} {
		err := Assign(one.target, one.value)
		if one.fails == "" && err != nil {
			t.Errorf("%T <- %v: %v", one.target, one.value, err)
		} else if one.fails != "" && (err == nil || !strings.Contains(err.Error(), one.fails)) {
			t.Errorf("%T <- %v: expected a failure with %q, got %v", one.target, one.value, one.fails, err)
		}
	}
	if whatever != int64(9007199254740993) || number != "5" || times[3].Year() != 2026 || !math.IsNaN(float) {
		t.Errorf("got %v %v %v %v", whatever, number, times, float)
	}
}

func TestWhatCanNotBeSentSaysWhere(t *testing.T) {
	cycle := map[string]any{}
	cycle["again"] = cycle
	for _, one := range []struct {
		value any
		says  string
	}{
		{map[string]any{"a": []any{make(chan int)}}, "chan int can not be sent at a"},
		{map[string]any{"n": json.Number("99999999999999999999")}, "at n"},
		{cycle, "cycle"},
		{map[float64]int{1: 1}, "keys"},
	} {
		if _, err := Marshal(one.value, nil); err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("expected %q, got %v", one.says, err)
		}
	}
}

func TestMalformedIsAnError(t *testing.T) {
	for _, wire := range []string{"", "92", "a3", "c4ff", "df ff ff ff ff", "dd ff ff ff ff", "c1", "0000", "d40100", "cb00"} {
		data, _ := hex.DecodeString(strings.ReplaceAll(wire, " ", ""))
		if value, err := Unmarshal(data); err == nil {
			t.Errorf("%s: expected an error, got %v", wire, value)
		}
	}
	deep := bytes.Repeat([]byte{0x91}, 100000)
	if _, err := Unmarshal(deep); err == nil {
		t.Error("expected an error for deep nesting")
	}
}

func TestTimestampsAreTimes(t *testing.T) {
	data, _ := hex.DecodeString("d6ff65000000")
	if value, err := Unmarshal(data); err != nil || !value.(time.Time).Equal(time.Unix(0x65000000, 0)) {
		t.Errorf("got %v, %v", value, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte{0x81, 0xa1, 0x61, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := Unmarshal(data)
		if err != nil {
			return
		}
		if _, err := Marshal(value, nil); err != nil && !strings.Contains(err.Error(), "levels") {
			t.Errorf("%x was read and can not be written: %v", data, err)
		}
	})
}
