package bridgeclient

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Tensor is a dense array, row-major and little-endian. It may be an argument, or stand in one, and is what arrays come
// back as.
type Tensor struct {
	// DType is BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32 or FP64.
	DType string
	// Shape has the length of each dimension; it is empty for a scalar.
	Shape []int64
	// Data has the elements.
	Data []byte
}

// Element is what tensors can be made from and turned into.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64
}

var elementBytes = map[string]int64{
	"BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
	"FP16": 2, "FP32": 4, "FP64": 8,
}

// NewTensor returns a tensor of the elements; without a shape it has one dimension.
func NewTensor[E Element](elements []E, shape ...int64) (Tensor, error) {
	if len(shape) == 0 {
		shape = []int64{int64(len(elements))}
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, elements); err != nil {
		return Tensor{}, fmt.Errorf("bridgeclient: %w", err)
	}
	made := Tensor{DType: dtype[E](), Shape: shape, Data: out.Bytes()}
	return made, made.check()
}

// Elements returns the elements of a tensor, whose type must be E's.
func Elements[E Element](tensor Tensor) ([]E, error) {
	if wanted := dtype[E](); tensor.DType != wanted {
		return nil, fmt.Errorf("bridgeclient: expected a tensor of %s, got one of %s", wanted, tensor.DType)
	}
	if err := tensor.check(); err != nil {
		return nil, err
	}
	elements := make([]E, tensor.Len())
	err := binary.Read(bytes.NewReader(tensor.Data), binary.LittleEndian, elements)
	return elements, err
}

// Len returns how many elements the tensor has.
func (t Tensor) Len() int64 {
	count := int64(1)
	for _, length := range t.Shape {
		count *= length
	}
	return count
}

func (t Tensor) check() error {
	size, known := elementBytes[t.DType]
	if !known {
		return fmt.Errorf("bridgeclient: expected a tensor of BOOL, UINT8 to UINT64, INT8 to INT64 or FP16 to FP64, got %q", t.DType)
	}
	for _, length := range t.Shape {
		if length < 0 {
			return fmt.Errorf("bridgeclient: expected no negative length in the shape of a tensor, got %v", t.Shape)
		}
	}
	if wanted := t.Len() * size; int64(len(t.Data)) != wanted {
		return fmt.Errorf("bridgeclient: expected %d bytes of %s of shape %v, got %d", wanted, t.DType, t.Shape, len(t.Data))
	}
	return nil
}

func dtype[E Element]() string {
	var zero E
	switch any(zero).(type) {
	case bool:
		return "BOOL"
	case uint8:
		return "UINT8"
	case uint16:
		return "UINT16"
	case uint32:
		return "UINT32"
	case uint64:
		return "UINT64"
	case int8:
		return "INT8"
	case int16:
		return "INT16"
	case int32:
		return "INT32"
	case int64:
		return "INT64"
	case float32:
		return "FP32"
	default:
		return "FP64"
	}
}
