package main

import (
	"encoding/json"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

// operation is what a step may ask for, and the fields that are its own.
type operation struct {
	make   func(*run, *state) (object, error)
	fields []string
}

var operations map[string]operation

func init() {
	operations = map[string]operation{
		"connect":        {opConnect, []string{"name", "connect"}},
		"close":          {opClose, nil},
		"call":           {opCall, []string{"function", "arguments"}},
		"stream":         {opStream, []string{"function", "arguments", "take"}},
		"cancel":         {opCancel, []string{"name"}},
		"join":           {opJoin, []string{"name"}},
		"open_session":   {opOpenSession, []string{"name", "mode", "ttl_ms", "id", "ordered"}},
		"session_info":   {opSessionInfo, []string{"name"}},
		"close_session":  {opCloseSession, []string{"name"}},
		"run_program":    {opRunProgram, []string{"program", "inputs", "tools", "server_tools"}},
		"stream_program": {opStreamProgram, []string{"program", "inputs", "tools", "server_tools", "take", "all_events", "resumable", "disconnect"}},
		"resume_program": {opResumeProgram, []string{"from", "after", "take"}},
		"cancel_run":     {opCancelRun, []string{"from"}},
		"generate":       {opGenerate, []string{"prompt", "model", "max_tokens"}},
		"embed":          {opEmbed, []string{"texts", "model"}},
		"score":          {opScore, []string{"metric", "prediction", "references"}},
		"health":         {opHealth, []string{"service"}},
		"list_pools":     {opListPools, nil},
		"list_functions": {opListFunctions, []string{"prefix"}},
		"describe":       {opDescribe, []string{"function"}},
		"host_tools":     {opHostTools, []string{"name", "tools", "visibility"}},
		"tool_calls":     {opToolCalls, []string{"name", "wait_for", "within_ms"}},
		"unhost_tools":   {opUnhostTools, []string{"name"}},
		"harness":        {opHarness, []string{"do"}},
	}
}

// done is the result of a step that has nothing to say.
func done() (object, error) { return object{"value": nil}, nil }

func value(found any, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{"value": found}, nil
}

func opConnect(r *run, s *state) (object, error) {
	given, own := s.step["connect"]
	if !own {
		given = r.connect
	}
	if err := r.open(s.text("name"), given); err != nil {
		return nil, err
	}
	return done()
}

func opClose(r *run, s *state) (object, error) {
	r.client(s.step).Close()
	return done()
}

func opCall(r *run, s *state) (object, error) {
	found, err := bridgeclient.Call[any](s.ctx, r.view(s), s.text("function"), s.arguments("arguments"))
	if err != nil {
		return nil, err
	}
	if s.step["digest"] == true {
		return object{"value": digest(found)}, nil
	}
	return object{"value": fromGo(found)}, nil
}

func opStream(r *run, s *state) (object, error) {
	items := r.view(s).Stream(s.ctx, s.text("function"), s.arguments("arguments"))
	return read(s, items, fromGo)
}

func opCancel(r *run, s *state) (object, error) {
	one := r.backgrounds[s.text("name")]
	switch r.kinds[s.text("name")] {
	case "call", "run_program", "generate", "embed", "score":
		one.cancel()
	default:
		close(one.leave)
	}
	return done()
}

func opJoin(r *run, s *state) (object, error) {
	one := r.backgrounds[s.text("name")]
	<-one.done
	if one.panics != nil {
		panic(one.panics)
	}
	return one.result, nil
}

func opOpenSession(r *run, s *state) (object, error) {
	ttl, _ := s.number("ttl_ms")
	asked := bridgeclient.SessionOptions{
		ID: s.text("id"), Mode: bridgeclient.SessionMode(s.text("mode")), TTL: time.Duration(ttl) * time.Millisecond,
		Ordered: s.step["ordered"] == true,
	}
	session, err := r.view(s).OpenSession(s.ctx, asked)
	if err != nil {
		return nil, err
	}
	r.sessions[s.text("name")] = session
	return object{"value": sessionOf(session.Opened)}, nil
}

// session is that of the step's name, as the step's own client sees it.
func (r *run) session(s *state) *bridgeclient.Session {
	return r.view(s).JoinSession(r.sessions[s.text("name")].ID)
}

func opSessionInfo(r *run, s *state) (object, error) {
	info, err := r.session(s).Info(s.ctx)
	return value(sessionOf(info), err)
}

func opCloseSession(r *run, s *state) (object, error) {
	return value(nil, r.session(s).Close(s.ctx))
}

func (r *run) runOptions(s *state) []bridgeclient.RunOption {
	var options []bridgeclient.RunOption
	for _, name := range s.texts("tools") {
		options = append(options, bridgeclient.WithHostedTools(r.hosted[name].host))
	}
	if names := s.texts("server_tools"); len(names) > 0 {
		options = append(options, bridgeclient.WithTools(names...))
	}
	if s.step["all_events"] == true {
		options = append(options, bridgeclient.WithAllEvents())
	}
	if s.step["resumable"] == true {
		options = append(options, bridgeclient.WithResumable())
	}
	return options
}

func opRunProgram(r *run, s *state) (object, error) {
	outputs, err := r.view(s).RunProgram(s.ctx, s.text("program"), s.arguments("inputs"), r.runOptions(s)...)
	if err != nil {
		return nil, err
	}
	return object{"value": fromGo(outputs)}, nil
}

func opStreamProgram(r *run, s *state) (object, error) {
	events := r.view(s).StreamProgram(s.ctx, s.text("program"), s.arguments("inputs"), r.runOptions(s)...)
	return r.readRun(s, events)
}

func (r *run) readRun(s *state, events *bridgeclient.ProgramStream) (object, error) {
	told, err := read(s, events.Iterator, func(event bridgeclient.Event) any { return eventOf(event) })
	if s.leave == nil { // of a step in the background nothing is resumed
		r.runs[s.index] = &resumable{events.ResumeToken(), events.Sequence()}
	}
	return told, err
}

func (r *run) resumed(s *state) *resumable {
	from, _ := s.number("from")
	found := r.runs[int(from)]
	if found == nil {
		crash("step %d was no stream of a program", from)
	}
	return found
}

func opResumeProgram(r *run, s *state) (object, error) {
	from := r.resumed(s)
	after, given := s.number("after")
	if !given {
		after = int64(from.last)
	}
	return r.readRun(s, r.view(s).ResumeProgram(s.ctx, from.token, uint64(after)))
}

func opCancelRun(r *run, s *state) (object, error) {
	still, err := r.view(s).CancelRun(s.ctx, r.resumed(s).token)
	return value(still, err)
}

func opGenerate(r *run, s *state) (object, error) {
	var options []bridgeclient.GenerateOption
	if model := s.text("model"); model != "" {
		options = append(options, bridgeclient.WithModel(model))
	}
	if limit, given := s.number("max_tokens"); given {
		options = append(options, bridgeclient.WithMaxTokens(int32(limit)))
	}
	found, err := r.view(s).Generate(s.ctx, bridgeclient.Prompt(s.text("prompt")), options...)
	if err != nil {
		return nil, err
	}
	return object{"value": object{"text": found.Text, "model": found.Model, "finish_reason": found.FinishReason}}, nil
}

func opEmbed(r *run, s *state) (object, error) {
	var options []bridgeclient.EmbedOption
	if model := s.text("model"); model != "" {
		options = append(options, bridgeclient.WithModel(model))
	}
	found, err := r.view(s).Embed(s.ctx, s.texts("texts"), options...)
	if err != nil {
		return nil, err
	}
	vectors := append([][]float32{}, found.Vectors...)
	return object{"value": object{"dimensions": found.Dimensions, "vectors": vectors}}, nil
}

func opScore(r *run, s *state) (object, error) {
	found, err := r.view(s).Score(s.ctx, s.text("metric"), s.text("prediction"), s.texts("references"), nil)
	if err != nil {
		return nil, err
	}
	return object{"value": found.Value}, nil
}

func opHealth(r *run, s *state) (object, error) {
	found, err := r.view(s).Health(s.ctx, s.text("service"))
	return value(string(found), err)
}

func opListFunctions(r *run, s *state) (object, error) {
	found, err := r.view(s).Functions(s.ctx, s.text("prefix"))
	names := []string{}
	for _, one := range found {
		names = append(names, one.GetName())
	}
	return value(names, err)
}

func opListPools(r *run, s *state) (object, error) {
	found, err := r.view(s).Pools(s.ctx)
	told := []object{}
	for _, one := range found {
		told = append(told, object{"name": one.GetName(), "state": enumName(one.GetState().String(), "POOL_STATE_")})
	}
	return value(told, err)
}

func opDescribe(r *run, s *state) (object, error) {
	found, err := r.view(s).Describe(s.ctx, s.text("function"))
	if err != nil {
		return nil, err
	}
	return object{"value": object{
		"name": found.GetName(), "doc": found.GetDoc(), "pool": found.GetPool(), "streaming": found.GetStreaming(),
		"arguments_schema": json.RawMessage(found.GetArgumentsSchema()),
		"result_schema":    json.RawMessage(found.GetResultSchema()),
	}}, nil
}

func opHarness(r *run, s *state) (object, error) {
	r.harness.write(object{"harness": s.step})
	answer, more := r.harness.read()
	if !more || answer["done"] != true {
		crash("the harness failed: %v", answer["error"])
	}
	return done()
}
