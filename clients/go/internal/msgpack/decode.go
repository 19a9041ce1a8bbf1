package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Unmarshal returns the one value that data has: nil, bool, int64 (uint64 beyond it), float64, string, []byte, []any,
// map[string]any or time.Time. It never keeps data itself. Keys that are no text become text.
func Unmarshal(data []byte) (any, error) {
	one := decoder{data: data}
	value, err := one.value(0)
	if err != nil {
		return nil, err
	}
	if one.at != len(data) {
		return nil, fmt.Errorf("expected one value, got %d bytes more", len(data)-one.at)
	}
	return value, nil
}

type decoder struct {
	data []byte
	at   int
}

var errShort = errors.New("the value ends in the middle")

// take returns the next bytes.
func (d *decoder) take(count int) ([]byte, error) {
	if count < 0 || len(d.data)-d.at < count {
		return nil, errShort
	}
	taken := d.data[d.at : d.at+count]
	d.at += count
	return taken, nil
}

// number returns the next 1, 2, 4 or 8 bytes as a number.
func (d *decoder) number(size int) (uint64, error) {
	taken, err := d.take(size)
	if err != nil {
		return 0, err
	}
	switch size {
	case 1:
		return uint64(taken[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(taken)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(taken)), nil
	default:
		return binary.BigEndian.Uint64(taken), nil
	}
}

func (d *decoder) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("expected less than %d levels", maxDepth)
	}
	head, err := d.take(1)
	if err != nil {
		return nil, err
	}
	code := head[0]
	switch {
	case code < 0x80:
		return int64(code), nil
	case code >= 0xe0:
		return int64(int8(code)), nil
	case code < 0x90:
		return d.mapping(int(code&0x0f), depth)
	case code < 0xa0:
		return d.list(int(code&0x0f), depth)
	case code < 0xc0:
		return d.text(int(code & 0x1f))
	}
	switch code {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return code == 0xc3, nil
	case 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3:
		return d.scalar(code)
	default:
		return d.sized(code, depth)
	}
}

// scalar reads floats and integers with a code of their own.
func (d *decoder) scalar(code byte) (any, error) {
	sizes := [...]int{4, 8, 1, 2, 4, 8, 1, 2, 4, 8}
	found, err := d.number(sizes[code-0xca])
	if err != nil {
		return nil, err
	}
	switch code {
	case 0xca:
		return float64(math.Float32frombits(uint32(found))), nil
	case 0xcb:
		return math.Float64frombits(found), nil
	case 0xd0:
		return int64(int8(found)), nil
	case 0xd1:
		return int64(int16(found)), nil
	case 0xd2:
		return int64(int32(found)), nil
	case 0xd3:
		return int64(found), nil
	}
	if found > math.MaxInt64 {
		return found, nil
	}
	return int64(found), nil
}

// sized reads what has its length before it.
func (d *decoder) sized(code byte, depth int) (any, error) {
	size := 0
	switch code {
	case 0xc4, 0xd9, 0xc7:
		size = 1
	case 0xc5, 0xda, 0xdc, 0xde, 0xc8:
		size = 2
	case 0xc6, 0xdb, 0xdd, 0xdf, 0xc9:
		size = 4
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return d.extension(1 << (code - 0xd4))
	default:
		return nil, fmt.Errorf("%#x begins no value", code)
	}
	length, err := d.number(size)
	if err != nil {
		return nil, err
	}
	switch code {
	case 0xc4, 0xc5, 0xc6:
		taken, err := d.take(int(length))
		return append(make([]byte, 0, len(taken)), taken...), err
	case 0xd9, 0xda, 0xdb:
		return d.text(int(length))
	case 0xdc, 0xdd:
		return d.list(int(length), depth)
	case 0xde, 0xdf:
		return d.mapping(int(length), depth)
	default:
		return d.extension(int(length))
	}
}

func (d *decoder) text(length int) (any, error) {
	taken, err := d.take(length)
	return string(taken), err
}

func (d *decoder) list(length, depth int) (any, error) {
	if length > len(d.data)-d.at { // an item has a byte at least
		return nil, errShort
	}
	items := make([]any, length)
	for number := range items {
		item, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items[number] = item
	}
	return items, nil
}

func (d *decoder) mapping(length, depth int) (any, error) {
	if length > (len(d.data)-d.at)/2 {
		return nil, errShort
	}
	entries := make(map[string]any, length)
	for ; length > 0; length-- {
		key, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		value, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		switch typed := key.(type) {
		case string:
			entries[typed] = value
		case int64:
			entries[strconv.FormatInt(typed, 10)] = value
		default:
			entries[fmt.Sprint(typed)] = value
		}
	}
	return entries, nil
}

// extension reads a timestamp, the one extension that MessagePack itself defines.
func (d *decoder) extension(length int) (any, error) {
	kind, err := d.take(1)
	if err != nil {
		return nil, err
	}
	data, err := d.take(length)
	if err != nil {
		return nil, err
	}
	if kind[0] != 0xff {
		return nil, fmt.Errorf("expected no extension but timestamps, got extension %d", int8(kind[0]))
	}
	switch length {
	case 4:
		return time.Unix(int64(binary.BigEndian.Uint32(data)), 0).UTC(), nil
	case 8:
		packed := binary.BigEndian.Uint64(data)
		return time.Unix(int64(packed&(1<<34-1)), int64(packed>>34)).UTC(), nil
	case 12:
		nanoseconds := int64(binary.BigEndian.Uint32(data))
		return time.Unix(int64(binary.BigEndian.Uint64(data[4:])), nanoseconds).UTC(), nil
	default:
		return nil, fmt.Errorf("expected a timestamp of 4, 8 or 12 bytes, got %d", length)
	}
}
