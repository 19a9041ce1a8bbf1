package bridgeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

const (
	firstHostPause   = 50 * time.Millisecond
	longestHostPause = 5 * time.Second
	goodbyeTime      = 5 * time.Second
	keptAnswers      = 32
	longestFailure   = 2000
)

// ToolHost is functions of this process as tools of agents on the server, until Close. A connection that breaks is made
// again, and what runs meanwhile is answered over the new one.
type ToolHost struct {
	client     *Client
	options    *callOptions
	tools      map[string]*HostedTool
	names      []string
	wire       []*bridgev1.HostedTool
	visibility bridgev1.ToolVisibility

	life   context.Context // of the host: ended by Close
	end    context.CancelFunc
	ended  chan struct{} // closed when nothing is served any more
	first  chan struct{} // closed when the tools are registered, or will not be
	begun  sync.Once
	caller sync.WaitGroup // the functions that run

	sending sync.Mutex // one Send at a time; never taken while holding mutex, but for streams that nobody else knows

	mutex        sync.Mutex
	registration string
	token        string
	running      map[uint64]context.CancelFunc
	answers      []answer
	stream       bridgev1.ToolService_HostClient // nil while there is none
	closing      bool
	err          error
}

// answer is one that a stream that has broken may have lost.
type answer struct {
	call    uint64
	message *bridgev1.HostRequest
}

// HostTools lets agents on the server call functions of this process; it returns when they are registered. Runs name
// them WithHostedTools(host). The context bounds the registering alone, its values go with each call of a tool.
func (c *Client) HostTools(ctx context.Context, tools []HostedTool, visibility Visibility, options ...CallOption) (*ToolHost, error) {
	known, valid := visibilities[visibility]
	if !valid {
		return nil, fmt.Errorf("bridgeclient: expected a visibility of run, session or tenant, got %q", visibility)
	}
	host := &ToolHost{
		client: c, options: c.defaults.with(options), visibility: known, tools: map[string]*HostedTool{},
		ended: make(chan struct{}), first: make(chan struct{}), running: map[uint64]context.CancelFunc{},
	}
	host.options.timeout = -1
	for number := range tools {
		tool := tools[number]
		wire, err := tool.wire()
		if err != nil {
			return nil, err
		}
		host.tools[tool.Name] = &tool
		host.names = append(host.names, tool.Name)
		host.wire = append(host.wire, wire)
	}
	host.life, host.end = context.WithCancel(detached{ctx})
	go host.serve()
	select {
	case <-host.first:
	case <-ctx.Done():
		host.Close()
		return nil, toError(ctx.Err(), &callFacts{address: c.Address()})
	}
	if err := host.Err(); err != nil {
		host.Close()
		return nil, err
	}
	return host, nil
}

// Registration returns the registration's id, for runs to name. It changes where the server has forgotten it.
func (h *ToolHost) Registration() string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.registration
}

// Names returns the names of the tools.
func (h *ToolHost) Names() []string { return append([]string(nil), h.names...) }

// Err returns why the tools are hosted no longer; nil while they are.
func (h *ToolHost) Err() error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.err == nil {
		return nil
	}
	return h.err
}

// Close hosts the tools no longer: the contexts of functions that run end, and they are waited for.
func (h *ToolHost) Close() error {
	h.mutex.Lock()
	first := !h.closing
	h.closing = true
	for _, cancel := range h.running {
		cancel()
	}
	stream := h.stream
	h.mutex.Unlock()
	if stream != nil {
		if first {
			h.send(stream, &bridgev1.HostRequest{Message: &bridgev1.HostRequest_Goodbye{Goodbye: &bridgev1.HostGoodbye{}}})
			_ = stream.CloseSend()
		}
		select {
		case <-h.ended:
		case <-time.After(goodbyeTime):
		}
	}
	h.end()
	<-h.ended
	h.caller.Wait()
	return nil
}

// send sends a message; a stream that is broken says so to Recv.
func (h *ToolHost) send(stream bridgev1.ToolService_HostClient, message *bridgev1.HostRequest) {
	h.sending.Lock()
	defer h.sending.Unlock()
	_ = stream.Send(message)
}

func (h *ToolHost) isClosing() bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.closing
}

// serve keeps a stream open until the end.
func (h *ToolHost) serve() {
	defer close(h.ended)
	defer h.begun.Do(func() { close(h.first) })
	pause := firstHostPause
	for {
		registered, failed := h.serveOnce()
		if registered {
			pause = firstHostPause
		}
		if h.isClosing() {
			return
		}
		if !h.goesOn(failed) {
			return
		}
		if !sleep(h.life, pause, time.Time{}) {
			return
		}
		if pause *= 2; pause > longestHostPause {
			pause = longestHostPause
		}
	}
}

// goesOn says whether to open another stream after one has ended.
func (h *ToolHost) goesOn(failed *Error) bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if failed != nil && failed.Reason == "UNKNOWN_TOOL_REGISTRATION" {
		h.token, h.answers = "", nil
		for call, cancel := range h.running {
			cancel()
			delete(h.running, call)
		}
		return true
	}
	if h.registration != "" && (failed == nil || mayPass(failed)) {
		return true
	}
	if failed != nil {
		h.err = failed
	} else {
		h.err = errors.New("bridgeclient: the server has ended the hosting of tools")
	}
	return false
}

// mayPass says whether it makes sense to host anew after a failure.
func mayPass(failed *Error) bool {
	switch failed.Code {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.Aborted, codes.Unauthenticated, codes.PermissionDenied,
		codes.Unimplemented:
		return false
	default:
		return failed.kind != ErrUnexpectedReply && failed.kind != ErrClosed
	}
}

// serveOnce serves one stream to its end; it returns why it ended, if it was not well.
func (h *ToolHost) serveOnce() (registered bool, failed *Error) {
	rpc, cancel, facts := h.client.seal(h.life, time.Time{}, h.options)
	defer cancel()
	stream, err := h.client.tools.Host(rpc)
	if err != nil {
		return false, h.client.failed(err, facts)
	}
	if !h.begin(stream) {
		return false, nil
	}
	defer h.forget()
	for {
		message, err := stream.Recv()
		if err != nil {
			return registered, h.ending(err, facts)
		}
		registered = h.read(message) || registered
	}
}

func (h *ToolHost) ending(err error, facts *callFacts) *Error {
	if err == io.EOF {
		return nil
	}
	return h.client.failed(err, facts)
}

// begin sends what a stream begins with: the tools, and answers that may not have arrived, which do no harm twice.
func (h *ToolHost) begin(stream bridgev1.ToolService_HostClient) bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.closing {
		return false
	}
	register := &bridgev1.RegisterTools{Visibility: h.visibility, Token: h.token}
	if h.token == "" {
		register.Tools = h.wire
	} else {
		for call := range h.running {
			register.WorkingOn = append(register.WorkingOn, call)
		}
		for _, one := range h.answers {
			register.WorkingOn = append(register.WorkingOn, one.call)
		}
	}
	_ = stream.Send(&bridgev1.HostRequest{Message: &bridgev1.HostRequest_Register{Register: register}})
	for _, one := range h.answers {
		_ = stream.Send(one.message) // a stream that is broken says so to Recv
	}
	h.stream = stream
	return true
}

func (h *ToolHost) forget() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.stream = nil
}

// read takes a message of the server; true for that of the registration.
func (h *ToolHost) read(message *bridgev1.HostResponse) bool {
	switch said := message.GetMessage().(type) {
	case *bridgev1.HostResponse_Registered:
		h.mutex.Lock()
		h.registration, h.token = said.Registered.GetRegistration(), said.Registered.GetToken()
		h.mutex.Unlock()
		h.begun.Do(func() { close(h.first) })
		return true
	case *bridgev1.HostResponse_Call:
		h.start(said.Call)
	case *bridgev1.HostResponse_Cancel:
		h.mutex.Lock()
		if cancel, known := h.running[said.Cancel.GetId()]; known {
			cancel()
			delete(h.running, said.Cancel.GetId())
		}
		h.mutex.Unlock()
	}
	return false
}

// start runs a function in a goroutine of its own.
func (h *ToolHost) start(asked *bridgev1.HostedCall) {
	ctx := context.WithValue(h.life, hostedCallKey{}, &HostedCall{
		ID: asked.GetId(), Tool: asked.GetTool(), RequestID: asked.GetRequestId(), SessionID: asked.GetSessionId(),
		Traceparent: asked.GetTraceparent(), Resent: asked.GetResent(),
	})
	ctx, cancel := context.WithTimeout(ctx, time.Duration(asked.GetTimeoutMs())*time.Millisecond)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.closing {
		cancel()
		return
	}
	h.running[asked.GetId()] = cancel
	h.caller.Add(1)
	go func() {
		defer h.caller.Done()
		defer cancel()
		h.answer(asked.GetId(), h.outcome(ctx, asked))
	}()
}

// outcome runs a function and returns its answer.
func (h *ToolHost) outcome(ctx context.Context, asked *bridgev1.HostedCall) *bridgev1.HostRequest {
	tool, known := h.tools[asked.GetTool()]
	if !known {
		return failure(asked.GetId(), fmt.Errorf("there is no tool %q here", asked.GetTool()))
	}
	value, err := tool.run(ctx, asked.GetArguments())
	if err != nil {
		return failure(asked.GetId(), err)
	}
	result := &bridgev1.HostedResult{Id: asked.GetId()}
	if text, ok := value.(string); ok {
		result.Value = &bridgev1.HostedResult_Text{Text: text}
	} else {
		data, err := json.Marshal(value)
		if err != nil {
			return failure(asked.GetId(), err)
		}
		result.Value = &bridgev1.HostedResult_Json{Json: string(data)}
	}
	return &bridgev1.HostRequest{Message: &bridgev1.HostRequest_Result{Result: result}}
}

func failure(call uint64, err error) *bridgev1.HostRequest {
	told := &bridgev1.HostedError{Id: call, Message: truncate(err.Error()), Type: fmt.Sprintf("%T", err)}
	return &bridgev1.HostRequest{Message: &bridgev1.HostRequest_Error{Error: told}}
}

func truncate(text string) string {
	characters := []rune(text)
	if len(characters) > longestFailure {
		characters = characters[:longestFailure]
	}
	return string(characters)
}

// answer sends an answer, unless nobody waits for it. Where the stream is broken it goes over the next one.
func (h *ToolHost) answer(call uint64, message *bridgev1.HostRequest) {
	if stream := h.keep(call, message); stream != nil {
		h.send(stream, message)
	}
}

// keep notes an answer and returns the stream that it is to be sent over, if it is to be sent.
func (h *ToolHost) keep(call uint64, message *bridgev1.HostRequest) bridgev1.ToolService_HostClient {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if _, waited := h.running[call]; !waited || h.closing {
		return nil
	}
	delete(h.running, call)
	h.answers = append(h.answers, answer{call, message})
	if len(h.answers) > keptAnswers {
		h.answers = h.answers[1:]
	}
	return h.stream
}
