package bridgeclient

import (
	"context"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

const pageSize = 1000

// pages collects the items of all pages of a list.
func pages[T any](page func(token string) (items []T, next string, err error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		items, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if token = next; token == "" {
			return all, nil
		}
	}
}

// Functions returns what can be called and begins with a prefix, in the order of names, without schemas.
func (c *Client) Functions(ctx context.Context, prefix string, options ...CallOption) ([]*FunctionInfo, error) {
	return pages(func(token string) ([]*FunctionInfo, string, error) {
		request := &bridgev1.ListFunctionsRequest{Prefix: prefix, PageSize: pageSize, PageToken: token}
		reply, _, err := unary(ctx, c, c.defaults.with(options), c.invoke.ListFunctions, request)
		return reply.GetFunctions(), reply.GetNextPageToken(), err
	})
}

// Describe returns a function with its schemas and an example.
func (c *Client) Describe(ctx context.Context, function string, options ...CallOption) (*FunctionInfo, error) {
	request := &bridgev1.DescribeFunctionRequest{Function: function}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.invoke.DescribeFunction, request)
	return reply.GetFunction(), err
}

// Explain says where a call would go and why, with every alternative and the figures behind it; nothing runs.
func (c *Client) Explain(ctx context.Context, function string, arguments any, options ...CallOption) (*Explanation, error) {
	payload, err := encodeArguments(arguments)
	if err != nil {
		return nil, err
	}
	request := &bridgev1.ExplainRequest{Function: function, Arguments: payload}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.invoke.Explain, request)
	return reply, err
}

// Pools returns all pools of worker processes.
func (c *Client) Pools(ctx context.Context, options ...CallOption) ([]*PoolInfo, error) {
	request := &bridgev1.PoolServiceListRequest{}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.pools.List, request)
	return reply.GetPools(), err
}

// Pool returns one pool.
func (c *Client) Pool(ctx context.Context, name string, options ...CallOption) (*PoolInfo, error) {
	request := &bridgev1.PoolServiceGetRequest{Name: name}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.pools.Get, request)
	return reply.GetPool(), err
}

// Health is how a server, a service or a pool is.
type Health string

// What grpc.health.v1 knows.
const (
	HealthUnknown        Health = "UNKNOWN"
	HealthServing        Health = "SERVING"
	HealthNotServing     Health = "NOT_SERVING"
	HealthServiceUnknown Health = "SERVICE_UNKNOWN"
)

var healths = []Health{HealthUnknown, HealthServing, HealthNotServing, HealthServiceUnknown}

// Health asks grpc.health.v1 for the health of the whole server (""), of a service such as bridge.v1.ModelService or of
// pool/NAME.
func (c *Client) Health(ctx context.Context, service string, options ...CallOption) (Health, error) {
	request := raw{}
	if service != "" {
		request = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	reply, facts, err := unary(ctx, c, c.defaults.with(options), c.checkHealth, &request)
	if err != nil {
		return HealthUnknown, err
	}
	found := HealthUnknown
	err = eachField(*reply, func(number protowire.Number, value uint64, _ []byte) {
		if number == 1 && value < uint64(len(healths)) {
			found = healths[value]
		}
	})
	if err != nil {
		return HealthUnknown, unexpected(facts, "expected a HealthCheckResponse: %v", err)
	}
	return found, nil
}
