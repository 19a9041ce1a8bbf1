package bridgeclient

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout ends a call whose context has no deadline.
const DefaultTimeout = time.Minute

// Option is what Connect takes. Every CallOption is one as well: it then holds for all calls.
type Option interface{ connect(*connection) error }

// CallOption is what every call takes.
type CallOption interface {
	Option
	RunOption
	GenerateOption
	EmbedOption
	call(*callOptions)
}

// callOptions is what goes with a call.
type callOptions struct {
	timeout        time.Duration // 0 for the default, less for none
	requestID      string
	idempotencyKey string
	idempotent     bool
	session        string
	sessionMode    SessionMode
	priority       string
	budget         []string
	metadata       []string
	receipts       []func(*Receipt)
	retries        int
	chunkBytes     uint64

	wishes wishes
}

type callOption func(*callOptions)

func (o callOption) call(into *callOptions)     { o(into) }
func (o callOption) run(into *callOptions)      { o(into) }
func (o callOption) generate(into *callOptions) { o(into) }
func (o callOption) embed(into *callOptions)    { o(into) }
func (o callOption) connect(into *connection) error {
	o(&into.defaults)
	return nil
}

// with returns the options with further ones.
func (o callOptions) with(options []CallOption) *callOptions {
	o.metadata = o.metadata[:len(o.metadata):len(o.metadata)]
	o.receipts = o.receipts[:len(o.receipts):len(o.receipts)]
	for _, one := range options {
		one.call(&o)
	}
	return &o
}

// WithTimeout bounds a call, a stream's last item included, beside the deadline of its context: the earlier one holds.
// 0 or less sets no bound.
func WithTimeout(timeout time.Duration) CallOption {
	if timeout <= 0 {
		timeout = -1
	}
	return callOption(func(o *callOptions) { o.timeout = timeout })
}

// WithRequestID identifies the call in logs and receipts; without it each call gets an id of its own.
func WithRequestID(id string) CallOption {
	return callOption(func(o *callOptions) { o.requestID = id })
}

// WithIdempotencyKey says that calls with this key are one and the same, so that WithRetries may repeat it.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(o *callOptions) { o.idempotencyKey = key })
}

// WithIdempotent says that a call may run twice, so that WithRetries may repeat it, as an idempotency key does.
func WithIdempotent() CallOption {
	return callOption(func(o *callOptions) { o.idempotent = true })
}

// WithTraceparent makes a call part of a trace: the W3C trace context, which functions on the server get.
func WithTraceparent(context string) CallOption { return WithMetadata("traceparent", context) }

// WithSession makes a call part of a session.
func WithSession(id string) CallOption {
	return callOption(func(o *callOptions) { o.session = id })
}

// WithSessionMode says how firmly a session that the call opens is bound to its worker.
func WithSessionMode(mode SessionMode) CallOption {
	return callOption(func(o *callOptions) { o.sessionMode = mode })
}

// WithPriority says which calls go first where calls wait for a worker: "low", "normal" or "high".
func WithPriority(priority string) CallOption {
	return callOption(func(o *callOptions) { o.priority = priority })
}

// WithTenant says on whose behalf calls are made.
func WithTenant(tenant string) CallOption { return WithMetadata("x-tenant", tenant) }

// WithMetadata adds metadata. Values of keys that end in -bin are bytes.
func WithMetadata(key, value string) CallOption {
	return callOption(func(o *callOptions) { o.metadata = append(o.metadata, key, value) })
}

// WithReceipt has a function called with the receipt of the call: where its time, memory, tokens and money went. For
// failed calls too, where the server has sent one; for a stream after its last item.
func WithReceipt(receive func(*Receipt)) CallOption {
	return callOption(func(o *callOptions) { o.receipts = append(o.receipts, receive) })
}

// WithRetries repeats a call of Call, RunProgram and the like up to so many times, within its deadline: where the server
// says when to try again and the call may run twice (WithIdempotencyKey, WithIdempotent), and where no server could be
// reached, so that nothing ran. All attempts have one request id, and a receipt each.
func WithRetries(times int) CallOption {
	return callOption(func(o *callOptions) { o.retries = times })
}

// WithChunkBytes has results that are larger come in parts of this size, at least 4096 bytes, and puts them together
// here: they may be larger than a message.
func WithChunkBytes(size uint64) CallOption {
	return callOption(func(o *callOptions) { o.chunkBytes = size })
}

// Budget is what a call, and all that it calls on the server, may spend together. What is nil has no limit.
type Budget struct {
	// USD is US dollars for language models.
	USD *float64
	// Tokens of language models, prompts and answers together.
	Tokens *int64
	// Calls of functions, this one included.
	Calls *int64
}

// Ptr returns a pointer to a value, for what may be left out: the limits of a Budget, fields of arguments.
func Ptr[T any](value T) *T { return &value }

// WithBudget limits what a call and all that it calls may spend; beyond it the call fails with BUDGET_EXCEEDED.
func WithBudget(budget Budget) CallOption {
	var found []string
	if budget.USD != nil {
		found = append(found, "x-budget-usd", strconv.FormatFloat(*budget.USD, 'f', 12, 64))
	}
	if budget.Tokens != nil {
		found = append(found, "x-budget-tokens", strconv.FormatInt(*budget.Tokens, 10))
	}
	if budget.Calls != nil {
		found = append(found, "x-budget-calls", strconv.FormatInt(*budget.Calls, 10))
	}
	return callOption(func(o *callOptions) { o.budget = found })
}

// check says what of the options can not be sent.
func (o *callOptions) check() error {
	for number := 1; number < len(o.budget); number += 2 {
		limit, err := strconv.ParseFloat(o.budget[number], 64)
		if err != nil || math.IsNaN(limit) || limit < 0 {
			return fmt.Errorf("bridgeclient: expected a budget from 0, got %s of %s", o.budget[number-1], o.budget[number])
		}
	}
	for _, text := range [...]string{o.requestID, o.idempotencyKey, o.session, o.priority, string(o.sessionMode)} {
		if !printable(text) {
			return fmt.Errorf("bridgeclient: expected printable ASCII in the options of a call, got %q", text)
		}
	}
	for number := 0; number < len(o.metadata); number += 2 {
		key, value := o.metadata[number], o.metadata[number+1]
		if key == "" || strings.IndexFunc(key, isNoKeyCharacter) >= 0 {
			return fmt.Errorf("bridgeclient: expected a metadata key of letters, digits, '-', '_' and '.', got %q", key)
		}
		if !strings.HasSuffix(key, "-bin") && !printable(value) {
			return fmt.Errorf("bridgeclient: expected printable ASCII in metadata %s; keys that end in -bin take bytes", key)
		}
	}
	return nil
}

func isNoKeyCharacter(found rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", found)
}

func printable(text string) bool {
	for number := 0; number < len(text); number++ {
		if text[number] < ' ' || text[number] > '~' {
			return false
		}
	}
	return true
}
