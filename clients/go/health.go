package bridgeclient

import (
	"context"

	"google.golang.org/grpc"
)

// checkHealth is the stub of grpc.health.v1, whose generated one is not the same in all versions of grpc-go.
func (c *Client) checkHealth(ctx context.Context, request *raw, options ...grpc.CallOption) (*raw, error) {
	reply := raw{}
	err := c.connection.grpc.Invoke(ctx, "/grpc.health.v1.Health/Check", request, &reply, options...)
	return &reply, err
}
