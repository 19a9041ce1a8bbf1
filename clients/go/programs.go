package bridgeclient

import (
	"context"

	"google.golang.org/grpc"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

func (o callOptions) withRun(options []RunOption) *callOptions {
	used := o.with(nil)
	for _, one := range options {
		one.run(used)
	}
	return used
}

// RunProgram runs a DSPy program and returns its outputs as a T: a struct with json tags, or a map. Inputs are a map or a
// struct with one entry for each input field.
func RunProgram[T any](ctx context.Context, client Caller, program string, inputs any, options ...RunOption) (T, error) {
	var outputs T
	c := client.view()
	payload, err := encodeArguments(inputs)
	if err != nil {
		return outputs, err
	}
	used := c.defaults.withRun(options)
	asked := &used.wishes
	names, registrations := asked.namedTools()
	request := &bridgev1.RunRequest{
		Program: program, Inputs: payload, Model: asked.model, Adapter: asked.adapter, Temperature: asked.temperature,
		MaxTokens: asked.maxTokens, Cache: asked.cache, Version: asked.version, Tools: names, ToolRegistrations: registrations,
	}
	reply, facts, err := unary(ctx, c, used, c.programs.Run, request)
	if err != nil {
		return outputs, err
	}
	return outputs, decodeInto(&outputs, reply.GetOutputs(), facts)
}

// RunProgram runs a DSPy program and returns its outputs by their names.
func (c *Client) RunProgram(ctx context.Context, program string, inputs any, options ...RunOption) (map[string]any, error) {
	return RunProgram[map[string]any](ctx, c, program, inputs, options...)
}

// ProgramStream is the events of a running program. ResumeToken and Sequence are what ResumeProgram takes after a
// disconnect.
type ProgramStream struct {
	*Iterator[Event]
	token    string
	sequence uint64
}

// note keeps what is needed to resume.
func (s *ProgramStream) note(reply *bridgev1.StreamRunResponse, facts *callFacts) ([]Event, error) {
	s.sequence = reply.GetSequence()
	if token := reply.GetResumeToken(); token != "" {
		s.token = token
	}
	return readEvent(reply, facts)
}

// ResumeToken returns the token of a resumable run, once its first event is there. It is a secret.
func (s *ProgramStream) ResumeToken() string { return s.token }

// Sequence returns the number of the last event.
func (s *ProgramStream) Sequence() uint64 { return s.sequence }

// StreamProgram runs a DSPy program and gives its output fields as they grow (*FieldDelta), then the outputs (*Final).
// See WithAllEvents and WithResumable. A stream that is not read to its end has to be closed.
func (c *Client) StreamProgram(ctx context.Context, program string, inputs any, options ...RunOption) *ProgramStream {
	payload, err := encodeArguments(inputs)
	if err != nil {
		return &ProgramStream{Iterator: &Iterator[Event]{err: err, done: true}}
	}
	used := c.defaults.withRun(options)
	asked := &used.wishes
	names, registrations := asked.namedTools()
	request := &bridgev1.StreamRunRequest{
		Program: program, Inputs: payload, Model: asked.model, Adapter: asked.adapter, Temperature: asked.temperature,
		MaxTokens: asked.maxTokens, Cache: asked.cache, Version: asked.version, Tools: names,
		ToolRegistrations: registrations, AllEvents: asked.allEvents, Resumable: asked.resumable,
	}
	made := &ProgramStream{}
	made.Iterator = stream(ctx, c, used, func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.StreamRunResponse], error) {
		return c.programs.StreamRun(ctx, request, used...)
	}, made.note)
	return made
}

// ResumeProgram takes up a run that was streamed WithResumable: the events after a number, and what follows. The token is
// that of the run's first event.
func (c *Client) ResumeProgram(ctx context.Context, token string, after uint64, options ...CallOption) *ProgramStream {
	request := &bridgev1.ResumeRunRequest{Token: token, AfterSequence: after}
	made := &ProgramStream{token: token, sequence: after}
	made.Iterator = stream(ctx, c, c.defaults.with(options), func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.ResumeRunResponse], error) {
		return c.programs.ResumeRun(ctx, request, used...)
	}, func(reply *bridgev1.ResumeRunResponse, facts *callFacts) ([]Event, error) {
		return made.note(reply.GetEvent(), facts)
	})
	return made
}

// CancelRun ends a resumable run, which leaving its stream does not; it returns whether it still ran.
func (c *Client) CancelRun(ctx context.Context, token string, options ...CallOption) (bool, error) {
	request := &bridgev1.CancelRunRequest{Token: token}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.CancelRun, request)
	return reply.GetCancelled(), err
}

// Programs returns all programs, in the order of names, without schemas.
func (c *Client) Programs(ctx context.Context, options ...CallOption) ([]*ProgramInfo, error) {
	return pages(func(token string) ([]*ProgramInfo, string, error) {
		request := &bridgev1.ProgramServiceListRequest{PageSize: pageSize, PageToken: token}
		reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.List, request)
		return reply.GetPrograms(), reply.GetNextPageToken(), err
	})
}

// DescribeProgram returns a program with its signature, schemas and an example.
func (c *Client) DescribeProgram(ctx context.Context, program string, options ...CallOption) (*ProgramInfo, error) {
	request := &bridgev1.ProgramServiceDescribeRequest{Program: program}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.Describe, request)
	return reply.GetProgram(), err
}

// CreateProgram makes a program, which can be run at once.
func (c *Client) CreateProgram(ctx context.Context, program string, source *ProgramSource, options ...CallOption) (*ProgramInfo, error) {
	request := &bridgev1.CreateProgramRequest{Program: program, Source: source}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.CreateProgram, request)
	return reply.GetProgram(), err
}

// UpdateProgram adds a version of a created program, which serves from now on. With another expected version than 0 only
// if that one serves now.
func (c *Client) UpdateProgram(ctx context.Context, program string, source *ProgramSource, expected int64, options ...CallOption) (*ProgramInfo, error) {
	request := &bridgev1.UpdateProgramRequest{Program: program, Source: source, ExpectedVersion: expected}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.UpdateProgram, request)
	return reply.GetProgram(), err
}

// ServeProgramVersion lets a version of a created program serve from now on: to promote it, or to roll back.
func (c *Client) ServeProgramVersion(ctx context.Context, program string, version int64, options ...CallOption) (*ProgramInfo, error) {
	request := &bridgev1.ServeProgramVersionRequest{Program: program, Version: version}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.programs.ServeProgramVersion, request)
	return reply.GetProgram(), err
}

// DeleteProgram removes a created program with all its versions.
func (c *Client) DeleteProgram(ctx context.Context, program string, options ...CallOption) error {
	request := &bridgev1.DeleteProgramRequest{Program: program}
	_, _, err := unary(ctx, c, c.defaults.with(options), c.programs.DeleteProgram, request)
	return err
}
