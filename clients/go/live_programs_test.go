package bridgeclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

func TestProgramsRunAndStream(t *testing.T) {
	client, ctx := connect(t), context.Background()
	type sorted struct {
		Queue   string `json:"queue"`
		Urgency int    `json:"urgency"`
	}
	outputs, err := bridgeclient.RunProgram[sorted](ctx, client, "sort", bridgeclient.Args{"ticket": "I was charged twice"})
	if err != nil || outputs.Queue == "" {
		t.Errorf("got %v, %v", outputs, err)
	}
	events := client.StreamProgram(ctx, "answer", bridgeclient.Args{"question": "why"}, bridgeclient.WithAllEvents())
	deltas, steps, text := 0, 0, ""
	var final *bridgeclient.Final
	for events.Next() {
		switch event := events.Value().(type) {
		case *bridgeclient.FieldDelta:
			deltas++
			text += event.Text
		case *bridgeclient.RunStatus:
			steps++
		case *bridgeclient.Final:
			final = event
		}
	}
	if events.Err() != nil || deltas == 0 || steps == 0 || final == nil || final.Outputs["answer"] != text {
		t.Errorf("got %d deltas, %d steps, %q, %v, %v", deltas, steps, text, final, events.Err())
	}
	var as struct{ Answer string }
	if err := final.As(&as); err != nil || as.Answer != text {
		t.Errorf("got %q, %v", as.Answer, err)
	}
}

func TestARunIsResumed(t *testing.T) {
	client, ctx := connect(t), context.Background()
	events := client.StreamProgram(ctx, "slow", bridgeclient.Args{"question": "why"}, bridgeclient.WithResumable(), bridgeclient.WithAllEvents())
	if !events.Next() || events.ResumeToken() == "" {
		t.Fatalf("expected a token, got %v", events.Err())
	}
	events.Close()
	again := client.ResumeProgram(ctx, events.ResumeToken(), events.Sequence())
	last, final := events.Sequence(), false
	for again.Next() {
		if number := again.Value().Number(); number != last+1 {
			t.Errorf("expected event %d, got %d", last+1, number)
		}
		last = again.Sequence()
		_, final = again.Value().(*bridgeclient.Final)
	}
	if again.Err() != nil || !final {
		t.Errorf("expected the end of the run, got %v", again.Err())
	}
	if still, err := client.CancelRun(ctx, events.ResumeToken()); err != nil || still {
		t.Errorf("got %v, %v", still, err)
	}
}

func TestModelsAndMetrics(t *testing.T) {
	client, ctx := connect(t), context.Background()
	whole, err := client.Generate(ctx, bridgeclient.Prompt("Say hello"), bridgeclient.WithMaxTokens(50))
	if err != nil || whole.Text == "" || whole.Usage.GetOutputTokens() == 0 {
		t.Errorf("got %v, %v", whole, err)
	}
	text := ""
	events := client.StreamGenerate(ctx, bridgeclient.Prompt("Say hello"), bridgeclient.WithTemperature(0))
	for events.Next() {
		switch event := events.Value().(type) {
		case *bridgeclient.TextDelta:
			text += event.Text
		case *bridgeclient.Generation:
			if event.Text != text {
				t.Errorf("expected %q, got %q", event.Text, text)
			}
		}
	}
	if err := events.Err(); err != nil || text == "" {
		t.Errorf("got %q, %v", text, err)
	}
	type person struct {
		Name string `json:"name" description:"The whole name"`
		Age  int    `json:"age"`
	}
	extracted, err := bridgeclient.Extract[person](ctx, client, nil, bridgeclient.Prompt("Ada is 36 years old"))
	if err != nil || extracted.Value.Name == "" || extracted.Attempts == 0 {
		t.Errorf("got %v, %v", extracted, err)
	}
	growing := bridgeclient.StreamExtract[person](ctx, client, nil, bridgeclient.Prompt("Ada is 36 years old"))
	var last bridgeclient.ExtractionEvent
	for growing.Next() {
		last = growing.Value()
	}
	if found, ok := last.(*bridgeclient.Extraction[person]); !ok || found.Value != extracted.Value {
		t.Errorf("got %#v, %v", last, growing.Err())
	}
	batch, err := client.GenerateBatch(ctx, [][]bridgeclient.Message{bridgeclient.Prompt("a"), bridgeclient.Prompt("b")})
	if err != nil || len(batch) != 2 || batch[1].Err != nil {
		t.Errorf("got %v, %v", batch, err)
	}
	score, err := client.Score(ctx, "exact_match", "Bern", []string{"Bern"}, nil)
	if err != nil || score.Value != 1 {
		t.Errorf("got %v, %v", score, err)
	}
	several, err := client.ScoreBatch(ctx, "exact_match", []bridgeclient.Example{{"Bern", []string{"Bern"}}, {"Rome", []string{"Roma"}}}, nil)
	if err != nil || several.Aggregate.Value != 0.5 || len(several.Scores) != 2 {
		t.Errorf("got %v, %v", several, err)
	}
	if metrics, err := client.Metrics(ctx); err != nil || len(metrics) == 0 {
		t.Errorf("got %v, %v", metrics, err)
	}
	if models, err := client.Models(ctx); err != nil || len(models) == 0 {
		t.Errorf("got %v, %v", models, err)
	}
}

type numbers struct {
	A int `json:"a"`
	B int `json:"b"`
}

func TestAnAgentCallsToolsOfThisProcess(t *testing.T) {
	client, ctx := connect(t), context.Background()
	seen := make(chan *bridgeclient.HostedCall, 1)
	add, err := bridgeclient.NewTool("add_here", "Add two numbers", func(ctx context.Context, given numbers) (int, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("expected the call to have a deadline")
		}
		seen <- bridgeclient.ToolCallOf(ctx)
		return given.A + given.B, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	panicking, err := bridgeclient.NewTool("panics", "Panics", func(context.Context, struct{}) (int, error) { panic("ouch") })
	if err != nil {
		t.Fatal(err)
	}
	host, err := client.HostTools(ctx, []bridgeclient.HostedTool{add, panicking}, bridgeclient.VisibleToRun)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	listed, err := client.Tools(ctx, host.Registration())
	if err != nil || len(listed) != 2 {
		t.Errorf("got %v, %v", listed, err)
	}
	events := client.StreamProgram(ctx, "agent", bridgeclient.Args{"question": "call add_here {\"a\": 1, \"b\": 2}\ncall panics {}"},
		bridgeclient.WithHostedTools(host), bridgeclient.WithAllEvents(), bridgeclient.WithRequestID("go-tools"))
	var results []*bridgeclient.RunToolResult
	for events.Next() {
		if result, ok := events.Value().(*bridgeclient.RunToolResult); ok {
			results = append(results, result)
		}
	}
	if err := events.Err(); err != nil {
		t.Fatal(err)
	}
	if call := <-seen; call.Tool != "add_here" || call.RequestID != "go-tools" {
		t.Errorf("got %+v", call)
	}
	if len(results) < 2 || results[0].Result != "3" || !strings.Contains(results[1].Err, "ouch") {
		t.Errorf("got %+v", results)
	}
	host.Close()
	if _, err := client.Tools(ctx, host.Registration()); err == nil {
		t.Error("expected the registration to be gone")
	}
}

func TestAToolIsCancelledWithItsRun(t *testing.T) {
	client := connect(t)
	begun, ended := make(chan struct{}), make(chan error, 1)
	wait, err := bridgeclient.NewTool("wait_here", "Wait", func(ctx context.Context, _ struct{}) (string, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return "", ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	host, err := client.HostTools(context.Background(), []bridgeclient.HostedTool{wait}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	ctx, cancel := context.WithCancel(context.Background())
	events := client.StreamProgram(ctx, "agent", bridgeclient.Args{"question": "call wait_here {}"}, bridgeclient.WithHostedTools(host))
	go func() {
		<-begun
		cancel()
	}()
	for events.Next() {
	}
	if !errors.Is(events.Err(), context.Canceled) {
		t.Errorf("got %v", events.Err())
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("expected a cancel, not the deadline, got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the tool was not told")
	}
}
