package bridgeclient

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

const (
	frameCalls = 256
	frameBytes = 1 << 20
	// firstOpenCalls is how many calls may be open until the server has said how many may.
	firstOpenCalls = 256
)

// Multiplex makes many calls over one stream, several to a message: many times as fast as one call at a time where many
// goroutines make small ones. It is a Caller: Call[T](ctx, many, ...) waits for the call's answer alone. Budget and
// metadata are those of the client or view that it was made of, one for all of its calls; timeout, request id, session,
// priority and receipt are each call's own.
type Multiplex struct {
	client *Client
	cancel context.CancelFunc
	stream bridgev1.InvokeService_MultiplexClient
	facts  *callFacts
	wake   chan struct{} // tells the sender that there may be something to send
	ended  chan struct{} // closed when the sender and the receiver have ended

	mutex     sync.Mutex
	last      uint64
	open      map[uint64]*openCall
	waiting   []*openCall
	cancelled []uint64
	inFlight  int
	limit     int
	closing   bool
	over      *Error // why there are no more answers
}

// openCall is a call that has no answer yet.
type openCall struct {
	message *bridgev1.MultiplexCall
	options *callOptions
	facts   *callFacts
	sent    bool
	done    chan struct{}
	reply   *bridgev1.CallResponse
	err     *Error
}

// Multiplex opens a stream for many small calls. The context bounds all of it; Close waits for the answers.
func (c *Client) Multiplex(ctx context.Context, options ...CallOption) (*Multiplex, error) {
	used := c.defaults.with(options)
	if err := used.check(); err != nil {
		return nil, err
	}
	own := *c
	own.defaults, own.owner = *used, false
	rpc, cancel, facts := c.seal(ctx, time.Time{}, used)
	stream, err := c.invoke.Multiplex(rpc)
	if err != nil {
		cancel()
		return nil, c.failed(err, facts)
	}
	made := &Multiplex{
		client: &own, cancel: cancel, stream: stream, facts: facts, wake: make(chan struct{}, 1),
		ended: make(chan struct{}), open: map[uint64]*openCall{}, limit: firstOpenCalls,
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		made.receive()
	}()
	go func() {
		defer close(made.ended)
		made.send(received)
		<-received
		cancel()
	}()
	return made, nil
}

func (m *Multiplex) view() *Client { return m.client }

// Call calls a function and writes its result to what result points to, which may be nil. See the function Call.
func (m *Multiplex) Call(ctx context.Context, function string, arguments, result any, options ...CallOption) error {
	payload, err := encodeArguments(arguments)
	if err != nil {
		return err
	}
	used := m.client.defaults.with(options)
	if err := used.check(); err != nil {
		return err
	}
	deadline := bound(ctx, used)
	call := newOpenCall(function, payload, used, deadline)
	call.facts.address = m.client.connection.address
	if ctx.Err() != nil {
		return toError(ctx.Err(), call.facts)
	}
	if err := m.add(call); err != nil {
		return err
	}
	if err := m.wait(ctx, call, deadline); err != nil {
		return err
	}
	return decodeInto(result, call.reply.GetResult(), call.facts)
}

func newOpenCall(function string, payload *bridgev1.Payload, used *callOptions, deadline time.Time) *openCall {
	facts := &callFacts{requestID: used.requestID}
	options := &bridgev1.MultiplexOptions{RequestId: used.requestID, SessionId: used.session}
	if !deadline.IsZero() {
		facts.timeout = time.Until(deadline).Round(time.Millisecond)
		options.TimeoutMs = 1
		if facts.timeout > time.Millisecond {
			options.TimeoutMs = uint64(facts.timeout.Milliseconds())
		}
	}
	switch used.sessionMode {
	case SessionHint:
		options.SessionMode = bridgev1.SessionMode_SESSION_MODE_HINT
	case SessionStrict:
		options.SessionMode = bridgev1.SessionMode_SESSION_MODE_STRICT
	}
	switch used.priority {
	case "low":
		options.Priority = bridgev1.Priority_PRIORITY_LOW
	case "normal":
		options.Priority = bridgev1.Priority_PRIORITY_NORMAL
	case "high":
		options.Priority = bridgev1.Priority_PRIORITY_HIGH
	}
	message := &bridgev1.MultiplexCall{
		Request: &bridgev1.CallRequest{Function: function, Arguments: payload}, Options: options,
	}
	return &openCall{message: message, options: used, facts: facts, done: make(chan struct{})}
}

// add takes a call in, to be sent.
func (m *Multiplex) add(call *openCall) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.over != nil {
		return m.over
	}
	if m.closing {
		return &Error{Code: codes.Canceled, Message: "this multiplexed stream is closed; open a new one", kind: ErrClosed}
	}
	m.last++
	call.message.Id = m.last
	m.open[m.last] = call
	m.waiting = append(m.waiting, call)
	m.tell()
	return nil
}

// tell wakes the sender.
func (m *Multiplex) tell() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// wait waits for a call's answer: a moment longer than its deadline, since the server knows more about that.
func (m *Multiplex) wait(ctx context.Context, call *openCall, deadline time.Time) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline) + deadlineGrace)
		defer timer.Stop()
		late = timer.C
	}
	ended := ctx.Done()
	for {
		select {
		case <-call.done:
			if call.err != nil {
				return call.err
			}
			return nil
		case <-ended:
			if ctx.Err() == context.DeadlineExceeded {
				ended = nil
				continue
			}
			m.drop(call)
			return toError(ctx.Err(), call.facts)
		case <-late:
			m.drop(call)
			return toError(context.DeadlineExceeded, call.facts)
		}
	}
}

// drop lets go of a call: the server is told, where it knows of it, and its answer passed over.
func (m *Multiplex) drop(call *openCall) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	id := call.message.GetId()
	if _, open := m.open[id]; !open {
		return
	}
	delete(m.open, id)
	if call.sent {
		m.cancelled = append(m.cancelled, id)
	} else {
		for number, one := range m.waiting {
			if one == call {
				m.waiting = append(m.waiting[:number], m.waiting[number+1:]...)
				break
			}
		}
	}
	m.tell()
}

// message returns what may be sent now; nil for nothing. The second result is true at the end.
func (m *Multiplex) message() (*bridgev1.MultiplexRequest, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	request := &bridgev1.MultiplexRequest{CancelledIds: m.cancelled}
	m.cancelled = nil
	size := 0
	for len(m.waiting) > 0 && m.inFlight < m.limit && len(request.Calls) < frameCalls {
		call := m.waiting[0]
		length := proto.Size(call.message)
		if size > 0 && size+length > frameBytes {
			break
		}
		m.waiting = m.waiting[1:]
		request.Calls = append(request.Calls, call.message)
		call.sent = true
		size += length
		m.inFlight++
	}
	if len(request.Calls) > 0 || len(request.CancelledIds) > 0 {
		return request, false
	}
	return nil, m.closing && len(m.open) == 0
}

// send sends what there is until all has been answered after Close, or nothing is received any more.
func (m *Multiplex) send(received <-chan struct{}) {
	for {
		request, end := m.message()
		switch {
		case request != nil:
			_ = m.stream.Send(request) // a stream that is broken says so to Recv
		case end:
			_ = m.stream.CloseSend()
			return
		default:
			select {
			case <-m.wake:
			case <-received:
				return
			}
		}
	}
}

func (m *Multiplex) receive() {
	for {
		response, err := m.stream.Recv()
		if err != nil {
			m.finish(err)
			return
		}
		m.answered(response)
	}
}

func (m *Multiplex) answered(response *bridgev1.MultiplexResponse) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if most := response.GetMaxOpenCalls(); most > 0 {
		m.limit = int(most)
	}
	for _, result := range response.GetResults() {
		m.inFlight--
		call, open := m.open[result.GetId()]
		if !open {
			continue
		}
		delete(m.open, result.GetId())
		call.settle(result, response.GetSharedReceipts())
	}
	m.tell()
}

func (c *openCall) settle(result *bridgev1.MultiplexResult, shared []*Receipt) {
	if len(c.options.receipts) > 0 {
		receipt := &bridgev1.Receipt{}
		if number := int(result.GetSharedReceipt()); number > 0 && number <= len(shared) {
			proto.Merge(receipt, shared[number-1])
		}
		if result.GetReceipt() != nil {
			proto.Merge(receipt, result.GetReceipt())
		}
		for _, receive := range c.options.receipts {
			receive(receipt)
		}
	}
	switch outcome := result.GetOutcome().(type) {
	case *bridgev1.MultiplexResult_Response:
		c.reply = outcome.Response
	case *bridgev1.MultiplexResult_Error:
		c.err = ofStatus(outcome.Error, c.facts)
	default:
		c.err = unexpected(c.facts, "expected a response or an error, got neither")
	}
	close(c.done)
}

// finish gives the calls that will have no answer the reason.
func (m *Multiplex) finish(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err == io.EOF {
		m.over = unexpected(m.facts, "the server has ended the stream")
	} else {
		m.over = m.client.failed(err, m.facts)
	}
	for id, call := range m.open {
		delete(m.open, id)
		call.err = m.over
		close(call.done)
	}
	m.waiting = nil
}

// Close waits for the answers of all open calls, then ends the stream.
func (m *Multiplex) Close() error {
	m.mutex.Lock()
	m.closing = true
	m.tell()
	m.mutex.Unlock()
	<-m.ended
	return nil
}

// Abort ends the stream at once; its open calls are cancelled.
func (m *Multiplex) Abort() {
	m.cancel()
	<-m.ended
}
