package bridgeclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons of failures, as Error.Reason has them; servers may have others.
const (
	ReasonSchemaMismatch      = "SCHEMA_MISMATCH"
	ReasonUnknownFunction     = "UNKNOWN_FUNCTION"
	ReasonQueueFull           = "QUEUE_FULL"
	ReasonWorkerMemoryLimit   = "WORKER_MEMORY_LIMIT"
	ReasonWorkerCrashed       = "WORKER_CRASHED"
	ReasonInputQuarantined    = "INPUT_QUARANTINED"
	ReasonSessionLost         = "SESSION_LOST"
	ReasonSessionMoved        = "SESSION_MOVED"
	ReasonBudgetExceeded      = "BUDGET_EXCEEDED"
	ReasonInQueue             = "IN_QUEUE"
	ReasonInWorker            = "IN_WORKER"
	ReasonUserException       = "USER_EXCEPTION"
	ReasonProviderError       = "PROVIDER_ERROR"
	ReasonShuttingDown        = "SHUTTING_DOWN"
	ReasonPoolUnavailable     = "POOL_UNAVAILABLE"
	ReasonExtraMissing        = "EXTRA_MISSING"
	ReasonDeadlineUnreachable = "DEADLINE_UNREACHABLE"
	ReasonMessageTooLarge     = "MESSAGE_TOO_LARGE"
	ReasonCredentialsMissing  = "CREDENTIALS_MISSING"
	ReasonCredentialsInvalid  = "CREDENTIALS_INVALID"
	ReasonCredentialsRevoked  = "CREDENTIALS_REVOKED"
	ReasonRoleMissing         = "ROLE_MISSING"
)

// What the client itself finds out: for errors.Is. Each comes as an *Error.
var (
	// ErrCannotConnect says that no server answers at the address; the call did not happen.
	ErrCannotConnect = errors.New("no bridge answers at the address")
	// ErrConnectionLost says that the connection broke in the call, which may or may not have run.
	ErrConnectionLost = errors.New("the connection broke during the call")
	// ErrUnexpectedReply says that the server sent what this client, or the type of the result, has no place for.
	ErrUnexpectedReply = errors.New("the reply is not what was expected")
	// ErrClosed says that the client was closed before.
	ErrClosed = errors.New("the client is closed")
)

// Violation is one argument that does not fit.
type Violation struct {
	// Field is the argument's path, such as items[2].name.
	Field string
	// Description says what was expected and what was got.
	Description string
}

// Error is the failure of a call.
type Error struct {
	// Code is gRPC's status code.
	Code codes.Code
	// Reason is the bridge's reason, such as UNKNOWN_FUNCTION; empty where the failure did not come from a bridge.
	Reason string
	// Message says what was expected, what was got, and the fix.
	Message string
	// Violations has one entry for each argument that does not fit.
	Violations []Violation
	// Metadata has further facts by name, such as pool, signal or limit_bytes.
	Metadata map[string]string
	// RetryAfter is how long to wait before it makes sense to try again, where Retryable.
	RetryAfter time.Duration
	// Retryable says whether the server has said when to try again.
	Retryable bool
	// RequestID identifies the call in the server's logs.
	RequestID string
	// Traceback is the Python traceback; empty unless the server is told to show it.
	Traceback string

	kind error // one of the errors above, or nil
}

// Error returns the failure in words, with one line for each violation.
func (e *Error) Error() string {
	var out strings.Builder
	out.WriteString(CodeName(e.Code))
	if e.Reason != "" {
		out.WriteString(" " + e.Reason)
	}
	out.WriteString(": " + e.Message)
	for _, one := range e.Violations {
		fmt.Fprintf(&out, "\n  %s: %s", one.Field, one.Description)
	}
	return out.String()
}

// Unwrap returns ErrCannotConnect, ErrConnectionLost, ErrUnexpectedReply or ErrClosed where the failure is one of them.
func (e *Error) Unwrap() error { return e.kind }

// Is lets errors.Is find the errors of contexts: context.DeadlineExceeded and context.Canceled.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	case context.Canceled:
		return e.Code == codes.Canceled
	default:
		return false
	}
}

// GRPCStatus lets status.FromError and status.Code of grpc-go read the failure.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// CodeName returns a code as the bridge writes it, such as INVALID_ARGUMENT.
func CodeName(code codes.Code) string {
	if name, known := codeNames[code]; known {
		return name
	}
	return fmt.Sprintf("CODE(%d)", code)
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

func unexpected(facts *callFacts, format string, values ...any) *Error {
	message := fmt.Sprintf(format, values...)
	return &Error{Code: codes.Internal, Message: message, RequestID: facts.requestID, kind: ErrUnexpectedReply}
}
