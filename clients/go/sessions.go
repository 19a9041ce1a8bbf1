package bridgeclient

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// SessionMode is how firmly a session is bound to its worker.
type SessionMode string

const (
	// SessionHint prefers the session's worker; when it is lost the session goes on elsewhere with a higher epoch.
	SessionHint SessionMode = "hint"
	// SessionStrict waits for the session's worker; when it is lost every call fails with SESSION_LOST.
	SessionStrict SessionMode = "strict"
)

// SessionOptions says what a session is like; the zero value is one by the server's defaults.
type SessionOptions struct {
	// ID is the id to use; empty for one that the server makes.
	ID string
	// Mode is how firmly it is bound; empty for SessionHint.
	Mode SessionMode
	// TTL is how long it lives without a call; 0 for the server's default.
	TTL time.Duration
	// Ordered says whether its calls run one after another, in the order in which they arrive.
	Ordered bool
}

// Session is a client whose calls belong to one session: they go to one worker of each pool while it lives.
type Session struct {
	*Client
	// ID is the session's id.
	ID string
	// Opened is the session as it was opened.
	Opened *SessionInfo
}

// OpenSession opens a session. Close it, or it ends by its TTL.
func (c *Client) OpenSession(ctx context.Context, session SessionOptions, options ...CallOption) (*Session, error) {
	request := &bridgev1.OpenRequest{Id: session.ID, Ordered: session.Ordered}
	switch session.Mode {
	case SessionStrict:
		request.Mode = bridgev1.SessionMode_SESSION_MODE_STRICT
	case SessionHint:
		request.Mode = bridgev1.SessionMode_SESSION_MODE_HINT
	}
	if session.TTL != 0 {
		request.Ttl = durationpb.New(session.TTL)
	}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.sessions.Open, request)
	if err != nil {
		return nil, err
	}
	id := reply.GetSession().GetId()
	return &Session{Client: c.With(WithSession(id)), ID: id, Opened: reply.GetSession()}, nil
}

// JoinSession returns the client of a session that was opened elsewhere, or that its first call is to open.
func (c *Client) JoinSession(id string) *Session {
	return &Session{Client: c.With(WithSession(id)), ID: id}
}

// Close ends the session. One that has ended is no failure.
func (s *Session) Close(ctx context.Context, options ...CallOption) error {
	request := &bridgev1.CloseRequest{Id: s.ID}
	_, _, err := unary(ctx, s.Client, s.outside(options), s.sessions.Close, request)
	if failed, ok := err.(*Error); ok && failed.Code == codes.NotFound {
		return nil
	}
	return err
}

// Info returns the session as the server sees it: its workers, epoch, calls.
func (s *Session) Info(ctx context.Context, options ...CallOption) (*SessionInfo, error) {
	request := &bridgev1.SessionServiceGetRequest{Id: s.ID}
	reply, _, err := unary(ctx, s.Client, s.outside(options), s.sessions.Get, request)
	return reply.GetSession(), err
}

// outside returns options of calls about the session, which are no calls in it.
func (s *Session) outside(options []CallOption) *callOptions {
	used := s.defaults.with(options)
	used.session = ""
	return used
}

// Sessions returns the open sessions of the caller's tenant, in the order in which they were opened.
func (c *Client) Sessions(ctx context.Context, options ...CallOption) ([]*SessionInfo, error) {
	return pages(func(token string) ([]*SessionInfo, string, error) {
		request := &bridgev1.SessionServiceListRequest{PageSize: pageSize, PageToken: token}
		reply, _, err := unary(ctx, c, c.defaults.with(options), c.sessions.List, request)
		return reply.GetSessions(), reply.GetNextPageToken(), err
	})
}

// Variable is a variable of a session at one moment.
type Variable struct {
	Name string
	// Value is as results of calls in an any.
	Value any
	// Version is the number of its last change, counted per session.
	Version uint64
}

func readVariable(found *bridgev1.SessionVariable, facts *callFacts) (Variable, error) {
	made := Variable{Name: found.GetName(), Version: found.GetVersion()}
	return made, decodeInto(&made.Value, found.GetValue(), facts)
}

// Get writes a variable of the session to what target points to, and returns its version.
func (s *Session) Get(ctx context.Context, name string, target any, options ...CallOption) (uint64, error) {
	request := &bridgev1.GetVariableRequest{SessionId: s.ID, Name: name, Form: bridgev1.PayloadForm_PAYLOAD_FORM_MSGPACK}
	reply, facts, err := unary(ctx, s.Client, s.outside(options), s.sessions.GetVariable, request)
	if err != nil {
		return 0, err
	}
	return reply.GetVariable().GetVersion(), decodeInto(target, reply.GetVariable().GetValue(), facts)
}

// AnyVersion lets Set and Delete change a variable whichever version it has.
const AnyVersion = -1

// Set writes a variable of the session and returns its new version. The version that it must have now is AnyVersion for
// any, 0 where there must be none; else the answer is ABORTED with VERSION_MISMATCH.
func (s *Session) Set(ctx context.Context, name string, value any, version int64, options ...CallOption) (uint64, error) {
	payload, err := encodeValue(value)
	if err != nil {
		return 0, err
	}
	request := &bridgev1.SetVariableRequest{SessionId: s.ID, Name: name, Value: payload, ExpectedVersion: expected(version)}
	reply, _, err := unary(ctx, s.Client, s.outside(options), s.sessions.SetVariable, request)
	return reply.GetVersion(), err
}

// Delete deletes a variable of the session; see Set for the version.
func (s *Session) Delete(ctx context.Context, name string, version int64, options ...CallOption) error {
	request := &bridgev1.DeleteVariableRequest{SessionId: s.ID, Name: name, ExpectedVersion: expected(version)}
	_, _, err := unary(ctx, s.Client, s.outside(options), s.sessions.DeleteVariable, request)
	return err
}

func expected(version int64) *uint64 {
	if version < 0 {
		return nil
	}
	found := uint64(version)
	return &found
}

// Variables returns the session's variables in the order of their names.
func (s *Session) Variables(ctx context.Context, options ...CallOption) ([]Variable, error) {
	request := &bridgev1.ListVariablesRequest{SessionId: s.ID, Form: bridgev1.PayloadForm_PAYLOAD_FORM_MSGPACK}
	reply, facts, err := unary(ctx, s.Client, s.outside(options), s.sessions.ListVariables, request)
	if err != nil {
		return nil, err
	}
	return readVariables(reply.GetVariables(), facts)
}

func readVariables(found []*bridgev1.SessionVariable, facts *callFacts) ([]Variable, error) {
	made := make([]Variable, 0, len(found))
	for _, one := range found {
		variable, err := readVariable(one, facts)
		if err != nil {
			return nil, err
		}
		made = append(made, variable)
	}
	return made, nil
}

// SessionEvent is what a watcher of a session is told: *VariableSnapshot, *VariableChange or *WatchEnd.
type SessionEvent interface{ sessionEvent() }

// VariableSnapshot is all variables at the start: the first event.
type VariableSnapshot struct {
	Variables []Variable
	// Version is the number of the last change.
	Version uint64
}

// VariableChange is one change of one variable.
type VariableChange struct {
	// Variable has the new value; of a deleted one the name alone.
	Variable Variable
	Deleted  bool
	// Version is the number of the change.
	Version uint64
	// Skipped counts changes before this one that were left out, as the reader was slow.
	Skipped uint64
}

// WatchEnd says why no more changes come: closed, expired, evicted or stopping.
type WatchEnd struct{ Reason string }

func (*VariableSnapshot) sessionEvent() {}
func (*VariableChange) sessionEvent()   {}
func (*WatchEnd) sessionEvent()         {}

// Watch gives the variables as they are, then each change, and at last why the session ended. It has no timeout but that
// of its context.
func (s *Session) Watch(ctx context.Context, options ...CallOption) *Iterator[SessionEvent] {
	used := s.outside(options)
	if used.timeout == 0 {
		used.timeout = -1
	}
	request := &bridgev1.SessionServiceWatchRequest{Id: s.ID, Form: bridgev1.PayloadForm_PAYLOAD_FORM_MSGPACK}
	return stream(ctx, s.Client, used, func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.SessionServiceWatchResponse], error) {
		return s.sessions.Watch(ctx, request, used...)
	}, readSessionEvent)
}

func readSessionEvent(reply *bridgev1.SessionServiceWatchResponse, facts *callFacts) ([]SessionEvent, error) {
	switch event := reply.GetEvent().(type) {
	case *bridgev1.SessionServiceWatchResponse_Snapshot:
		found, err := readVariables(event.Snapshot.GetVariables(), facts)
		return []SessionEvent{&VariableSnapshot{Variables: found, Version: event.Snapshot.GetVersion()}}, err
	case *bridgev1.SessionServiceWatchResponse_Change:
		found, err := readVariable(event.Change.GetVariable(), facts)
		change := &VariableChange{found, event.Change.GetDeleted(), event.Change.GetVersion(), event.Change.GetSkipped()}
		return []SessionEvent{change}, err
	case *bridgev1.SessionServiceWatchResponse_End:
		return []SessionEvent{&WatchEnd{Reason: event.End.GetReason()}}, nil
	default:
		return nil, nil // of a newer server
	}
}
