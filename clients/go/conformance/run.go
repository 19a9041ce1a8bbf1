package main

import (
	"context"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

const pause = 50 * time.Millisecond

// common is what every step may have, beside its own fields.
var common = []string{
	"op", "connection", "receipt", "digest", "patience_ms", "background", "timeout_ms", "metadata", "request_id",
	"idempotency_key", "session", "budget", "retries",
}

// resumable is what is needed to resume a run.
type resumable struct {
	token string
	last  uint64
}

// background is a step that runs beside the others.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	leave  chan struct{} // closed when the step's stream is to be left
	done   chan struct{}
	result object
	panics any
}

// run is one case. At its end everything that it has opened is closed.
type run struct {
	harness     *lines
	connect     any
	clients     map[string]*bridgeclient.Client
	sessions    map[string]*bridgeclient.Session
	backgrounds map[string]*background
	hosted      map[string]*hosted
	kinds       map[string]string // the operations of the steps in the background
	runs        map[int]*resumable
}

func newRun(harness *lines, connect any) *run {
	return &run{
		harness: harness, connect: connect, clients: map[string]*bridgeclient.Client{},
		sessions: map[string]*bridgeclient.Session{}, backgrounds: map[string]*background{}, hosted: map[string]*hosted{},
		kinds: map[string]string{}, runs: map[int]*resumable{},
	}
}

func (r *run) close() {
	for _, one := range r.backgrounds {
		one.cancel()
	}
	for _, one := range r.hosted {
		if one.host != nil {
			one.host.Close()
		}
	}
	for _, one := range r.clients {
		one.Close()
	}
	for _, one := range r.backgrounds {
		<-one.done
	}
}

// state is what one step is made with.
type state struct {
	index   int
	step    object
	ctx     context.Context
	leave   <-chan struct{} // nil for a step that is not in the background
	receipt *bridgeclient.Receipt
}

// step returns the result of a step.
func (r *run) step(index int, step object) object {
	begun := time.Now()
	until := begun
	if patience, given := step["patience_ms"]; given {
		until = begun.Add(time.Duration(integer(patience)) * time.Millisecond)
	}
	for {
		result := r.try(index, step)
		if !worthPatience(result) || time.Now().After(until) {
			result["elapsed_ms"] = time.Since(begun).Milliseconds()
			return result
		}
		time.Sleep(pause)
	}
}

func worthPatience(result object) bool {
	failure, failed := result["error"].(object)
	return failed && (failure["code"] == "UNAVAILABLE" || failure["reason"] == "UNKNOWN_TOOL_REGISTRATION")
}

func (r *run) try(index int, step object) object {
	name, isBackground := step["background"].(string)
	if !isBackground {
		return r.guarded(&state{index: index, step: step, ctx: context.Background()})
	}
	made := &background{leave: make(chan struct{}), done: make(chan struct{})}
	made.ctx, made.cancel = context.WithCancel(context.Background())
	r.backgrounds[name], r.kinds[name] = made, step["op"].(string)
	used := &state{index: index, step: step, ctx: made.ctx, leave: made.leave}
	r.client(step) // opened here: maps are for one goroutine
	go func() {
		defer close(made.done)
		defer func() { made.panics = recover() }()
		made.result = r.guarded(used)
	}()
	return object{"value": nil}
}

// guarded returns the result, failed or not, with its receipt.
func (r *run) guarded(s *state) object {
	operation, known := operations[s.step["op"].(string)]
	if !known {
		skip("the operation %s", s.step["op"])
	}
	s.expectFields(operation.fields)
	result, err := operation.make(r, s)
	if result == nil {
		result = object{}
	}
	if err != nil {
		result["error"] = failureOf(err)
	}
	if s.step["receipt"] == true {
		result["receipt"] = receiptOf(s.receipt)
	}
	return result
}

func (s *state) expectFields(own []string) {
	for name := range s.step {
		if !among(name, own) && !among(name, common) {
			crash("%v has a field that this runner does not know: %s", s.step["op"], name)
		}
	}
}

func among(wanted string, names []string) bool {
	for _, name := range names {
		if name == wanted {
			return true
		}
	}
	return false
}

func (s *state) text(field string) string {
	found, _ := s.step[field].(string)
	return found
}

func (s *state) number(field string) (int64, bool) {
	found, given := s.step[field]
	if !given {
		return 0, false
	}
	return integer(found), true
}

func (s *state) texts(field string) []string {
	var found []string
	given, _ := s.step[field].([]any)
	for _, one := range given {
		found = append(found, one.(string))
	}
	return found
}

// arguments returns an object of values.
func (s *state) arguments(field string) any {
	if given, has := s.step[field]; has {
		return toGo(given)
	}
	return object{}
}

// view is the client with the step's options.
func (r *run) view(s *state) *bridgeclient.Client {
	client := r.client(s.step)
	if client == nil {
		crash("no connection %v", s.step["connection"])
	}
	options := []bridgeclient.CallOption{
		bridgeclient.WithReceipt(func(receipt *bridgeclient.Receipt) { s.receipt = receipt }),
	}
	if timeout, given := s.number("timeout_ms"); given {
		options = append(options, bridgeclient.WithTimeout(time.Duration(timeout)*time.Millisecond))
	}
	if id := s.text("request_id"); id != "" {
		options = append(options, bridgeclient.WithRequestID(id))
	}
	if key := s.text("idempotency_key"); key != "" {
		options = append(options, bridgeclient.WithIdempotencyKey(key))
	}
	if times, given := s.number("retries"); given {
		options = append(options, bridgeclient.WithRetries(int(times)))
	}
	if name := s.text("session"); name != "" {
		options = append(options, bridgeclient.WithSession(r.sessions[name].ID))
	}
	if metadata, given := s.step["metadata"].(object); given {
		for key, value := range metadata {
			options = append(options, bridgeclient.WithMetadata(key, value.(string)))
		}
	}
	if budget, given := s.step["budget"].(object); given {
		options = append(options, bridgeclient.WithBudget(budgetOf(budget)))
	}
	return client.With(options...)
}

func budgetOf(given object) bridgeclient.Budget {
	var made bridgeclient.Budget
	for name, limit := range given {
		switch value := toGo(limit).(type) {
		case int64:
			switch name {
			case "usd":
				made.USD = bridgeclient.Ptr(float64(value))
			case "tokens":
				made.Tokens = bridgeclient.Ptr(value)
			case "calls":
				made.Calls = bridgeclient.Ptr(value)
			}
		case float64:
			made.USD = bridgeclient.Ptr(value)
		}
	}
	return made
}

// client returns the connection that a step names; nil where there is none.
func (r *run) client(step object) *bridgeclient.Client {
	name, named := step["connection"].(string)
	if !named {
		name = "main"
	}
	if _, opened := r.clients[name]; !opened && name == "main" {
		if err := r.open(name, r.connect); err != nil {
			crash("%v", err)
		}
	}
	return r.clients[name]
}

func (r *run) open(name string, given any) error {
	var options []bridgeclient.Option
	connect := given.(object)
	for field, value := range connect {
		switch field {
		case "address":
		case "key":
			options = append(options, bridgeclient.WithKey(value.(string)))
		case "max_message_bytes":
			options = append(options, bridgeclient.WithMaxMessageBytes(int(integer(value))))
		case "tls":
			files := value.(object)
			path := func(name string) string {
				found, _ := files[name].(string)
				return found
			}
			options = append(options, bridgeclient.WithTLS(bridgeclient.TLS{
				CA: path("ca"), Certificate: path("certificate"), Key: path("key"),
			}))
		default:
			skip("connect with %s", field)
		}
	}
	client, err := bridgeclient.Connect(connect["address"].(string), options...)
	if err != nil {
		return err
	}
	r.clients[name] = client
	return nil
}

// read returns the items of a stream, and how it has ended.
func read[T any](s *state, items *bridgeclient.Iterator[T], tell func(T) any) (object, error) {
	defer items.Close()
	ended := make(chan struct{})
	defer close(ended)
	if s.leave != nil {
		go func() {
			select {
			case <-s.leave:
				items.Close()
			case <-ended:
			}
		}()
	}
	take, limited := s.number("take")
	told := []any{}
	for items.Next() {
		told = append(told, tell(items.Value()))
		if limited && int64(len(told)) == take {
			return object{"items": told, "ended": "cancelled"}, nil
		}
	}
	if err := items.Err(); err != nil {
		return object{"items": told}, err
	}
	select {
	case <-s.leave:
		return object{"items": told, "ended": "cancelled"}, nil
	default:
		return object{"items": told, "ended": "complete"}, nil
	}
}
