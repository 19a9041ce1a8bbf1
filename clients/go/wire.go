package bridgeclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// deadlineGrace is how far gRPC's own deadline lies behind the one in x-timeout-ms, so that the server, which knows
// whether the call waited or worked, answers first and says so.
const deadlineGrace = 250 * time.Millisecond

// firstPause is the wait before a call is repeated that reached no server; it doubles each time.
const firstPause = 50 * time.Millisecond

const receiptKey = "bridge-receipt-bin"

// detached has the values of a context, not its end.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }

// bound returns when a call has to end; a zero time for no bound.
func bound(ctx context.Context, options *callOptions) time.Time {
	deadline, has := ctx.Deadline()
	timeout := options.timeout
	if timeout == 0 && !has {
		timeout = DefaultTimeout
	}
	if timeout > 0 {
		if own := time.Now().Add(timeout); !has || own.Before(deadline) {
			deadline = own
		}
	}
	return deadline
}

// seal returns the context of an RPC that begins now. It ends with the caller's, but a moment after the deadline.
func (c *Client) seal(ctx context.Context, deadline time.Time, options *callOptions) (context.Context, context.CancelFunc, *callFacts) {
	facts := &callFacts{address: c.connection.address, requestID: options.requestID}
	if facts.requestID == "" {
		facts.requestID = newRequestID()
	}
	pairs := make([]string, 0, 12+len(options.metadata))
	pairs = append(pairs, "x-request-id", facts.requestID)
	if !deadline.IsZero() {
		facts.timeout = time.Until(deadline).Round(time.Millisecond)
		milliseconds := facts.timeout.Milliseconds()
		if milliseconds < 1 {
			milliseconds = 1
		}
		pairs = append(pairs, "x-timeout-ms", strconv.FormatInt(milliseconds, 10))
	}
	pairs = options.appendMetadata(pairs)
	if c.connection.key != "" {
		pairs = append(pairs, "authorization", "Bearer "+c.connection.key)
	}
	rpc, cancel := later(ctx, deadline)
	return metadata.AppendToOutgoingContext(rpc, pairs...), cancel, facts
}

// appendMetadata adds what the options say to pairs of keys and values.
func (o *callOptions) appendMetadata(pairs []string) []string {
	for _, one := range [...][2]string{
		{"x-idempotency-key", o.idempotencyKey}, {"x-session-id", o.session},
		{"x-session-mode", string(o.sessionMode)}, {"x-priority", o.priority},
	} {
		if one[1] != "" {
			pairs = append(pairs, one[0], one[1])
		}
	}
	return append(append(pairs, o.budget...), o.metadata...)
}

// later returns a context that is cancelled with another, but whose deadline is a moment later.
func later(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	if _, has := ctx.Deadline(); !has {
		return context.WithDeadline(ctx, deadline.Add(deadlineGrace))
	}
	rpc, cancel := context.WithDeadline(detached{ctx}, deadline.Add(deadlineGrace))
	go func() {
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				cancel()
			}
		case <-rpc.Done():
		}
	}()
	return rpc, cancel
}

func newRequestID() string {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // the system has no randomness
	}
	return hex.EncodeToString(random[:])
}

// unary makes a call of one reply and repeats it where its options allow.
func unary[Request, Reply any](
	ctx context.Context, c *Client, options *callOptions,
	rpc func(context.Context, *Request, ...grpc.CallOption) (*Reply, error), request *Request,
) (*Reply, *callFacts, error) {
	if err := options.check(); err != nil {
		return nil, nil, err
	}
	deadline, pause := bound(ctx, options), firstPause
	if options.retries > 0 && options.requestID == "" {
		options.requestID = newRequestID()
	}
	for attempt := 0; ; attempt++ {
		reply, facts, failed := once(ctx, c, deadline, options, rpc, request)
		if failed == nil {
			return reply, facts, nil
		}
		wait, again := failed.retry(options, pause)
		if !again || attempt >= options.retries || !sleep(ctx, wait, deadline) {
			return nil, facts, failed
		}
		pause *= 2
	}
}

// once makes a call. It returns an *Error, not an error: nil where the call went well.
func once[Request, Reply any](
	ctx context.Context, c *Client, deadline time.Time, options *callOptions,
	rpc func(context.Context, *Request, ...grpc.CallOption) (*Reply, error), request *Request,
) (*Reply, *callFacts, *Error) {
	inner, cancel, facts := c.seal(ctx, deadline, options)
	defer cancel()
	if ctx.Err() != nil {
		return nil, facts, toError(ctx.Err(), facts)
	}
	var trailer metadata.MD
	var settings [1]grpc.CallOption
	used := settings[:0]
	if len(options.receipts) > 0 {
		used = append(used, grpc.Trailer(&trailer))
	}
	reply, err := rpc(inner, request, used...)
	options.handOut(trailer)
	if err != nil {
		return nil, facts, c.failed(err, facts)
	}
	return reply, facts, nil
}

// failed returns the *Error of a failed RPC. Where no server was there it is looked for at once by the next call.
func (c *Client) failed(err error, facts *callFacts) *Error {
	made := toError(err, facts)
	if made.kind == ErrCannotConnect {
		c.connection.reset()
	}
	return made
}

// retry says whether a call may be repeated, and when.
func (e *Error) retry(options *callOptions, pause time.Duration) (time.Duration, bool) {
	if options.retries == 0 {
		return 0, false
	}
	if e.kind == ErrCannotConnect {
		return pause, true
	}
	return e.RetryAfter, e.Retryable && (options.idempotent || options.idempotencyKey != "")
}

// sleep waits; false where there is no time left for it.
func sleep(ctx context.Context, wait time.Duration, deadline time.Time) bool {
	if !deadline.IsZero() && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handOut gives the receipt among trailers, if there is one, to who asked for it.
func (o *callOptions) handOut(trailer metadata.MD) {
	packed := trailer[receiptKey]
	if len(o.receipts) == 0 || len(packed) == 0 {
		return
	}
	receipt := &bridgev1.Receipt{}
	if proto.Unmarshal([]byte(packed[0]), receipt) != nil {
		return // a receipt that can not be read must not turn a good call into a failure
	}
	for _, receive := range o.receipts {
		receive(receipt)
	}
}

// codec reads and writes the messages of protobuf's second API, whichever one the grpc-go below was made for.
type codec struct{}

// raw is a message that is bytes already.
type raw []byte

func (codec) Marshal(value any) ([]byte, error) {
	if bytes, ok := value.(*raw); ok {
		return *bytes, nil
	}
	return proto.Marshal(value.(proto.Message))
}

func (codec) Unmarshal(data []byte, value any) error {
	if bytes, ok := value.(*raw); ok {
		*bytes = append((*bytes)[:0], data...)
		return nil
	}
	return proto.Unmarshal(data, value.(proto.Message))
}

func (codec) Name() string { return "proto" }
