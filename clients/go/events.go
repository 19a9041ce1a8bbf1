package bridgeclient

import (
	"strings"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// Event is one event of a running program: *FieldDelta, *Final, *RunStatus, *ReasoningDelta, *RunToolCall, *RunToolResult
// or *RunUsage.
type Event interface {
	// Number counts the events of the run from 1.
	Number() uint64
}

type sequence uint64

// Number counts the events of the run from 1.
func (s sequence) Number() uint64 { return uint64(s) }

// FieldDelta is text that was added to an output field.
type FieldDelta struct {
	sequence
	// Predictor is the one inside the program that produced it.
	Predictor   string
	Field, Text string
	// Last says whether the field is complete now.
	Last bool
}

// Final is the end of a run: always the last event.
type Final struct {
	sequence
	// Outputs by their names, as results of calls in an any.
	Outputs map[string]any
	payload *bridgev1.Payload
}

// As writes the outputs to what target points to, such as a struct with json tags.
func (f *Final) As(target any) error { return decodeInto(target, f.payload, &callFacts{}) }

// RunStatus says where a run has come to.
type RunStatus struct {
	sequence
	// Step is started, predictor_started, predictor_ended, model_started, model_ended or message.
	Step             string
	Predictor, Model string
	// Seconds is how long the step took, where it has ended.
	Seconds float64
	// Err is why the step failed; empty where it did not. The program may go on.
	Err string
	// Message is what the program says itself.
	Message string
	// Omitted counts steps and tools that were left out before this event, as this client was so slow to read.
	Omitted uint64
	// ResumeToken is in the first event of a resumable run. It is a secret.
	ResumeToken string
}

// ReasoningDelta is text that a model has added to its thoughts, which are no part of its answer.
type ReasoningDelta struct {
	sequence
	Predictor, Text string
}

// RunToolCall is a call of a tool by the program; the server sees to it.
type RunToolCall struct {
	sequence
	ID, Tool string
	// Arguments is JSON; cut off where Truncated.
	Arguments string
	Truncated bool
}

// RunToolResult is how a call of a tool has ended.
type RunToolResult struct {
	sequence
	ID, Tool string
	// Result is JSON; cut off where Truncated, empty where it failed.
	Result string
	// Err is why it failed; empty where it did not.
	Err       string
	Seconds   float64
	Truncated bool
}

// RunUsage is what a run has used so far.
type RunUsage struct {
	sequence
	Usage []*ModelUsage
}

// readEvent returns the event; none where this client does not know it.
func readEvent(reply *bridgev1.StreamRunResponse, facts *callFacts) ([]Event, error) {
	number := sequence(reply.GetSequence())
	switch event := reply.GetEvent().(type) {
	case *bridgev1.StreamRunResponse_FieldDelta:
		found := event.FieldDelta
		return []Event{&FieldDelta{number, found.GetPredictor(), found.GetField(), found.GetText(), found.GetLast()}}, nil
	case *bridgev1.StreamRunResponse_Final:
		made := &Final{sequence: number, payload: event.Final.GetOutputs()}
		return []Event{made}, decodeInto(&made.Outputs, made.payload, facts)
	case *bridgev1.StreamRunResponse_Status:
		return []Event{readStatus(number, event.Status, reply.GetResumeToken())}, nil
	case *bridgev1.StreamRunResponse_ReasoningDelta:
		found := event.ReasoningDelta
		return []Event{&ReasoningDelta{number, found.GetPredictor(), found.GetText()}}, nil
	case *bridgev1.StreamRunResponse_ToolCall:
		found := event.ToolCall
		return []Event{&RunToolCall{number, found.GetId(), found.GetTool(), found.GetArguments(), found.GetTruncated()}}, nil
	case *bridgev1.StreamRunResponse_ToolResult:
		found := event.ToolResult
		return []Event{&RunToolResult{
			sequence: number, ID: found.GetId(), Tool: found.GetTool(), Result: found.GetResult(), Err: found.GetError(),
			Seconds: found.GetSeconds(), Truncated: found.GetTruncated(),
		}}, nil
	case *bridgev1.StreamRunResponse_Usage:
		return []Event{&RunUsage{number, event.Usage.GetUsage()}}, nil
	default:
		return nil, nil
	}
}

func readStatus(number sequence, found *bridgev1.RunStatus, token string) *RunStatus {
	return &RunStatus{
		sequence: number, Step: enumName(found.GetStep().String(), "RUN_STEP_"), Predictor: found.GetPredictor(),
		Model: found.GetModel(), Seconds: found.GetSeconds(), Err: found.GetError(), Message: found.GetMessage(),
		Omitted: found.GetOmitted(), ResumeToken: token,
	}
}

// enumName returns the name of an enum's value as people write it: RUN_STEP_STARTED is started.
func enumName(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}
