package bridgeclient

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

func TestSchemasOfTypes(t *testing.T) {
	type part struct {
		Kind string `json:"kind" enum:"a,b"`
	}
	type whole struct {
		part
		Name  string            `json:"name" description:"The name"`
		When  time.Time         `json:"when"`
		Count *uint             `json:"count"`
		Tags  map[string]string `json:"tags,omitempty"`
		Parts []part            `json:"parts"`
		Any   any               `json:"any"`
		Not   string            `json:"-"`
	}
	found, err := SchemaOf[whole]()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(found)
	wanted := `{"additionalProperties":false,"properties":{"any":{},"count":{"minimum":0,"type":"integer"},` +
		`"kind":{"enum":["a","b"],"type":"string"},"name":{"description":"The name","type":"string"},` +
		`"parts":{"items":{"additionalProperties":false,"properties":{"kind":{"enum":["a","b"],"type":"string"}},` +
		`"required":["kind"],"type":"object"},"type":"array"},"tags":{"additionalProperties":{"type":"string"},"type":"object"},` +
		`"when":{"format":"date-time","type":"string"}},"required":["kind","name","when","parts","any"],"type":"object"}`
	if string(text) != wanted {
		t.Errorf("expected %s,\ngot %s", wanted, text)
	}
	type loop struct{ Next *loop }
	if _, err := SchemaOf[loop](); err == nil || !strings.Contains(err.Error(), "contains itself") {
		t.Errorf("got %v", err)
	}
	if _, err := SchemaOf[chan int](); err == nil {
		t.Error("expected a channel to have no schema")
	}
}

func TestPartsAreCheckedAndPutTogether(t *testing.T) {
	whole, _ := proto.Marshal(&bridgev1.Payload{Body: &bridgev1.Payload_Raw{Raw: []byte("abcdef")}})
	part := func(offset, end uint64) *bridgev1.StreamCallResponse {
		return &bridgev1.StreamCallResponse{Part: &bridgev1.ItemPart{Offset: offset, Total: uint64(len(whole)), Data: whole[offset:end]}}
	}
	items, facts := parts{}, &callFacts{}
	if found, err := items.read(part(0, 3), facts); len(found) != 0 || err != nil {
		t.Fatalf("got %v, %v", found, err)
	}
	found, err := items.read(part(3, uint64(len(whole))), facts)
	if err != nil || len(found) != 1 || string(found[0].GetRaw()) != "abcdef" {
		t.Fatalf("got %v, %v", found, err)
	}
	for _, wrong := range [][]*bridgev1.StreamCallResponse{
		{part(1, 3)}, {part(0, 3), part(2, 5)}, {part(0, 3), {Item: &bridgev1.Payload{}}},
	} {
		items, last := parts{}, error(nil)
		for _, reply := range wrong {
			_, last = items.read(reply, facts)
		}
		if !errors.Is(last, ErrUnexpectedReply) {
			t.Errorf("got %v", last)
		}
	}
}

func TestDeadlinesAndMetadataOfACall(t *testing.T) {
	client, err := Connect("127.0.0.1:1", WithKey("secret"), WithTenant("acme"), WithTimeout(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "own", "kept")
	options := client.defaults.with([]CallOption{WithSession("s"), WithBudget(Budget{USD: Ptr(0.5), Calls: Ptr(int64(2))})})
	deadline := bound(ctx, options)
	rpc, end, facts := client.seal(ctx, deadline, options)
	sent, _ := metadata.FromOutgoingContext(rpc)
	for key, value := range map[string]string{
		"authorization": "Bearer secret", "x-tenant": "acme", "x-session-id": "s", "own": "kept",
		"x-budget-usd": "0.500000000000", "x-budget-calls": "2", "x-request-id": facts.requestID,
	} {
		if got := sent.Get(key); !reflect.DeepEqual(got, []string{value}) {
			t.Errorf("%s: expected %s, got %v", key, value, got)
		}
	}
	left, err := strconv.Atoi(strings.Join(sent.Get("x-timeout-ms"), ","))
	if hour := int(time.Hour.Milliseconds()); err != nil || left > hour || left < hour/2 {
		t.Errorf("expected what is left of an hour, got %d ms, %v", left, err)
	}
	if later, _ := rpc.Deadline(); later.Sub(deadline) != deadlineGrace {
		t.Errorf("expected gRPC's deadline %s later, got %s", deadlineGrace, later.Sub(deadline))
	}
	end()
	inner, stop := context.WithCancel(ctx)
	rpc, end, _ = client.seal(inner, deadline, options)
	defer end()
	stop()
	<-rpc.Done()
	if rpc.Err() != context.Canceled {
		t.Errorf("expected a cancel, got %v", rpc.Err())
	}
}

func TestViewsDoNotChangeEachOther(t *testing.T) {
	client, err := Connect("127.0.0.1:1", WithMetadata("a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	first, second := client.With(WithMetadata("b", "2")), client.With(WithMetadata("c", "3"))
	if got := first.defaults.metadata; !reflect.DeepEqual(got, []string{"a", "1", "b", "2"}) {
		t.Errorf("got %v", got)
	}
	if got := second.defaults.metadata; !reflect.DeepEqual(got, []string{"a", "1", "c", "3"}) {
		t.Errorf("got %v", got)
	}
	first.Close()
	if err := toError(client.Call(context.Background(), "x", nil, nil), &callFacts{}); errors.Is(err, ErrClosed) {
		t.Error("expected a view to leave the connection open")
	}
}

func TestWhatCanNotBeSentIsRefused(t *testing.T) {
	client, err := Connect("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, option := range []CallOption{
		WithMetadata("Not A Key", "x"), WithMetadata("", "x"), WithMetadata("key", "ü"), WithRequestID("line\nbreak"),
		WithBudget(Budget{USD: Ptr(-1.0)}),
	} {
		err := client.Call(context.Background(), "add", nil, nil, option)
		var failed *Error
		if err == nil || errors.As(err, &failed) {
			t.Errorf("expected it to be refused before it is sent, got %v", err)
		}
		if items := client.Stream(context.Background(), "count", nil, option); items.Next() || items.Err() == nil {
			t.Errorf("expected a stream to be refused too, got %v", items.Err())
		}
	}
}

func TestFailuresOfTheTransport(t *testing.T) {
	facts := &callFacts{address: "here:1", requestID: "r", timeout: time.Second}
	for _, one := range []struct {
		code codes.Code
		text string
		kind error
		says string
	}{
		{codes.Unavailable, `connection error: desc = "transport: Error while dialing dial tcp: connect: connection refused"`, ErrCannotConnect, "bridge serve"},
		{codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: x509: unknown"`, ErrCannotConnect, "x509"},
		{codes.Unavailable, "error reading from server: EOF", ErrConnectionLost, "may or may not"},
		{codes.Canceled, "grpc: the client connection is closing", ErrClosed, "make a new one"},
		{codes.ResourceExhausted, "grpc: received message larger than max (300 vs. 200)", nil, "WithChunkBytes"},
		{codes.ResourceExhausted, "trying to send message larger than max (300 vs. 200)", nil, "sends at most 200"},
		{codes.ResourceExhausted, "SERVER: Received message larger than max (300 vs. 200)", nil, "server.max_message_bytes"},
		{codes.DeadlineExceeded, "context deadline exceeded", nil, "within 1s"},
	} {
		found := toError(status.Error(one.code, one.text), facts)
		if found.Code != one.code || found.RequestID != "r" || !strings.Contains(found.Message, one.says) {
			t.Errorf("%s: got %v", one.text, found)
		}
		if one.kind != nil && !errors.Is(found, one.kind) {
			t.Errorf("%s: expected %v, got %v", one.text, one.kind, found.kind)
		}
		if one.code == codes.ResourceExhausted && (found.Reason != ReasonMessageTooLarge || found.Metadata["size_bytes"] != "300") {
			t.Errorf("%s: got %s %v", one.text, found.Reason, found.Metadata)
		}
	}
}

func TestKeysByReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BRIDGE_GO_TEST_KEY", "from-env")
	for reference, wanted := range map[string]string{"plain": "plain", "env:BRIDGE_GO_TEST_KEY": "from-env", "file:" + file: "from-file"} {
		client, err := Connect("127.0.0.1:1", WithKey(reference))
		if err != nil || client.connection.key != wanted {
			t.Errorf("%s: got %v", reference, err)
		}
	}
	for _, reference := range []string{"env:BRIDGE_GO_TEST_NO_KEY", "file:" + file + "2"} {
		if _, err := Connect("127.0.0.1:1", WithKey(reference)); err == nil {
			t.Errorf("%s: expected a failure", reference)
		}
	}
}

func TestFilesOfTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range []TLS{{CA: file}, {CA: file + "2"}, {Certificate: file}, {Certificate: file, Key: file}} {
		if _, err := Connect("127.0.0.1:1", WithTLS(files)); err == nil || !strings.Contains(err.Error(), "TLS.") {
			t.Errorf("%+v: got %v", files, err)
		}
	}
	if _, err := Connect("127.0.0.1:1", WithTLS(TLS{CA: "system"})); err != nil {
		t.Error(err)
	}
}
