package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
	"google.golang.org/grpc/codes"
)

const largest = 1<<53 - 1

// toGo returns a value of a case as the client takes it.
func toGo(value any) any {
	switch typed := value.(type) {
	case json.Number:
		if whole, err := typed.Int64(); err == nil {
			return whole
		}
		float, _ := typed.Float64()
		return float
	case []any:
		made := make([]any, len(typed))
		for number, item := range typed {
			made[number] = toGo(item)
		}
		return made
	case object:
		if len(typed) == 1 {
			for tag, held := range typed {
				if found, known := tagged(tag, held); known {
					return found
				}
			}
		}
		made := make(object, len(typed))
		for key, item := range typed {
			made[key] = toGo(item)
		}
		return made
	default:
		return value
	}
}

func tagged(tag string, held any) (any, bool) {
	switch tag {
	case "$int":
		return json.Number(held.(string)), true
	case "$float":
		found, err := strconv.ParseFloat(held.(string), 64)
		if err != nil {
			crash("%v is no float", held)
		}
		return found, true
	case "$bytes":
		return decoded(held), true
	case "$tensor":
		given := held.(object)
		shape := []int64{}
		for _, length := range given["shape"].([]any) {
			shape = append(shape, integer(length))
		}
		return bridgeclient.Tensor{DType: given["dtype"].(string), Shape: shape, Data: decoded(given["data"])}, true
	case "$fill":
		given := held.(object)
		count := int(integer(given["count"]))
		if unit, isText := given["text"].(string); isText {
			return strings.Repeat(unit, count), true
		}
		return []byte(strings.Repeat(string([]byte{byte(integer(given["byte"]))}), count)), true
	default:
		return nil, false
	}
}

func decoded(held any) []byte {
	data, err := base64.StdEncoding.DecodeString(held.(string))
	if err != nil {
		crash("%v", err)
	}
	return data
}

func integer(value any) int64 {
	number, isNumber := value.(json.Number)
	found, err := number.Int64()
	if !isNumber || err != nil {
		crash("expected an integer, got %v", value)
	}
	return found
}

// fromGo returns what the client gave as a value of a result.
func fromGo(value any) any {
	switch typed := value.(type) {
	case nil, bool, string:
		return typed
	case int64:
		if typed > largest || typed < -largest {
			return object{"$int": strconv.FormatInt(typed, 10)}
		}
		return typed
	case uint64:
		return object{"$int": strconv.FormatUint(typed, 10)}
	case float64:
		switch {
		case math.IsNaN(typed):
			return object{"$float": "NaN"}
		case math.IsInf(typed, 1):
			return object{"$float": "Infinity"}
		case math.IsInf(typed, -1):
			return object{"$float": "-Infinity"}
		}
		return typed
	case []byte:
		return object{"$bytes": base64.StdEncoding.EncodeToString(typed)}
	case bridgeclient.Tensor:
		shape := typed.Shape
		if shape == nil {
			shape = []int64{}
		}
		return object{"$tensor": object{
			"dtype": typed.DType, "shape": shape, "data": base64.StdEncoding.EncodeToString(typed.Data),
		}}
	case []any:
		made := make([]any, len(typed))
		for number, item := range typed {
			made[number] = fromGo(item)
		}
		return made
	case object:
		made := make(object, len(typed))
		for key, item := range typed {
			made[key] = fromGo(item)
		}
		return made
	default:
		crash("the client gave a %T", value)
		return nil
	}
}

// digest is what a step with `digest` reports of a text or of bytes.
func digest(value any) object {
	data, isBytes := value.([]byte)
	if text, isText := value.(string); isText {
		data, isBytes = []byte(text), true
	}
	if !isBytes {
		crash("expected a text or bytes to make a digest of, got a %T", value)
	}
	sum := sha256.Sum256(data)
	return object{"length": len(data), "sha256": hex.EncodeToString(sum[:])}
}

// failureOf is E of the protocol; what the client refuses to send is an invalid argument.
func failureOf(err error) object {
	var found *bridgeclient.Error
	if !errors.As(err, &found) {
		found = &bridgeclient.Error{Code: codes.InvalidArgument, Message: err.Error()}
	}
	violations := []object{}
	for _, one := range found.Violations {
		violations = append(violations, object{"field": one.Field, "description": one.Description})
	}
	metadata := found.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	told := object{
		"code": bridgeclient.CodeName(found.Code), "reason": found.Reason, "message": found.Message,
		"violations": violations, "metadata": metadata, "retry_after_ms": nil, "request_id": found.RequestID,
	}
	if found.Retryable {
		told["retry_after_ms"] = found.RetryAfter.Round(time.Millisecond).Milliseconds()
	}
	return told
}

// receiptOf is R of the protocol.
func receiptOf(receipt *bridgeclient.Receipt) any {
	if receipt == nil {
		return nil
	}
	return object{
		"request_id": receipt.GetRequestId(), "function": receipt.GetFunction(),
		"route":  enumName(receipt.GetRoute().String(), "ROUTE_"),
		"reason": receipt.GetReason(), "pool": receipt.GetPool(), "worker": receipt.GetWorker(),
		"session_epoch": receipt.GetSessionEpoch(), "bytes_in": receipt.GetBytesIn(), "bytes_out": receipt.GetBytesOut(),
		"total_us": receipt.GetTotalUs(), "worker_us": receipt.GetWorkerUs(), "queue_us": receipt.GetQueueUs(),
		"usage": usageOf(receipt.GetUsage()),
	}
}

func usageOf(usage []*bridgeclient.ModelUsage) []object {
	told := []object{}
	for _, one := range usage {
		told = append(told, object{
			"model": one.GetModel(), "calls": one.GetCalls(), "input_tokens": one.GetInputTokens(),
			"output_tokens": one.GetOutputTokens(),
		})
	}
	return told
}

// enumName is the name of an enum's value without its prefix, in lower case.
func enumName(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// sessionOf is S of the protocol.
func sessionOf(info *bridgeclient.SessionInfo) object {
	return object{
		"id": info.GetId(), "mode": enumName(info.GetMode().String(), "SESSION_MODE_"),
		"epoch": info.GetEpoch(), "calls": info.GetCalls(), "ttl_ms": info.GetTtl().AsDuration().Milliseconds(),
	}
}

// eventOf is P of the protocol.
func eventOf(event bridgeclient.Event) object {
	told := object{"sequence": event.Number()}
	add := func(kind string, fields object) object {
		told["type"] = kind
		for name, value := range fields {
			told[name] = value
		}
		return told
	}
	switch typed := event.(type) {
	case *bridgeclient.FieldDelta:
		return add("field_delta", object{"predictor": typed.Predictor, "field": typed.Field, "text": typed.Text, "last": typed.Last})
	case *bridgeclient.RunStatus:
		return add("status", object{
			"step": typed.Step, "predictor": typed.Predictor, "model": typed.Model, "error": typed.Err, "message": typed.Message,
			"seconds": typed.Seconds, "omitted": typed.Omitted,
		})
	case *bridgeclient.ReasoningDelta:
		return add("reasoning_delta", object{"predictor": typed.Predictor, "text": typed.Text})
	case *bridgeclient.RunToolCall:
		return add("tool_call", object{"id": typed.ID, "tool": typed.Tool, "arguments": typed.Arguments, "truncated": typed.Truncated})
	case *bridgeclient.RunToolResult:
		return add("tool_result", object{
			"id": typed.ID, "tool": typed.Tool, "result": typed.Result, "error": typed.Err, "seconds": typed.Seconds,
			"truncated": typed.Truncated,
		})
	case *bridgeclient.RunUsage:
		return add("usage", object{"usage": usageOf(typed.Usage)})
	case *bridgeclient.Final:
		return add("final", object{"outputs": fromGo(typed.Outputs)})
	default:
		crash("the client gave a %T", event)
		return nil
	}
}
