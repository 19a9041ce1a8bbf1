package bridgeclient

import (
	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// RunOption is what runs of programs take; every CallOption and ModelOption is one.
type RunOption interface{ run(*callOptions) }

// GenerateOption is what questions to language models take; every CallOption and ModelOption is one.
type GenerateOption interface{ generate(*callOptions) }

// EmbedOption is what embeddings take; every CallOption is one, and WithModel.
type EmbedOption interface{ embed(*callOptions) }

// ModelOption is what has to do with a language model.
type ModelOption interface {
	RunOption
	GenerateOption
	EmbedOption
}

// wishes is what programs, language models and embeddings may be asked to do otherwise.
type wishes struct {
	model       string
	temperature *float64
	maxTokens   *int32
	cache       *bool

	adapter       bridgev1.PromptAdapter
	allEvents     bool
	resumable     bool
	version       int64
	tools         []string
	registrations []string
	hosts         []*ToolHost

	topP          *float64
	stop          []string
	seed          *int64
	modelTools    []ModelTool
	toolChoice    *bridgev1.ToolChoice
	parallelTools *bool
	maxRetries    *int32
	concurrency   int32

	notNormalized bool
}

type modelOption func(*wishes)

func (o modelOption) run(into *callOptions)      { o(&into.wishes) }
func (o modelOption) generate(into *callOptions) { o(&into.wishes) }
func (o modelOption) embed(into *callOptions)    { o(&into.wishes) }

type runOption func(*wishes)

func (o runOption) run(into *callOptions) { o(&into.wishes) }

type generateOption func(*wishes)

func (o generateOption) generate(into *callOptions) { o(&into.wishes) }

type embedOption func(*wishes)

func (o embedOption) embed(into *callOptions) { o(&into.wishes) }

// WithModel asks another model than the default, by its name in the server's configuration.
func WithModel(name string) ModelOption {
	return modelOption(func(w *wishes) { w.model = name })
}

// WithTemperature sets the randomness of answers, 0 to 2.
func WithTemperature(temperature float64) ModelOption {
	return modelOption(func(w *wishes) { w.temperature = &temperature })
}

// WithMaxTokens sets the longest answer.
func WithMaxTokens(tokens int32) ModelOption {
	return modelOption(func(w *wishes) { w.maxTokens = &tokens })
}

// WithoutCache takes no answer that the server has kept, and has none kept.
func WithoutCache() ModelOption {
	never := false
	return modelOption(func(w *wishes) { w.cache = &never })
}

// Adapter is how a program's signature becomes a prompt.
type Adapter int32

// The adapters that the bridge knows.
const (
	AdapterChat    = Adapter(bridgev1.PromptAdapter_PROMPT_ADAPTER_CHAT)
	AdapterJSON    = Adapter(bridgev1.PromptAdapter_PROMPT_ADAPTER_JSON)
	AdapterXML     = Adapter(bridgev1.PromptAdapter_PROMPT_ADAPTER_XML)
	AdapterTwoStep = Adapter(bridgev1.PromptAdapter_PROMPT_ADAPTER_TWO_STEP)
)

// WithAdapter says how the program's signatures become prompts in this run.
func WithAdapter(adapter Adapter) RunOption {
	return runOption(func(w *wishes) { w.adapter = bridgev1.PromptAdapter(adapter) })
}

// WithAllEvents asks for every kind of event of a run; else a stream has FieldDelta and Final alone.
func WithAllEvents() RunOption {
	return runOption(func(w *wishes) { w.allEvents = true })
}

// WithResumable lets a streamed run go on where its stream is lost, to be taken up again by ResumeProgram.
func WithResumable() RunOption {
	return runOption(func(w *wishes) { w.resumable = true })
}

// WithVersion runs a version of a created program instead of the one that serves.
func WithVersion(version int64) RunOption {
	return runOption(func(w *wishes) { w.version = version })
}

// WithTools gives the program's agents tools by name beside their own: a tool that a client hosts, "function:NAME",
// "mcp:SERVER" or "mcp:SERVER/TOOL".
func WithTools(names ...string) RunOption {
	return runOption(func(w *wishes) { w.tools = append(w.tools[:len(w.tools):len(w.tools)], names...) })
}

// WithHostedTools gives the program's agents the tools of hosts: what HostTools returns.
func WithHostedTools(hosts ...*ToolHost) RunOption {
	return runOption(func(w *wishes) { w.hosts = append(w.hosts[:len(w.hosts):len(w.hosts)], hosts...) })
}

// WithToolRegistrations is WithHostedTools for hosts of other processes, by their registrations.
func WithToolRegistrations(registrations ...string) RunOption {
	return runOption(func(w *wishes) {
		w.registrations = append(w.registrations[:len(w.registrations):len(w.registrations)], registrations...)
	})
}

// namedTools returns what a run says of tools. Where hosts alone are given, the server knows which theirs are.
func (w *wishes) namedTools() (names, registrations []string) {
	names = append(names, w.tools...)
	registrations = append(registrations, w.registrations...)
	for _, host := range w.hosts {
		registrations = append(registrations, host.Registration())
		if len(w.tools) > 0 {
			names = append(names, host.Names()...)
		}
	}
	return names, registrations
}

// WithTopP sets nucleus sampling, 0 to 1.
func WithTopP(share float64) GenerateOption {
	return generateOption(func(w *wishes) { w.topP = &share })
}

// WithStop ends an answer at any of these texts.
func WithStop(texts ...string) GenerateOption {
	return generateOption(func(w *wishes) { w.stop = texts })
}

// WithSeed makes sampling repeatable where the provider can.
func WithSeed(seed int64) GenerateOption {
	return generateOption(func(w *wishes) { w.seed = &seed })
}

// WithModelTools gives the model tools that it may ask for; the caller calls them. Not for extractions.
func WithModelTools(tools ...ModelTool) GenerateOption {
	return generateOption(func(w *wishes) { w.modelTools = tools })
}

// WithToolChoice says whether the model must call a tool: "auto", "none", "required" or the name of the tool.
func WithToolChoice(choice string) GenerateOption {
	modes := map[string]bridgev1.ToolMode{
		"auto": bridgev1.ToolMode_TOOL_MODE_AUTO, "none": bridgev1.ToolMode_TOOL_MODE_NONE,
		"required": bridgev1.ToolMode_TOOL_MODE_REQUIRED,
	}
	made := &bridgev1.ToolChoice{Choice: &bridgev1.ToolChoice_Name{Name: choice}}
	if mode, known := modes[choice]; known {
		made.Choice = &bridgev1.ToolChoice_Mode{Mode: mode}
	}
	return generateOption(func(w *wishes) { w.toolChoice = made })
}

// WithParallelToolCalls says whether the model may ask for several calls at once.
func WithParallelToolCalls(parallel bool) GenerateOption {
	return generateOption(func(w *wishes) { w.parallelTools = &parallel })
}

// WithMaxRetries says how often a model is asked again whose answer does not fit its schema: 0 to 10, else 2.
func WithMaxRetries(times int32) GenerateOption {
	return generateOption(func(w *wishes) { w.maxRetries = &times })
}

// WithConcurrency says how many prompts of a batch may be under way at a time: 1 to 64, else 8.
func WithConcurrency(prompts int32) GenerateOption {
	return generateOption(func(w *wishes) { w.concurrency = prompts })
}

// WithoutNormalizing leaves the lengths of vectors as the embedding model makes them; else they are 1.
func WithoutNormalizing() EmbedOption {
	return embedOption(func(w *wishes) { w.notNormalized = true })
}
