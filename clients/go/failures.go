package bridgeclient

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// callFacts are what the client knows of a call, for the messages of errors.
type callFacts struct {
	address   string
	requestID string
	timeout   time.Duration // 0 for none
}

// neverConnected is how grpc-go words an UNAVAILABLE whose request was never sent, in lower case.
var neverConnected = []string{
	"while dialing", "connection refused", "name resolver", "zero addresses", "handshake", "no such file",
	"failed to verify", "no such host",
}

// tooLarge is how gRPC words a RESOURCE_EXHAUSTED of its own: which side, which way, the message's bytes and the limit.
var tooLarge = regexp.MustCompile(`(?i)(server: |client: )?(received|send|sent) message (?:after decompression )?larger than max \((\d+) vs\.? (\d+)\)`)

// toError returns the *Error of a failed call. Details that can not be read are passed over.
func toError(err error, facts *callFacts) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if found := fromContext(err, facts); found != nil {
		return found
	}
	state, _ := status.FromError(err)
	made := &Error{Code: state.Code(), Message: state.Message(), RequestID: facts.requestID}
	for _, detail := range state.Proto().GetDetails() {
		made.addDetail(detail.GetTypeUrl(), detail.GetValue())
	}
	if made.Reason == "" {
		made.explain(facts)
	}
	return made
}

// fromContext reads the bare errors of contexts, which have no status.
func fromContext(err error, facts *callFacts) *Error {
	var made *Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		made = &Error{Code: codes.DeadlineExceeded, RequestID: facts.requestID}
	case errors.Is(err, context.Canceled):
		made = &Error{Code: codes.Canceled, Message: "the call was cancelled", RequestID: facts.requestID}
	default:
		return nil
	}
	made.explain(facts)
	return made
}

// ofStatus returns the *Error of a serialized google.rpc.Status.
func ofStatus(packed []byte, facts *callFacts) *Error {
	made := &Error{Code: codes.Unknown, RequestID: facts.requestID}
	err := eachField(packed, func(number protowire.Number, value uint64, data []byte) {
		switch number {
		case 1:
			made.Code = codes.Code(value)
		case 2:
			made.Message = string(data)
		case 3:
			var kind string
			var content []byte
			_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
				if number == 1 {
					kind = string(data)
				} else if number == 2 {
					content = data
				}
			})
			made.addDetail(kind, content)
		}
	})
	if err != nil {
		return unexpected(facts, "the server's failure can not be read: %v", err)
	}
	return made
}

// ofPart returns the *Error of one part of a call whose other parts may have gone well.
func ofPart(failure *bridgev1.Failure) *Error {
	made := &Error{
		Code:     codes.Code(failure.GetCode()),
		Reason:   failure.GetReason(),
		Message:  failure.GetMessage(),
		Metadata: failure.GetMetadata(),
	}
	for _, one := range failure.GetViolations() {
		made.Violations = append(made.Violations, Violation{one.GetField(), one.GetDescription()})
	}
	if failure.RetryAfterS != nil {
		made.Retryable = true
		made.RetryAfter = time.Duration(failure.GetRetryAfterS() * float64(time.Second))
	}
	return made
}

// addDetail reads a detail of google.rpc by its field numbers, which never change: the generated types of the
// details differ between the versions of grpc-go that this package works with.
func (e *Error) addDetail(kind string, data []byte) {
	switch kind[strings.LastIndexByte(kind, '/')+1:] {
	case "google.rpc.ErrorInfo":
		e.addInfo(data)
	case "google.rpc.BadRequest":
		_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
			if number == 1 {
				field, description := pair(data)
				e.Violations = append(e.Violations, Violation{field, description})
			}
		})
	case "google.rpc.RetryInfo":
		_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
			if number == 1 {
				e.Retryable = true
				e.RetryAfter = duration(data)
			}
		})
	case "google.rpc.DebugInfo":
		var entries []string
		_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
			if number == 1 {
				entries = append(entries, string(data))
			} else if number == 2 {
				e.Traceback = string(data)
			}
		})
		if e.Traceback == "" {
			e.Traceback = strings.Join(entries, "\n")
		}
	}
}

func (e *Error) addInfo(data []byte) {
	_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
		switch number {
		case 1:
			e.Reason = string(data)
		case 3:
			if e.Metadata == nil {
				e.Metadata = map[string]string{}
			}
			key, value := pair(data)
			e.Metadata[key] = value
		}
	})
	if found := e.Metadata["request_id"]; found != "" {
		e.RequestID = found
	}
}

// pair reads a message of two texts.
func pair(data []byte) (first, second string) {
	_ = eachField(data, func(number protowire.Number, _ uint64, data []byte) {
		if number == 1 {
			first = string(data)
		} else if number == 2 {
			second = string(data)
		}
	})
	return first, second
}

func duration(data []byte) time.Duration {
	var total time.Duration
	_ = eachField(data, func(number protowire.Number, value uint64, _ []byte) {
		if number == 1 {
			total += time.Duration(value) * time.Second
		} else if number == 2 {
			total += time.Duration(value)
		}
	})
	return total
}

// eachField calls visit for each field of a message, with its number or its bytes.
func eachField(message []byte, visit func(number protowire.Number, value uint64, data []byte)) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		size = protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		switch kind {
		case protowire.VarintType:
			value, _ := protowire.ConsumeVarint(message)
			visit(number, value, nil)
		case protowire.BytesType:
			data, _ := protowire.ConsumeBytes(message)
			visit(number, 0, data)
		}
		message = message[size:]
	}
	return nil
}

// explain says more of a failure that came from no bridge.
func (e *Error) explain(facts *callFacts) {
	text := e.Message
	switch e.Code {
	case codes.Unavailable:
		e.unavailable(facts)
	case codes.DeadlineExceeded:
		limit := "the server's limit"
		if facts.timeout > 0 {
			limit = facts.timeout.String()
		}
		e.Message = fmt.Sprintf("no reply within %s; give the call a later deadline, or WithTimeout", limit)
	case codes.ResourceExhausted:
		if found := tooLarge.FindStringSubmatch(text); found != nil {
			e.tooLarge(found)
		}
	case codes.Canceled:
		if strings.Contains(text, "client connection is closing") {
			e.kind, e.Message = ErrClosed, fmt.Sprintf("this client of %s is closed; make a new one", facts.address)
		}
	}
}

func (e *Error) unavailable(facts *callFacts) {
	lower := strings.ToLower(e.Message)
	for _, words := range neverConnected {
		if strings.Contains(lower, words) {
			e.kind = ErrCannotConnect
			e.Message = fmt.Sprintf("no bridge answers at %s (%s). Start one with `bridge serve app.py --address %s`"+
				" or `bridge demo`, or correct the address", facts.address, e.Message, facts.address)
			return
		}
	}
	e.kind = ErrConnectionLost
	e.Message = fmt.Sprintf("the connection to %s broke (%s). The call may or may not have run", facts.address, e.Message)
}

// tooLarge is for a message that gRPC itself refused, on either side; a bridge's own refusal has details.
func (e *Error) tooLarge(found []string) {
	size, limit := found[3], found[4]
	e.Reason = ReasonMessageTooLarge
	e.Metadata = map[string]string{"size_bytes": size, "limit_bytes": limit}
	switch {
	case strings.EqualFold(found[1], "server: "):
		e.Message = fmt.Sprintf("the request has %s bytes, and the server takes in no more than %s, twice its "+
			"server.max_message_bytes: raise that there, or send less at a time", size, limit)
	case strings.EqualFold(found[2], "received"):
		e.Message = fmt.Sprintf("the reply has %s bytes, and this client takes at most %s; raise it with "+
			"WithMaxMessageBytes, or ask for results in parts with WithChunkBytes", size, limit)
	default:
		e.Message = fmt.Sprintf("the request has %s bytes, and this client sends at most %s; raise it with "+
			"WithMaxMessageBytes", size, limit)
	}
}
