package bridgeclient

import (
	"context"

	"google.golang.org/grpc"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

func (o callOptions) withGenerate(options []GenerateOption) *callOptions {
	used := o.with(nil)
	for _, one := range options {
		one.generate(used)
	}
	return used
}

// GenerationEvent is what a streamed answer consists of: *TextDelta, *ToolCallDelta, and at last *Generation.
type GenerationEvent interface{ generationEvent() }

// TextDelta is text that was added to an answer.
type TextDelta struct{ Text string }

// ToolCallDelta is a part of a tool call that a model is still writing; parts with the same index join to one call.
type ToolCallDelta struct {
	Index int32
	// ID and Name are on the first part of a call.
	ID, Name string
	// Arguments is JSON text that is added.
	Arguments string
}

// Generation is a model's whole answer.
type Generation struct {
	// Text is empty where the model asks for tools.
	Text string
	// FinishReason is stop, length, tool_calls, content_filter or unspecified.
	FinishReason string
	// Model is the one that answered, as its provider knows it.
	Model     string
	Usage     *ModelUsage
	ToolCalls []ToolCall
}

func (*TextDelta) generationEvent()     {}
func (*ToolCallDelta) generationEvent() {}
func (*Generation) generationEvent()    {}

func readGeneration(found *bridgev1.GenerateResponse) *Generation {
	made := &Generation{
		Text: found.GetText(), FinishReason: enumName(found.GetFinishReason().String(), "FINISH_REASON_"),
		Model: found.GetModel(), Usage: found.GetUsage(),
	}
	for _, call := range found.GetToolCalls() {
		made.ToolCalls = append(made.ToolCalls, ToolCall{call.GetId(), call.GetName(), call.GetArguments()})
	}
	return made
}

// Generate returns a model's whole answer to a conversation, such as Prompt("Say hello").
func (c *Client) Generate(ctx context.Context, messages []Message, options ...GenerateOption) (*Generation, error) {
	turns, err := wireMessages(messages)
	if err != nil {
		return nil, err
	}
	used := c.defaults.withGenerate(options)
	asked := &used.wishes
	tools, err := wireTools(asked.modelTools)
	if err != nil {
		return nil, err
	}
	request := &bridgev1.GenerateRequest{
		Model: asked.model, Messages: turns, Options: asked.generation(), Tools: tools, Cache: asked.cache,
		ToolChoice: asked.toolChoice, ParallelToolCalls: asked.parallelTools,
	}
	reply, _, err := unary(ctx, c, used, c.models.Generate, request)
	if err != nil {
		return nil, err
	}
	return readGeneration(reply), nil
}

// StreamGenerate gives a model's answer as it is written, then the whole of it.
func (c *Client) StreamGenerate(ctx context.Context, messages []Message, options ...GenerateOption) *Iterator[GenerationEvent] {
	used := c.defaults.withGenerate(options)
	asked := &used.wishes
	turns, err := wireMessages(messages)
	tools, failed := wireTools(asked.modelTools)
	if err == nil {
		err = failed
	}
	if err != nil {
		return &Iterator[GenerationEvent]{err: err, done: true}
	}
	request := &bridgev1.StreamGenerateRequest{
		Model: asked.model, Messages: turns, Options: asked.generation(), Tools: tools, Cache: asked.cache,
		ToolChoice: asked.toolChoice, ParallelToolCalls: asked.parallelTools,
	}
	return stream(ctx, c, used, func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.StreamGenerateResponse], error) {
		return c.models.StreamGenerate(ctx, request, used...)
	}, readGenerationEvent)
}

func readGenerationEvent(reply *bridgev1.StreamGenerateResponse, _ *callFacts) ([]GenerationEvent, error) {
	switch event := reply.GetEvent().(type) {
	case *bridgev1.StreamGenerateResponse_TextDelta:
		return []GenerationEvent{&TextDelta{event.TextDelta}}, nil
	case *bridgev1.StreamGenerateResponse_ToolCallDelta:
		found := event.ToolCallDelta
		return []GenerationEvent{&ToolCallDelta{found.GetIndex(), found.GetId(), found.GetName(), found.GetArgumentsDelta()}}, nil
	case *bridgev1.StreamGenerateResponse_Final:
		return []GenerationEvent{readGeneration(event.Final)}, nil
	default:
		return nil, nil
	}
}

// Extraction is an answer that fits its schema.
type Extraction[T any] struct {
	Value T
	Model string
	Usage *ModelUsage
	// Attempts is how many times the model was asked.
	Attempts int32
}

// Extract returns a model's answer as a T. The JSON Schema that it must fit is that of T (see SchemaOf), or the one that
// is given: JSON or a map. A model that answers something else is asked again, see WithMaxRetries.
func Extract[T any](ctx context.Context, client Caller, schema any, messages []Message, options ...GenerateOption) (*Extraction[T], error) {
	c := client.view()
	text, err := extractionSchema[T](schema)
	if err != nil {
		return nil, err
	}
	turns, err := wireMessages(messages)
	if err != nil {
		return nil, err
	}
	used := c.defaults.withGenerate(options)
	asked := &used.wishes
	request := &bridgev1.ExtractRequest{
		Model: asked.model, Messages: turns, Schema: text, Options: asked.generation(), MaxRetries: asked.maxRetries,
		Cache: asked.cache,
	}
	reply, facts, err := unary(ctx, c, used, c.models.Extract, request)
	if err != nil {
		return nil, err
	}
	return readExtraction[T](reply, facts)
}

func extractionSchema[T any](schema any) (string, error) {
	if schema == nil {
		found, err := SchemaOf[T]()
		if err != nil {
			return "", err
		}
		schema = found
	}
	return schemaText(schema)
}

func readExtraction[T any](reply *bridgev1.ExtractResponse, facts *callFacts) (*Extraction[T], error) {
	made := &Extraction[T]{Model: reply.GetModel(), Usage: reply.GetUsage(), Attempts: reply.GetAttempts()}
	if err := assignJSON(&made.Value, []byte(reply.GetJson())); err != nil {
		return nil, unexpected(facts, "the answer fits its schema but not its type: %v", err)
	}
	return made, nil
}

// ExtractionEvent is what a streamed extraction consists of: *PartialAnswer or *AnswerItem, and at last *Extraction.
type ExtractionEvent interface{}

// PartialAnswer is an answer that is still written. Within an attempt it only grows; it is not checked yet.
type PartialAnswer struct {
	// Number counts the events, Attempt the attempts, from 1. A new attempt begins anew.
	Number, Attempt int32
	// JSON is the answer so far.
	JSON string
}

// AnswerItem is one whole item of an answer that is a list.
type AnswerItem struct {
	// Number counts the events, Attempt the attempts, from 1. A new attempt begins anew.
	Number, Attempt int32
	// Index is its place in the list, from 0.
	Index int32
	JSON  string
}

// StreamExtract gives a model's answer while it is written: objects that grow, or the items of a list, then the whole of
// it as an *Extraction[T]. See Extract.
func StreamExtract[T any](ctx context.Context, client Caller, schema any, messages []Message, options ...GenerateOption) *Iterator[ExtractionEvent] {
	c := client.view()
	text, err := extractionSchema[T](schema)
	turns, failed := wireMessages(messages)
	if err == nil {
		err = failed
	}
	if err != nil {
		return &Iterator[ExtractionEvent]{err: err, done: true}
	}
	used := c.defaults.withGenerate(options)
	asked := &used.wishes
	request := &bridgev1.StreamExtractRequest{
		Model: asked.model, Messages: turns, Schema: text, Options: asked.generation(), MaxRetries: asked.maxRetries,
		Cache: asked.cache,
	}
	return stream(ctx, c, used, func(ctx context.Context, used ...grpc.CallOption) (receiver[bridgev1.StreamExtractResponse], error) {
		return c.models.StreamExtract(ctx, request, used...)
	}, readExtractionEvent[T])
}

func readExtractionEvent[T any](reply *bridgev1.StreamExtractResponse, facts *callFacts) ([]ExtractionEvent, error) {
	switch event := reply.GetEvent().(type) {
	case *bridgev1.StreamExtractResponse_Partial:
		found := event.Partial
		return []ExtractionEvent{&PartialAnswer{found.GetNumber(), found.GetAttempt(), found.GetJson()}}, nil
	case *bridgev1.StreamExtractResponse_Item:
		found := event.Item
		return []ExtractionEvent{&AnswerItem{found.GetNumber(), found.GetAttempt(), found.GetIndex(), found.GetJson()}}, nil
	case *bridgev1.StreamExtractResponse_Final:
		whole, err := readExtraction[T](event.Final, facts)
		return []ExtractionEvent{whole}, err
	default:
		return nil, nil
	}
}

// BatchAnswer is what became of one prompt of a batch: Answer or Err.
type BatchAnswer struct {
	Answer *Generation
	Err    error
}

// GenerateBatch returns a model's answers to many conversations, in their order. One that fails does not fail the others.
func (c *Client) GenerateBatch(ctx context.Context, prompts [][]Message, options ...GenerateOption) ([]BatchAnswer, error) {
	used := c.defaults.withGenerate(options)
	asked := &used.wishes
	request := &bridgev1.GenerateBatchRequest{
		Model: asked.model, Options: asked.generation(), Cache: asked.cache, MaxConcurrency: asked.concurrency,
	}
	tools, err := wireTools(asked.modelTools)
	if err != nil {
		return nil, err
	}
	for _, messages := range prompts {
		turns, err := wireMessages(messages)
		if err != nil {
			return nil, err
		}
		request.Prompts = append(request.Prompts, &bridgev1.Prompt{
			Messages: turns, Tools: tools, ToolChoice: asked.toolChoice, ParallelToolCalls: asked.parallelTools,
		})
	}
	reply, _, err := unary(ctx, c, used, c.models.GenerateBatch, request)
	if err != nil {
		return nil, err
	}
	made := make([]BatchAnswer, 0, len(prompts))
	for _, one := range reply.GetAnswers() {
		if failure := one.GetFailure(); failure != nil {
			made = append(made, BatchAnswer{Err: ofPart(failure)})
		} else {
			made = append(made, BatchAnswer{Answer: readGeneration(one.GetAnswer())})
		}
	}
	return made, nil
}

// Models returns the configured language models with their limits, and how they stand.
func (c *Client) Models(ctx context.Context, options ...CallOption) ([]*ModelInfo, error) {
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.models.ListModels, &bridgev1.ListModelsRequest{})
	return reply.GetModels(), err
}

// Costs returns what calls of a function ("" for all) have used of models, by tenant, and what is left of budgets.
func (c *Client) Costs(ctx context.Context, function string, options ...CallOption) (*bridgev1.ListCostsResponse, error) {
	request := &bridgev1.ListCostsRequest{Function: function}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.models.ListCosts, request)
	return reply, err
}

// GenerateImages makes images from a text; the request has the prompt, count, size, quality and delivery.
func (c *Client) GenerateImages(ctx context.Context, request *bridgev1.GenerateImagesRequest, options ...CallOption) (*bridgev1.GenerateImagesResponse, error) {
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.models.GenerateImages, request)
	return reply, err
}
