package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

const (
	longestWait = 30 * time.Second
	defaultWait = 10 * time.Second
)

// seen is a call of a hosted tool.
type seen struct {
	told object
	ctx  context.Context
	done bool // its function has returned; what its context does then says nothing
	late bool // its context had ended by a cancel before
}

// hosted is tools that are hosted, and what they have seen.
type hosted struct {
	host  *bridgeclient.ToolHost
	mutex sync.Mutex
	calls []*seen
}

// behaviours are what tools do.
var behaviours = map[string]func(context.Context, object) (any, error){
	"echo": func(_ context.Context, arguments object) (any, error) { return arguments, nil },
	"add": func(_ context.Context, arguments object) (any, error) {
		return integer(arguments["a"]) + integer(arguments["b"]), nil
	},
	"fail":  func(context.Context, object) (any, error) { return nil, errors.New("this tool fails") },
	"abort": func(context.Context, object) (any, error) { return nil, errors.New("this tool aborts") },
	"wait": func(ctx context.Context, _ object) (any, error) {
		select {
		case <-ctx.Done():
		case <-time.After(longestWait):
		}
		return "waited", nil
	},
}

// tool returns a tool with the behaviour that is asked for.
func (h *hosted) tool(spec object) bridgeclient.HostedTool {
	for field := range spec {
		if !among(field, []string{"name", "doc", "schema", "behaviour", "timeout_ms", "idempotent"}) {
			crash("a tool has a field that this runner does not know: %s", field)
		}
	}
	behaviour, known := behaviours[spec["behaviour"].(string)]
	if !known {
		skip("the behaviour %v of tools", spec["behaviour"])
	}
	doc, _ := spec["doc"].(string)
	made := bridgeclient.HostedTool{
		Name: spec["name"].(string), Description: doc, Schema: spec["schema"], Abort: spec["behaviour"] == "abort",
		Idempotent: spec["idempotent"] == true,
		Run: func(ctx context.Context, data json.RawMessage) (any, error) {
			arguments := decodeObject(data)
			call := h.note(ctx, arguments)
			defer h.end(call)
			return behaviour(ctx, arguments)
		},
	}
	if timeout, given := spec["timeout_ms"]; given {
		made.Timeout = time.Duration(integer(timeout)) * time.Millisecond
	}
	return made
}

func (h *hosted) note(ctx context.Context, arguments object) *seen {
	call := bridgeclient.ToolCallOf(ctx)
	told := object{
		"tool": call.Tool, "arguments": fromGo(toGo(arguments)), "remaining_ms": nil, "request_id": call.RequestID,
		"session_id": call.SessionID, "traceparent": call.Traceparent,
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		told["remaining_ms"] = time.Until(deadline).Milliseconds()
	}
	made := &seen{told: told, ctx: ctx}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.calls = append(h.calls, made)
	return made
}

func (h *hosted) end(call *seen) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	call.done, call.late = true, call.ctx.Err() != nil
}

// told is the list of T of the protocol, as of now.
func (h *hosted) told() []object {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	found := []object{}
	for _, call := range h.calls {
		copied := object{"cancelled": call.late || !call.done && call.ctx.Err() != nil}
		for name, value := range call.told {
			copied[name] = value
		}
		found = append(found, copied)
	}
	return found
}

func opHostTools(r *run, s *state) (object, error) {
	made := &hosted{}
	var tools []bridgeclient.HostedTool
	for _, spec := range s.step["tools"].([]any) {
		tools = append(tools, made.tool(spec.(object)))
	}
	host, err := r.view(s).HostTools(s.ctx, tools, bridgeclient.Visibility(s.text("visibility")))
	if err != nil {
		return nil, err
	}
	made.host = host
	r.hosted[s.text("name")] = made
	return done()
}

func opToolCalls(r *run, s *state) (object, error) {
	within := defaultWait
	if given, has := s.number("within_ms"); has {
		within = time.Duration(given) * time.Millisecond
	}
	until := time.Now().Add(within)
	for {
		told := r.hosted[s.text("name")].told()
		if hasCome(told, s.text("wait_for")) || time.Now().After(until) {
			return object{"value": told}, nil
		}
		time.Sleep(pause)
	}
}

func hasCome(told []object, what string) bool {
	switch what {
	case "":
		return true
	case "call":
		return len(told) > 0
	case "cancel":
		for _, one := range told {
			if one["cancelled"] == true {
				return true
			}
		}
		return false
	default:
		crash("wait_for %s", what)
		return false
	}
}

func opUnhostTools(r *run, s *state) (object, error) {
	return value(nil, r.hosted[s.text("name")].host.Close())
}
