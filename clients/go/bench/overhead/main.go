// Command overhead measures what a call by the client costs on top of one by the bare generated stub.
//
//	overhead ADDRESS CALLS
//
// It makes so many calls of `add` each way, in turns of a few, over one connection each, and prints both medians as one
// line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"time"

	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

const (
	turn    = 20
	warmUp  = 200
	timeout = 10 * time.Second
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: overhead ADDRESS CALLS")
	}
	calls, err := strconv.Atoi(os.Args[2])
	check(err)
	client, err := bridgeclient.Connect(os.Args[1])
	check(err)
	defer client.Close()
	bare, err := bridgeclient.Connect(os.Args[1]) // for its connection alone
	check(err)
	defer bare.Close()
	byClient, byStub := sum(client), stubSum(bridgev1.NewInvokeServiceClient(bare.Conn()))
	measure(byClient, warmUp)
	measure(byStub, warmUp)
	var client50, stub50 []time.Duration
	for made := 0; made < calls; made += turn {
		client50 = append(client50, measure(byClient, turn)...)
		stub50 = append(stub50, measure(byStub, turn)...)
	}
	line, err := json.Marshal(map[string]float64{"client_p50_ms": median(client50), "stub_p50_ms": median(stub50)})
	check(err)
	fmt.Println(string(line))
}

// sum calls add as people do who use the client.
func sum(client *bridgeclient.Client) func() error {
	return func() error {
		found, err := bridgeclient.Call[int](context.Background(), client, "add", bridgeclient.Args{"a": 1, "b": 2})
		if err == nil && found != 3 {
			err = fmt.Errorf("expected 3, got %d", found)
		}
		return err
	}
}

// stubSum does what any program must do with a bare stub: make the request, set a deadline, take the result out.
func stubSum(stub bridgev1.InvokeServiceClient) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		body, err := json.Marshal(map[string]any{"a": 1, "b": 2})
		if err != nil {
			return err
		}
		arguments := &bridgev1.Payload{Body: &bridgev1.Payload_Json{Json: string(body)}}
		reply, err := stub.Call(ctx, &bridgev1.CallRequest{Function: "add", Arguments: arguments})
		if err != nil {
			return err
		}
		var found int
		if err := json.Unmarshal([]byte(reply.GetResult().GetJson()), &found); err != nil {
			return err
		}
		if found != 3 {
			return fmt.Errorf("expected 3, got %d", found)
		}
		return nil
	}
}

func measure(call func() error, times int) []time.Duration {
	took := make([]time.Duration, times)
	for number := range took {
		begun := time.Now()
		check(call())
		took[number] = time.Since(begun)
	}
	return took
}

func median(took []time.Duration) float64 {
	sort.Slice(took, func(a, b int) bool { return took[a] < took[b] })
	return float64(took[len(took)/2].Nanoseconds()) / 1e6
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
