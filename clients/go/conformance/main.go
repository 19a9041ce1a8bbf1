// Command conformance is the Go client's runner of the conformance suite: clients/conformance/README.md has the protocol.
// It asserts nothing: it reports what the client gave.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// object is a JSON object.
type object = map[string]any

// skipped is what the client can not do; crashed is what is not as the protocol says.
type (
	skipped struct{ why string }
	crashed struct{ why string }
)

func skip(format string, values ...any)  { panic(skipped{fmt.Sprintf(format, values...)}) }
func crash(format string, values ...any) { panic(crashed{fmt.Sprintf(format, values...)}) }

// lines is the way to the harness.
type lines struct {
	in  *bufio.Reader
	out *bufio.Writer
}

// read returns the next line as an object; false at the end of the input.
func (l *lines) read() (object, bool) {
	line, err := l.in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0 {
		return nil, false
	}
	return decodeObject(line), true
}

// decodeObject keeps integers exact.
func decodeObject(data []byte) object {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var found object
	if err := decoder.Decode(&found); err != nil {
		crash("expected a JSON object, got %.200q: %v", data, err)
	}
	return found
}

func (l *lines) write(message object) {
	encoder := json.NewEncoder(l.out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		fmt.Fprintln(os.Stderr, "the answer can not be written:", err)
		os.Exit(1)
	}
	l.out.Flush()
}

// answer makes the steps of a case.
func answer(harness *lines, given object) (told object) {
	defer func() {
		switch said := recover().(type) {
		case nil:
		case skipped:
			told = object{"skip": said.why}
		case crashed:
			told = object{"crash": said.why}
		default:
			told = object{"crash": fmt.Sprintf("%v\n%s", said, debug.Stack())}
		}
		told["case"] = given["case"]
	}()
	run := newRun(harness, given["connect"])
	defer run.close()
	results := []object{}
	for index, step := range given["steps"].([]any) {
		results = append(results, run.step(index, step.(object)))
	}
	return object{"steps": results}
}

func main() {
	harness := &lines{in: bufio.NewReaderSize(os.Stdin, 1<<20), out: bufio.NewWriter(os.Stdout)}
	for {
		given, more := harness.read()
		if !more {
			return
		}
		harness.write(answer(harness, given))
	}
}
