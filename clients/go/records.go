package bridgeclient

import "github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"

// Messages of the bridge that calls return as they are. Their fields have comments; their Get methods work on nil.
type (
	// Receipt says where a call's time, memory, tokens and money went, and why it was routed where it was.
	Receipt = bridgev1.Receipt
	// ModelUsage counts the use of one language model.
	ModelUsage = bridgev1.ModelUsage
	// FunctionInfo describes a function.
	FunctionInfo = bridgev1.FunctionInfo
	// ProgramInfo describes a DSPy program.
	ProgramInfo = bridgev1.ProgramInfo
	// ProgramSource is what a created program is made from.
	ProgramSource = bridgev1.ProgramSource
	// SessionInfo is a session as the server sees it.
	SessionInfo = bridgev1.Session
	// PoolInfo is a pool of worker processes.
	PoolInfo = bridgev1.Pool
	// Explanation says where a call would go, and why.
	Explanation = bridgev1.ExplainResponse
	// ModelInfo is a configured language model and how it stands.
	ModelInfo = bridgev1.ModelInfo
	// MetricInfo describes a metric.
	MetricInfo = bridgev1.MetricInfo
	// ToolInfo is a tool that a client hosts.
	ToolInfo = bridgev1.ToolInfo
)

// Tokens returns the tokens of prompts and answers of a call, those of nested calls included.
func Tokens(receipt *Receipt) uint64 {
	var total uint64
	for _, usage := range allUsage(receipt) {
		total += usage.GetInputTokens() + usage.GetOutputTokens()
	}
	return total
}

// CostUSD returns the price of a call in US dollars, nested calls included; false where no price is known.
func CostUSD(receipt *Receipt) (float64, bool) {
	total, known := 0.0, false
	for _, usage := range allUsage(receipt) {
		if usage.CostUsd != nil {
			total, known = total+usage.GetCostUsd(), true
		}
	}
	return total, known
}

func allUsage(receipt *Receipt) []*ModelUsage {
	return append(append([]*ModelUsage(nil), receipt.GetUsage()...), receipt.GetNested().GetUsage()...)
}
