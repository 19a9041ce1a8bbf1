package bridgeclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// connect returns a client of the server that tests/clients/test_go_client.py has started.
func connect(t *testing.T, options ...bridgeclient.Option) *bridgeclient.Client {
	t.Helper()
	address := os.Getenv("GO_CLIENT_ADDRESS")
	if address == "" {
		t.Skip("GO_CLIENT_ADDRESS is not set: it names a server of clients/conformance/conformance_app.py")
	}
	client, err := bridgeclient.Connect(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func failure(t *testing.T, err error) *bridgeclient.Error {
	t.Helper()
	var found *bridgeclient.Error
	if !errors.As(err, &found) {
		t.Fatalf("expected a *bridgeclient.Error, got %v", err)
	}
	return found
}

func TestTypedCalls(t *testing.T) {
	client, ctx := connect(t), context.Background()
	sum, err := bridgeclient.Call[int](ctx, client, "add", bridgeclient.Args{"a": 1, "b": 2})
	if err != nil || sum != 3 {
		t.Errorf("expected 3, got %d, %v", sum, err)
	}
	type numbers struct {
		A int64 `json:"a"`
		B int64 `json:"b"`
	}
	large, err := bridgeclient.Call[int64](ctx, client, "add", numbers{math.MaxInt64 - 1, 1})
	if err != nil || large != math.MaxInt64 {
		t.Errorf("expected %d, got %d, %v", int64(math.MaxInt64), large, err)
	}
	type point struct {
		X     float64 `json:"x"`
		Label string  `json:"label,omitempty"`
	}
	if _, err := bridgeclient.Call[map[string]any](ctx, client, "echo", map[string]any{"value": point{X: 1}}); err != nil {
		t.Error(err)
	}
	if err := client.Call(ctx, "nothing", nil, nil); err != nil {
		t.Error(err)
	}
	_, err = bridgeclient.Call[int](ctx, client, "text", bridgeclient.Args{"value": "x"})
	if found := failure(t, err); !errors.Is(found, bridgeclient.ErrUnexpectedReply) {
		t.Errorf("expected a reply that does not fit, got %v", found)
	}
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	client, ctx := connect(t), context.Background()
	for _, value := range []any{
		nil, true, "ü\x00😀", int64(math.MinInt64), uint64(math.MaxUint64), 1.5, math.Inf(-1), []byte{0, 1, 255},
		[]any{int64(1), nil}, map[string]any{"a": []any{}},
	} {
		back, err := bridgeclient.Call[any](ctx, client, "echo", bridgeclient.Args{"value": value})
		if err != nil || !reflect.DeepEqual(back, value) {
			t.Errorf("expected %#v, got %#v, %v", value, back, err)
		}
	}
	back, err := bridgeclient.Call[float64](ctx, client, "echo", bridgeclient.Args{"value": math.NaN()})
	if err != nil || !math.IsNaN(back) {
		t.Errorf("expected NaN, got %v, %v", back, err)
	}
	data, err := client.CallRaw(ctx, "binary", []byte("abc"))
	if err != nil || len(data) == 0 {
		t.Errorf("expected bytes, got %q, %v", data, err)
	}
}

func TestTensors(t *testing.T) {
	client, ctx := connect(t), context.Background()
	sent, err := bridgeclient.NewTensor([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	back, err := bridgeclient.Call[bridgeclient.Tensor](ctx, client, "array", bridgeclient.Args{"x": sent})
	if err != nil || !reflect.DeepEqual(back, sent) {
		t.Errorf("expected %v, got %v, %v", sent, back, err)
	}
	if elements, err := bridgeclient.Elements[float32](back); err != nil || elements[5] != 6 {
		t.Errorf("got %v, %v", elements, err)
	}
	if _, err := bridgeclient.NewTensor([]int8{1}, 3); err == nil {
		t.Error("expected a shape that does not fit to be refused")
	}
}

func TestFailuresSayWhatTheyAre(t *testing.T) {
	client, ctx := connect(t), context.Background()
	_, err := bridgeclient.Call[int](ctx, client, "add", bridgeclient.Args{"a": "one"}, bridgeclient.WithRequestID("go-1"))
	found := failure(t, err)
	if found.Code != codes.InvalidArgument || found.Reason != bridgeclient.ReasonSchemaMismatch || found.RequestID != "go-1" {
		t.Errorf("got %+v", found)
	}
	if len(found.Violations) != 2 || found.Violations[0].Field != "a" {
		t.Errorf("got %+v", found.Violations)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("expected grpc-go to read the code, got %v", status.Code(err))
	}
	_, err = bridgeclient.Call[int](ctx, client, "ad", nil)
	if found := failure(t, err); found.Reason != bridgeclient.ReasonUnknownFunction || !strings.Contains(found.Message, "add") {
		t.Errorf("got %v", found)
	}
	if _, err := bridgeclient.Call[int](ctx, client, "add", []int{1}); err == nil || errors.As(err, &found) {
		t.Errorf("expected arguments that are no object to be refused at once, got %v", err)
	}
}

func TestADeadlineIsTheServersAndItsReasonArrives(t *testing.T) {
	client := connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	left, err := bridgeclient.Call[int](ctx, client, "remaining_ms", nil)
	if err != nil || left < 1300 || left > 1500 {
		t.Errorf("expected about 1500 ms, got %d, %v", left, err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = bridgeclient.Call[string](ctx, client, "hold", bridgeclient.Args{"key": t.Name()})
	found := failure(t, err)
	if found.Code != codes.DeadlineExceeded || found.Reason != bridgeclient.ReasonInWorker || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v after %s", err, time.Since(begun))
	}
}

func TestACancelEndsTheCall(t *testing.T) {
	client := connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	items := bridgeclient.Stream[int](ctx, client, "count_endless", bridgeclient.Args{"key": t.Name()})
	if !items.Next() {
		t.Fatal(items.Err())
	}
	cancel()
	for items.Next() {
	}
	if err := items.Err(); !errors.Is(err, context.Canceled) || failure(t, err).Code != codes.Canceled {
		t.Errorf("expected a cancel, got %v", err)
	}
	if _, err := bridgeclient.Call[int](ctx, client, "add", bridgeclient.Args{"a": 1, "b": 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("expected a call of a context that has ended to be refused, got %v", err)
	}
}

func TestStreams(t *testing.T) {
	client, ctx := connect(t), context.Background()
	var receipt *bridgeclient.Receipt
	items := bridgeclient.Stream[int](ctx, client, "count", bridgeclient.Args{"to": 5},
		bridgeclient.WithReceipt(func(one *bridgeclient.Receipt) { receipt = one }))
	var found []int
	for items.Next() {
		found = append(found, items.Value())
	}
	if err := items.Err(); err != nil || !reflect.DeepEqual(found, []int{1, 2, 3, 4, 5}) {
		t.Errorf("got %v, %v", found, err)
	}
	if receipt.GetFunction() != "count" || receipt.GetRoute() != bridgev1.Route_ROUTE_POOLED {
		t.Errorf("got %v", receipt)
	}
	failing := client.Stream(ctx, "count_then_fail", bridgeclient.Args{"to": 2})
	count := 0
	for failing.Next() {
		count++
	}
	if found := failure(t, failing.Err()); count != 2 || found.Reason != bridgeclient.ReasonUserException {
		t.Errorf("got %d items, %v", count, found)
	}
	left := client.Stream(ctx, "count_endless", bridgeclient.Args{"key": t.Name()})
	left.Next()
	left.Close()
	if left.Next() || left.Err() != nil {
		t.Errorf("expected the end without a failure after Close, got %v", left.Err())
	}
	whole, err := bridgeclient.Call[string](ctx, client, "long_text", bridgeclient.Args{"unit": "ab", "count": 100_000}, bridgeclient.WithChunkBytes(4096))
	if err != nil || len(whole) != 200_000 {
		t.Errorf("expected 200000 bytes in parts, got %d, %v", len(whole), err)
	}
}

func TestSessionsAndTheirVariables(t *testing.T) {
	client, ctx := connect(t), context.Background()
	session, err := client.OpenSession(ctx, bridgeclient.SessionOptions{Mode: bridgeclient.SessionStrict, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bridgeclient.Call[int](ctx, session, "remember", bridgeclient.Args{"name": "a", "value": 7}); err != nil {
		t.Error(err)
	}
	if back, err := bridgeclient.Call[int](ctx, session, "recall", bridgeclient.Args{"name": "a"}); err != nil || back != 7 {
		t.Errorf("expected 7, got %d, %v", back, err)
	}
	info, err := session.Info(ctx)
	if err != nil || info.GetCalls() != 2 || info.GetTtl().AsDuration() != time.Minute {
		t.Errorf("got %v, %v", info, err)
	}
	watched := session.Watch(ctx)
	if !watched.Next() {
		t.Fatal(watched.Err())
	}
	version, err := session.Set(ctx, "limit", map[string]any{"n": int64(math.MaxInt64)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = session.Set(ctx, "limit", 1, 0); failure(t, err).Code != codes.Aborted {
		t.Errorf("expected a version that does not match to be refused, got %v", err)
	}
	var value map[string]int64
	if found, err := session.Get(ctx, "limit", &value); err != nil || found != version || value["n"] != math.MaxInt64 {
		t.Errorf("got %v of version %d, %v", value, found, err)
	}
	if !watched.Next() {
		t.Fatal(watched.Err())
	}
	if change, ok := watched.Value().(*bridgeclient.VariableChange); !ok || change.Variable.Name != "limit" {
		t.Errorf("got %#v", watched.Value())
	}
	if all, err := session.Variables(ctx); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	if err := session.Delete(ctx, "limit", int64(version)); err != nil {
		t.Error(err)
	}
	if err := session.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := session.Close(ctx); err != nil {
		t.Errorf("expected a second Close to do nothing, got %v", err)
	}
	var last bridgeclient.SessionEvent
	for watched.Next() {
		last = watched.Value()
	}
	if end, ok := last.(*bridgeclient.WatchEnd); !ok || end.Reason != "closed" {
		t.Errorf("got %#v, %v", last, watched.Err())
	}
}

func TestBudgetsAndReceipts(t *testing.T) {
	client, ctx := connect(t), context.Background()
	var receipts []*bridgeclient.Receipt
	view := client.With(
		bridgeclient.WithBudget(bridgeclient.Budget{Calls: bridgeclient.Ptr(int64(1))}),
		bridgeclient.WithReceipt(func(one *bridgeclient.Receipt) { receipts = append(receipts, one) }),
	)
	_, err := bridgeclient.Call[int](ctx, view, "nested", bridgeclient.Args{"a": 1, "b": 2})
	if err == nil || len(receipts) != 1 || receipts[0].GetBudget().GetCallsLeft() != 0 {
		t.Errorf("got %v, receipts %v", err, receipts)
	}
	if _, err := bridgeclient.Call[int](ctx, client, "nested", bridgeclient.Args{"a": 1, "b": 2}); err != nil || len(receipts) != 1 {
		t.Errorf("expected the view alone to have a budget, got %v", err)
	}
	negative := bridgeclient.WithBudget(bridgeclient.Budget{Tokens: bridgeclient.Ptr(int64(-1))})
	if _, err := bridgeclient.Call[int](ctx, client, "add", nil, negative); err == nil || !strings.Contains(err.Error(), "x-budget-tokens") {
		t.Errorf("expected a budget below 0 to be refused, got %v", err)
	}
}

func TestTheCatalogue(t *testing.T) {
	client, ctx := connect(t), context.Background()
	functions, err := client.Functions(ctx, "count")
	if err != nil || len(functions) < 3 {
		t.Errorf("got %v, %v", functions, err)
	}
	add, err := client.Describe(ctx, "add")
	if err != nil || !json.Valid([]byte(add.GetArgumentsSchema())) || add.GetPool() != "general" {
		t.Errorf("got %v, %v", add, err)
	}
	if why, err := client.Explain(ctx, "add", bridgeclient.Args{"a": 1, "b": 2}); err != nil || why.GetReason() == "" {
		t.Errorf("got %v, %v", why, err)
	}
	if health, err := client.Health(ctx, ""); err != nil || health != bridgeclient.HealthServing {
		t.Errorf("got %v, %v", health, err)
	}
	if _, err := client.Health(ctx, "pool/none"); failure(t, err).Code != codes.NotFound {
		t.Errorf("got %v", err)
	}
	if pools, err := client.Pools(ctx); err != nil || len(pools) < 2 {
		t.Errorf("got %v, %v", pools, err)
	}
	if pool, err := client.Pool(ctx, "general"); err != nil || pool.GetName() != "general" {
		t.Errorf("got %v, %v", pool, err)
	}
	stub := bridgev1.NewInvokeServiceClient(client.Conn())
	if reply, err := stub.DescribeFunction(ctx, &bridgev1.DescribeFunctionRequest{Function: "add"}); err != nil || reply.GetFunction().GetName() != "add" {
		t.Errorf("expected bare stubs to work, got %v, %v", reply, err)
	}
}

func TestManyGoroutinesShareAClient(t *testing.T) {
	client, ctx := connect(t), context.Background()
	var group sync.WaitGroup
	for number := 0; number < 16; number++ {
		number := number
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 5; round++ {
				view := client.With(bridgeclient.WithMetadata("x-tenant", "go"))
				sum, err := bridgeclient.Call[int](ctx, view, "add", bridgeclient.Args{"a": number, "b": round})
				if err != nil || sum != number+round {
					t.Errorf("expected %d, got %d, %v", number+round, sum, err)
				}
			}
		}()
	}
	group.Wait()
}

func TestManyCallsOverOneStream(t *testing.T) {
	client, ctx := connect(t), context.Background()
	many, err := client.Multiplex(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for number := 0; number < 300; number++ {
		number := number
		group.Add(1)
		go func() {
			defer group.Done()
			sum, err := bridgeclient.Call[int](ctx, many, "add", bridgeclient.Args{"a": number, "b": 1})
			if err != nil || sum != number+1 {
				t.Errorf("expected %d, got %d, %v", number+1, sum, err)
			}
		}()
	}
	group.Wait()
	var receipt *bridgeclient.Receipt
	_, err = bridgeclient.Call[int](ctx, many, "ad", nil, bridgeclient.WithRequestID("many-1"),
		bridgeclient.WithReceipt(func(one *bridgeclient.Receipt) { receipt = one }))
	if found := failure(t, err); found.Reason != bridgeclient.ReasonUnknownFunction || found.RequestID != "many-1" {
		t.Errorf("got %v of %s", found, found.RequestID)
	}
	if receipt.GetRequestId() != "many-1" {
		t.Errorf("got %v", receipt)
	}
	held, cancel := context.WithCancel(ctx)
	begun := make(chan error)
	go func() { begun <- many.Call(held, "hold", bridgeclient.Args{"key": "many"}, nil) }()
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if err := many.Call(short, "hold", bridgeclient.Args{"key": "many-2"}, nil); failure(t, err).Reason != bridgeclient.ReasonInWorker {
		t.Errorf("expected the server to say where the time went, got %v", err)
	}
	cancel()
	if err := <-begun; !errors.Is(err, context.Canceled) {
		t.Errorf("expected a cancel, got %v", err)
	}
	if err := many.Close(); err != nil {
		t.Error(err)
	}
	if err := many.Call(ctx, "add", nil, nil); !errors.Is(err, bridgeclient.ErrClosed) && !errors.Is(err, bridgeclient.ErrUnexpectedReply) {
		t.Errorf("expected a closed stream to say so, got %v", err)
	}
	left, err := client.Multiplex(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() { begun <- left.Call(ctx, "hold", bridgeclient.Args{"key": "many-3"}, nil) }()
	if err := left.Call(ctx, "add", bridgeclient.Args{"a": 1, "b": 1}, nil); err != nil {
		t.Error(err)
	}
	left.Abort()
	if err := <-begun; failure(t, err).Code != codes.Canceled {
		t.Errorf("expected the end of the stream to end the call, got %v", err)
	}
}

// socket returns the path of a unix socket whose connections are passed on to the server.
func socket(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/bridge.sock"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", os.Getenv("GO_CLIENT_ADDRESS"))
			if err != nil {
				near.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				to.Close()
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return path
}

func TestAUnixSocketIsAnAddress(t *testing.T) {
	connect(t)
	client, err := bridgeclient.Connect("unix:" + socket(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if sum, err := bridgeclient.Call[int](context.Background(), client, "add", bridgeclient.Args{"a": 1, "b": 2}); err != nil || sum != 3 {
		t.Errorf("expected 3, got %d, %v", sum, err)
	}
}

func TestNoServerIsSaidSo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for _, where := range []string{address, "unix:" + t.TempDir() + "/none.sock"} {
		client, err := bridgeclient.Connect(where)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, err = bridgeclient.Call[int](context.Background(), client, "add", nil)
		if found := failure(t, err); found.Code != codes.Unavailable || !errors.Is(err, bridgeclient.ErrCannotConnect) {
			t.Errorf("%s: got %v", where, found)
		}
	}
}

func TestAClosedClientSaysSo(t *testing.T) {
	client, err := bridgeclient.Connect("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if _, err := bridgeclient.Call[int](context.Background(), client, "add", nil); !errors.Is(err, bridgeclient.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
