package bridgeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// HostedTool is a function of this process for agents on the server to call. NewTool makes one of a typed function.
type HostedTool struct {
	// Name is as the model writes it: letters, digits, '_' and '-', at most 64.
	Name string
	// Description says what it does and when to use it, for the model.
	Description string
	// Schema is the JSON Schema of its arguments, an object: JSON or a map; nil for a tool without arguments.
	Schema any
	// Run is the function. Its context ends when nobody waits for the call any more, and has the call's deadline; see
	// ToolCallOf. Arguments is a JSON object that fits the schema. A text is told to the model as it is, any other result as
	// JSON. An error's text is what the model is told.
	Run func(ctx context.Context, arguments json.RawMessage) (any, error)
	// Abort ends the run when the tool fails; else the model is told, and goes on.
	Abort bool
	// Timeout is how long a call may take, its wait for its turn included; 0 for as long as the run may.
	Timeout time.Duration
	// MaxConcurrent calls may run at a time; 0 for as many as come.
	MaxConcurrent uint32
	// Idempotent says that a call may run twice, so that it is sent again where a connection has broken.
	Idempotent bool
}

// NewTool returns a tool of a typed function. The schema of its arguments is that of the struct A; see SchemaOf.
func NewTool[A, R any](name, description string, function func(ctx context.Context, arguments A) (R, error)) (HostedTool, error) {
	schema, err := SchemaOf[A]()
	if err != nil {
		return HostedTool{}, err
	}
	return HostedTool{Name: name, Description: description, Schema: schema, Run: func(ctx context.Context, data json.RawMessage) (any, error) {
		var arguments A
		if err := assignJSON(&arguments, data); err != nil {
			return nil, fmt.Errorf("the arguments do not fit: %w", err)
		}
		return function(ctx, arguments)
	}}, nil
}

// HostedCall is a call of a hosted tool, to be had by ToolCallOf in its function.
type HostedCall struct {
	ID   uint64
	Tool string
	// RequestID, SessionID and Traceparent are those of the run; empty where it has none.
	RequestID, SessionID, Traceparent string
	// Resent says whether it was sent before, over a stream that has broken.
	Resent bool
}

type hostedCallKey struct{}

// ToolCallOf returns the call that a hosted tool runs for; nil outside of one.
func ToolCallOf(ctx context.Context) *HostedCall {
	found, _ := ctx.Value(hostedCallKey{}).(*HostedCall)
	return found
}

// Visibility says which runs may use hosted tools. None ever sees those of another tenant.
type Visibility string

const (
	// VisibleToRun is for runs that name the host: WithHostedTools.
	VisibleToRun Visibility = "run"
	// VisibleToSession is for these, and runs of the client's session by the tool's name.
	VisibleToSession Visibility = "session"
	// VisibleToTenant is for these, and all runs of the tenant by the tool's name.
	VisibleToTenant Visibility = "tenant"
)

var visibilities = map[Visibility]bridgev1.ToolVisibility{
	"": bridgev1.ToolVisibility_TOOL_VISIBILITY_RUN, VisibleToRun: bridgev1.ToolVisibility_TOOL_VISIBILITY_RUN,
	VisibleToSession: bridgev1.ToolVisibility_TOOL_VISIBILITY_SESSION,
	VisibleToTenant:  bridgev1.ToolVisibility_TOOL_VISIBILITY_TENANT,
}

func (t *HostedTool) wire() (*bridgev1.HostedTool, error) {
	if t.Run == nil || t.Name == "" {
		return nil, errors.New("bridgeclient: expected a tool with a Name and a function to Run")
	}
	schema, err := schemaText(t.Schema)
	if err != nil {
		return nil, fmt.Errorf("bridgeclient: the schema of tool %s: %w", t.Name, err)
	}
	made := &bridgev1.HostedTool{
		Name: t.Name, Description: t.Description, ArgumentsSchema: schema, MaxConcurrent: t.MaxConcurrent,
		Idempotent: t.Idempotent, TimeoutMs: uint32(t.Timeout.Milliseconds()),
		OnError: bridgev1.ToolErrorPolicy_TOOL_ERROR_POLICY_OBSERVE,
	}
	if t.Abort {
		made.OnError = bridgev1.ToolErrorPolicy_TOOL_ERROR_POLICY_ABORT
	}
	return made, nil
}

// run calls the function. One that panics fails with what it said.
func (t *HostedTool) run(ctx context.Context, arguments string) (value any, err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("the tool panicked: %v", said)
		}
	}()
	return t.Run(ctx, json.RawMessage(arguments))
}

// Tools returns the tools that calls may name: those that clients of the tenant host and that it may see; with a
// registration only those of it.
func (c *Client) Tools(ctx context.Context, registration string, options ...CallOption) ([]*ToolInfo, error) {
	request := &bridgev1.ListToolsRequest{Registration: registration}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.tools.ListTools, request)
	return reply.GetTools(), err
}
