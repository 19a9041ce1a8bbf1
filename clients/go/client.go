package bridgeclient

import (
	"context"

	"google.golang.org/grpc"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// Client calls a bridge. It is made by Connect and may be shared between goroutines.
type Client struct {
	connection *connection
	defaults   callOptions
	owner      bool

	invoke     bridgev1.InvokeServiceClient
	programs   bridgev1.ProgramServiceClient
	models     bridgev1.ModelServiceClient
	embeddings bridgev1.EmbeddingServiceClient
	metrics    bridgev1.MetricServiceClient
	sessions   bridgev1.SessionServiceClient
	tools      bridgev1.ToolServiceClient
	pools      bridgev1.PoolServiceClient
}

// Caller is what calls can be made with: a Client, a Session or a Multiplex.
type Caller interface {
	// Call calls a function; see Client.Call.
	Call(ctx context.Context, function string, arguments, result any, options ...CallOption) error
	view() *Client
}

func (c *Client) view() *Client { return c }

// Connect returns a client of the bridge at an address: HOST:PORT, or unix:PATH for a unix socket. It connects at the
// first call; an error says that the address or an option is no good.
func Connect(address string, options ...Option) (*Client, error) {
	made := &connection{address: address, maxBytes: DefaultMaxMessageBytes}
	for _, one := range options {
		if err := one.connect(made); err != nil {
			return nil, err
		}
	}
	if err := made.open(); err != nil {
		return nil, err
	}
	return &Client{
		connection: made,
		defaults:   made.defaults,
		owner:      true,
		invoke:     bridgev1.NewInvokeServiceClient(made.grpc),
		programs:   bridgev1.NewProgramServiceClient(made.grpc),
		models:     bridgev1.NewModelServiceClient(made.grpc),
		embeddings: bridgev1.NewEmbeddingServiceClient(made.grpc),
		metrics:    bridgev1.NewMetricServiceClient(made.grpc),
		sessions:   bridgev1.NewSessionServiceClient(made.grpc),
		tools:      bridgev1.NewToolServiceClient(made.grpc),
		pools:      bridgev1.NewPoolServiceClient(made.grpc),
	}, nil
}

// Address returns where the bridge is.
func (c *Client) Address() string { return c.connection.address }

// Conn returns the connection, for the bare stubs of bridgev1 and for services of your own.
func (c *Client) Conn() grpc.ClientConnInterface { return c.connection.grpc }

// With returns a view of the client whose calls differ in what is given. It shares the connection.
func (c *Client) With(options ...CallOption) *Client {
	view := *c
	view.defaults = *c.defaults.with(options)
	view.owner = false
	return &view
}

// Close ends the connection and the calls that run. Of a view it does nothing.
func (c *Client) Close() error {
	if !c.owner {
		return nil
	}
	return c.connection.grpc.Close()
}

// Call calls a function and returns its result as a T: a basic type, a struct with json tags, a slice, a map, a Tensor,
// or any. Arguments are a map or a struct with one entry for each parameter, or nil.
//
// In an any, integers are int64 (uint64 where they are larger), floats float64, bytes []byte, lists []any, objects
// map[string]any and arrays Tensor.
func Call[T any](ctx context.Context, client Caller, function string, arguments any, options ...CallOption) (T, error) {
	var result T
	err := client.Call(ctx, function, arguments, &result, options...)
	return result, err
}

// Call calls a function and writes its result to what result points to, which may be nil. See the function Call.
func (c *Client) Call(ctx context.Context, function string, arguments, result any, options ...CallOption) error {
	payload, err := encodeArguments(arguments)
	if err != nil {
		return err
	}
	used := c.defaults.with(options)
	if used.chunkBytes > 0 {
		return c.callInParts(ctx, function, payload, result, used)
	}
	request := &bridgev1.CallRequest{Function: function, Arguments: payload}
	reply, facts, err := unary(ctx, c, used, c.invoke.Call, request)
	if err != nil {
		return err
	}
	return decodeInto(result, reply.GetResult(), facts)
}

func (c *Client) callInParts(ctx context.Context, function string, payload *bridgev1.Payload, result any, options *callOptions) error {
	payloads := c.streamPayloads(ctx, function, payload, options)
	defer payloads.Close()
	var found []*bridgev1.Payload
	for payloads.Next() {
		found = append(found, payloads.Value())
	}
	if err := payloads.Err(); err != nil {
		return err
	}
	if len(found) != 1 {
		return unexpected(payloads.facts, "expected one result of %s, got %d; use Stream", function, len(found))
	}
	return decodeInto(result, found[0], payloads.facts)
}

// CallRaw calls a function of bytes to bytes; nothing is encoded on the way.
func (c *Client) CallRaw(ctx context.Context, function string, data []byte, options ...CallOption) ([]byte, error) {
	payload := &bridgev1.Payload{Body: &bridgev1.Payload_Raw{Raw: data}}
	request := &bridgev1.CallRequest{Function: function, Arguments: payload}
	reply, facts, err := unary(ctx, c, c.defaults.with(options), c.invoke.Call, request)
	if err != nil {
		return nil, err
	}
	var result []byte
	return result, decodeInto(&result, reply.GetResult(), facts)
}

// Stream calls a function whose results come one by one, each as a T; see Call. An iterator that is not read to its end
// has to be closed.
func Stream[T any](ctx context.Context, client Caller, function string, arguments any, options ...CallOption) *Iterator[T] {
	c := client.view()
	payload, err := encodeArguments(arguments)
	if err != nil {
		return &Iterator[T]{err: err, done: true}
	}
	payloads := c.streamPayloads(ctx, function, payload, c.defaults.with(options))
	return mapped(payloads, func(item *bridgev1.Payload) (T, error) {
		var value T
		err := decodeInto(&value, item, payloads.facts)
		return value, err
	})
}

// Stream calls a function whose results come one by one. See the function Stream.
func (c *Client) Stream(ctx context.Context, function string, arguments any, options ...CallOption) *Iterator[any] {
	return Stream[any](ctx, c, function, arguments, options...)
}

func (c *Client) streamPayloads(ctx context.Context, function string, payload *bridgev1.Payload, options *callOptions) *Iterator[*bridgev1.Payload] {
	request := &bridgev1.StreamCallRequest{
		Function: function, Arguments: payload, Aggregate: true, ChunkBytes: options.chunkBytes,
	}
	items := parts{}
	return stream(ctx, c, options, func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.StreamCallResponse], error) {
		return c.invoke.StreamCall(ctx, request, used...)
	}, items.read)
}
