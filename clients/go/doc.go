// Package bridgeclient calls Python functions, DSPy programs, language models, embeddings and metrics that a polyglot
// bridge serves.
//
//	client, err := bridgeclient.Connect("127.0.0.1:50051")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	sum, err := bridgeclient.Call[int](ctx, client, "add", bridgeclient.Args{"a": 1, "b": 2})
//
// A Client may be shared between goroutines. It connects at its first call. The context of a call bounds it: its deadline
// is told to the server, which holds it exactly, and its end cancels the Python that runs. Without a deadline calls
// end after a minute; see WithTimeout.
//
// What fails on the way or on the server is an *Error, to be had by errors.As. Arguments that can not be sent are plain
// errors, before anything is sent.
//
// The messages of the bridge and bare stubs are in the package bridgev1.
package bridgeclient
