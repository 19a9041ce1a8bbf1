package bridgeclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
	"github.com/polyglot-bridge/polyglot-bridge/clients/go/internal/msgpack"
)

// Args are the arguments of a function by name, or the inputs of a program.
type Args = map[string]any

// encodeArguments returns the payload of a map or struct.
func encodeArguments(arguments any) (*bridgev1.Payload, error) {
	payload, err := encodeValue(arguments)
	if err != nil {
		return nil, err
	}
	body := payload.GetMsgpack()
	switch {
	case len(body) == 1 && body[0] == 0xc0:
		return &bridgev1.Payload{}, nil
	case body[0]&0xf0 == 0x80 || body[0] == 0xde || body[0] == 0xdf:
		return payload, nil
	default:
		return nil, fmt.Errorf("bridgeclient: expected the arguments as a map or a struct, got %T", arguments)
	}
}

// encodeValue returns the payload of any value. Tensors travel beside it.
func encodeValue(value any) (*bridgev1.Payload, error) {
	var tensors []*bridgev1.Tensor
	special := &msgpack.Special{Type: tensorType, Replace: func(found any) (any, error) {
		tensor := found.(Tensor)
		if err := tensor.check(); err != nil {
			return nil, err
		}
		// The slash keeps the name apart from every parameter's: a tensor of that name would be its argument.
		name := fmt.Sprintf("tensor/%d", len(tensors))
		tensors = append(tensors, &bridgev1.Tensor{Name: name, Dtype: tensor.DType, Shape: tensor.Shape, Data: tensor.Data})
		return map[string]any{"$tensor": name}, nil
	}}
	body, err := msgpack.Marshal(value, special)
	if err != nil {
		return nil, fmt.Errorf("bridgeclient: %w", err)
	}
	return &bridgev1.Payload{Body: &bridgev1.Payload_Msgpack{Msgpack: body}, Tensors: tensors}, nil
}

// decodeInto writes a payload's value to what target points to; a nil target takes none.
func decodeInto(target any, payload *bridgev1.Payload, facts *callFacts) error {
	if target == nil {
		return nil
	}
	value, err := decodeValue(payload)
	if err != nil {
		return unexpected(facts, "the value of the reply can not be read: %v", err)
	}
	if err := msgpack.Assign(target, value); err != nil {
		return unexpected(facts, "the result does not fit: %v", err)
	}
	return nil
}

// decodeValue returns the value of a payload, with its tensors and blobs where it refers to them.
func decodeValue(payload *bridgev1.Payload) (any, error) {
	value, err := decodeBody(payload)
	if err != nil || len(payload.GetTensors()) == 0 && len(payload.GetBlobs()) == 0 {
		return value, err
	}
	named := make(map[[2]string]any, len(payload.GetTensors())+len(payload.GetBlobs()))
	for _, found := range payload.GetTensors() {
		tensor := Tensor{DType: found.GetDtype(), Shape: found.GetShape(), Data: found.GetData()}
		if err := tensor.check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", found.GetName(), err)
		}
		named[[2]string{"$tensor", found.GetName()}] = tensor
	}
	for _, found := range payload.GetBlobs() {
		named[[2]string{"$blob", found.GetName()}] = found.GetData()
	}
	return resolve(value, named)
}

func decodeBody(payload *bridgev1.Payload) (any, error) {
	switch body := payload.GetBody().(type) {
	case *bridgev1.Payload_Msgpack:
		if len(body.Msgpack) == 0 {
			return nil, nil
		}
		return msgpack.Unmarshal(body.Msgpack)
	case *bridgev1.Payload_Json:
		if body.Json == "" {
			return nil, nil
		}
		return decodeJSON([]byte(body.Json))
	case *bridgev1.Payload_Raw:
		return body.Raw, nil
	default:
		return nil, nil
	}
}

// decodeJSON keeps integers exact: numbers are json.Number.
func decodeJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

// assignJSON writes JSON to what target points to, as results of calls are.
func assignJSON(target any, data []byte) error {
	value, err := decodeJSON(data)
	if err != nil {
		return err
	}
	return msgpack.Assign(target, value)
}

// resolve puts tensors and blobs where the value refers to them.
func resolve(value any, named map[[2]string]any) (any, error) {
	switch typed := value.(type) {
	case []any:
		for number, item := range typed {
			found, err := resolve(item, named)
			if err != nil {
				return nil, err
			}
			typed[number] = found
		}
	case map[string]any:
		for key, item := range typed {
			if name, isText := item.(string); isText && len(typed) == 1 && (key == "$tensor" || key == "$blob") {
				found, known := named[[2]string{key, name}]
				if !known {
					return nil, fmt.Errorf("it refers to %s %q, and there is none of that name", key, name)
				}
				return found, nil
			}
			found, err := resolve(item, named)
			if err != nil {
				return nil, err
			}
			typed[key] = found
		}
	}
	return value, nil
}

var tensorType = reflect.TypeOf(Tensor{})
