package bridgeclient

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// Iterator gives what a call sends, one by one:
//
//	for items.Next() {
//		use(items.Value())
//	}
//	if err := items.Err(); err != nil {
//		return err
//	}
//
// One that is not read to its end has to be closed, or its context cancelled: that ends the call, and the running Python
// on the server. It is for one goroutine at a time; Close may be called from any.
type Iterator[T any] struct {
	pull    func() ([]T, error) // returns io.EOF at the end; nothing where a message is to be passed over
	stop    func()
	facts   *callFacts
	pending []T
	value   T
	err     error
	done    bool

	mutex  sync.Mutex
	closed bool
}

// Next waits for the next item. False at the end, after which Err says whether it was a good one.
func (i *Iterator[T]) Next() bool {
	for !i.done {
		if i.isClosed() {
			i.done = true
			break
		}
		if len(i.pending) > 0 {
			i.value, i.pending = i.pending[0], i.pending[1:]
			return true
		}
		pending, err := i.pull()
		i.pending = pending
		if err != nil {
			i.done = true
			if !errors.Is(err, io.EOF) && !i.isClosed() {
				i.err = err
			}
			i.stop()
		}
	}
	var none T
	i.value = none
	return false
}

// Value returns the item that Next has found.
func (i *Iterator[T]) Value() T { return i.value }

// Err returns why there are no more items; nil after the last one, and after Close.
func (i *Iterator[T]) Err() error { return i.err }

// Close ends the call, if it still runs. It always returns nil, so that it can stand in a defer.
func (i *Iterator[T]) Close() error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.closed = true
	if i.stop != nil {
		i.stop()
	}
	return nil
}

func (i *Iterator[T]) isClosed() bool {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return i.closed
}

// receiver is the client's end of a stream of replies.
type receiver[Reply any] interface {
	Recv() (*Reply, error)
	Trailer() metadata.MD
}

// stream begins a call of many replies. A failure to begin comes with the first Next.
func stream[Reply, T any](
	ctx context.Context, c *Client, options *callOptions,
	open func(context.Context, ...grpc.CallOption) (receiver[Reply], error),
	read func(*Reply, *callFacts) ([]T, error),
) *Iterator[T] {
	if err := options.check(); err != nil {
		return &Iterator[T]{err: err, done: true}
	}
	rpc, cancel, facts := c.seal(ctx, bound(ctx, options), options)
	var replies receiver[Reply]
	err := ctx.Err()
	if err == nil {
		replies, err = open(rpc)
	}
	if err != nil {
		cancel()
		return &Iterator[T]{err: c.failed(err, facts), done: true, facts: facts}
	}
	pull := func() ([]T, error) {
		reply, err := replies.Recv()
		if err != nil {
			options.handOut(replies.Trailer())
			if err == io.EOF {
				return nil, err
			}
			return nil, c.failed(err, facts)
		}
		return read(reply, facts)
	}
	return &Iterator[T]{pull: pull, stop: cancel, facts: facts}
}

// mapped turns the items of an iterator into others.
func mapped[From, To any](from *Iterator[From], turn func(From) (To, error)) *Iterator[To] {
	if from.done {
		return &Iterator[To]{err: from.err, done: true, facts: from.facts}
	}
	pull := func() ([]To, error) {
		items, failed := from.pull()
		turned := make([]To, 0, len(items))
		for _, item := range items {
			one, err := turn(item)
			if err != nil {
				return turned, err
			}
			turned = append(turned, one)
		}
		return turned, failed
	}
	return &Iterator[To]{pull: pull, stop: from.stop, facts: from.facts}
}

// parts puts items together that come in parts.
type parts struct {
	item   []byte
	filled uint64
}

func (p *parts) read(reply *bridgev1.StreamCallResponse, facts *callFacts) ([]*bridgev1.Payload, error) {
	part := reply.GetPart()
	if part == nil {
		if p.filled > 0 {
			return nil, unexpected(facts, "expected the rest of an item of %d bytes, got another item", len(p.item))
		}
		if items := reply.GetItems(); len(items) > 0 {
			return items, nil
		}
		return []*bridgev1.Payload{reply.GetItem()}, nil
	}
	if p.filled == 0 {
		p.item = make([]byte, 0, part.GetTotal())
	}
	end := part.GetOffset() + uint64(len(part.GetData()))
	if part.GetOffset() != p.filled || part.GetTotal() != uint64(cap(p.item)) || end <= p.filled || end > part.GetTotal() {
		return nil, unexpected(facts, "expected the part at %d of %d bytes, got %d to %d of %d",
			p.filled, cap(p.item), part.GetOffset(), end, part.GetTotal())
	}
	p.item, p.filled = append(p.item, part.GetData()...), end
	if end < part.GetTotal() {
		return nil, nil
	}
	payload := &bridgev1.Payload{}
	err := proto.Unmarshal(p.item, payload)
	p.item, p.filled = nil, 0
	if err != nil {
		return nil, unexpected(facts, "expected a Payload in the parts of an item: %v", err)
	}
	return []*bridgev1.Payload{payload}, nil
}
