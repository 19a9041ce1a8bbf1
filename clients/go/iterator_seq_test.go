//go:build go1.23

package bridgeclient_test

import (
	"context"
	"testing"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

func TestIteratorsCanBeRangedOver(t *testing.T) {
	client, ctx := connect(t), context.Background()
	sum := 0
	for number, err := range bridgeclient.Stream[int](ctx, client, "count", bridgeclient.Args{"to": 4}).All() {
		if err != nil {
			t.Fatal(err)
		}
		sum += number
	}
	if sum != 10 {
		t.Errorf("expected 10, got %d", sum)
	}
	endless := client.Stream(ctx, "count_endless", bridgeclient.Args{"key": t.Name()})
	for range endless.All() {
		break
	}
	if endless.Next() {
		t.Error("expected the end of the loop to have ended the call")
	}
	var last error
	items := 0
	for _, err := range client.Stream(ctx, "count_then_fail", bridgeclient.Args{"to": 2}).All() {
		items++
		last = err
	}
	if items != 3 || failure(t, last).Reason != bridgeclient.ReasonUserException {
		t.Errorf("expected two items and a failure, got %d, %v", items, last)
	}
}
