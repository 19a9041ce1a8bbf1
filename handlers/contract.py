"""The records and protocols that everything in `handlers` agrees on.

Records are immutable values; several cross the process boundary (as JSON or MessagePack, never pickle), so they hold
plain data only. A `Handler` is one callable thing: a user's function, a DSPy program, a built-in. This module imports
nothing heavy and knows nothing of pools, frames or gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from handlers.context import CallContext

Kind = Literal["function", "program", "builtin"]
PlacementName = Literal["native", "pooled", "auto"]


class ProgramDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What only a DSPy program has."""

    signature: str
    """DSPy's notation, such as ``ticket: str -> queue: Literal['billing'], urgency: int``."""
    module: str
    """The module's class name, such as ``ChainOfThought``."""
    artefact: int = 0
    """The saved version whose state a program of a file has; 0 for none."""
    version: int = 0
    """Of a created program the version that serves; 0 for a program of the app, which has none."""


class MetricDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What only a metric has."""

    metric: str
    """The name callers use, such as ``bleu``; the function is ``bridge.metrics.bleu``."""
    parameters_schema: str
    """JSON Schema of the metric's parameters, as JSON text."""


class BatchRule(msgspec.Struct, frozen=True, kw_only=True):
    """How calls of one function are gathered into one."""

    max_items: int = 32
    """Calls that run together at most."""
    max_bytes: int = 1 << 20
    """Bytes of their requests at most; a larger request runs alone."""
    max_wait_s: float = 0.005
    """How long a call may wait for others while a worker is idle."""
    similar_sizes: bool = True
    """Whether only calls whose requests are of similar size run together."""
    concurrency: int = 1
    """Batches that one worker runs at a time."""
    by_name: dict[str, BatchRule] = {}
    """Rules of their own for requests that have one of these names in field 1; each name is gathered apart."""


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One function as the catalogue publishes it. Schemas and example are JSON text."""

    name: str
    kind: Kind = "function"
    doc: str = ""
    pool: str | None = None
    """The pool that the declaration asks for; None lets the bridge choose. The merged catalogue always has one."""
    placement: PlacementName = "pooled"
    streaming: bool = False
    is_async: bool = False
    idempotent: bool = False
    pure: bool = False
    """Whether it depends on its arguments alone and changes nothing."""
    thread_safe: bool = False
    arguments_schema: str = "{}"
    result_schema: str = "{}"
    example: str = "{}"
    module: str | None = None
    """The user module (as configured) that the function came from; None for built-ins."""
    program: ProgramDetails | None = None
    metric: MetricDetails | None = None
    batch: BatchRule | None = None
    """How its calls are gathered; None where each runs by itself."""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What one child reports after it has imported its modules."""

    functions: tuple[FunctionSpec, ...] = ()
    session_hooks: bool = False
    """Whether it has functions that want to know of the end of sessions."""


class ModelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A named language model: `[models.NAME]`. Secrets are already resolved here, so never log this record."""

    model: str
    """LiteLLM's name, such as ``openai/gpt-4o-mini``, or ``bridge/test`` for the built-in test model."""
    api_key: str | None = None
    api_base: str | None = None
    timeout_s: float = 60.0
    max_retries: int = 1
    temperature: float | None = None
    max_tokens: int | None = None
    breakers: tuple[str, ...] = ()
    """The keys of the circuit breakers that guard its provider; empty where none does."""
    input_price: float | None = None
    """US dollars for a million tokens of prompts; without it, and `output_price`, LiteLLM's table says."""
    output_price: float | None = None
    """US dollars for a million tokens of answers."""
    image_price: float | None = None
    """US dollars for an image that it makes."""
    fallbacks: tuple[str, ...] = ()
    """Names of models that are asked, one after the other, where this one fails."""
    max_wait_s: float = 30.0
    """How long a request may wait before it is repeated."""
    asks: bool = False
    """Whether the front limits, keeps or counts its requests, and so must be asked before each."""
    reserve: int = 0
    """What of each request is to be reserved, whether or not its call has a budget; the bits of `CallMeta.budget`."""
    cached: bool = False
    """Whether the front keeps its answers."""

    def __repr__(self) -> str:
        return f"ModelOptions(model={self.model!r})"

    __str__ = __repr__


class EmbeddingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A named embedding model: `[embeddings.NAME]`."""

    model: str
    """A directory, a sentence-transformers name, or ``package:NAME`` for a Python package that carries a model."""
    device: str = "cpu"
    batch_size: int = 32
    """Texts in one run of the model, at most."""
    token_budget: int = 512
    """Tokens in one run of the model, padding included, unless a single text has more; 0 sets no bound."""
    max_calls: int = 64
    """Calls that are embedded together; 1 lets each run by itself."""
    max_wait_s: float = 0.005
    allow_download: bool = False


class CreatedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool runs programs that clients have created."""

    preload: bool = False
    """Whether there are such programs already: their library is imported before the first call then."""
    allow_code: bool = False
    """Whether code that a model wrote may run, in a sandbox."""


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls are saved, and where: `[replay]`."""

    directory: str
    failed: bool = True
    sample: float = 0.0
    max_bytes: int = 1 << 20
    keep: int = 100
    scrub: tuple[str, ...] = ()
    """Names of fields that are never kept."""
    variables: tuple[str, ...] = ()
    """Environment variables that are configured as references to secrets."""


class ToolServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server: `[tools.NAME]`. Secrets are already resolved here, so never log this record."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    tools: tuple[str, ...] | None = None
    abort: bool = False
    timeout_s: float = 30.0
    start_timeout_s: float = 30.0
    max_concurrent: int = 16
    max_result_bytes: int = 1 << 20

    def __repr__(self) -> str:
        return f"ToolServerOptions({self.command[:1] or self.url})"

    __str__ = __repr__


class EntryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that an entry needs to open: sent to the child as its first frame."""

    pool: str
    modules: tuple[str, ...] = ()
    """User code: file paths or dotted names."""
    builtins: tuple[str, ...] = ()
    """Families of built-ins to open: any of ``core``, ``models``, ``embeddings``, ``metrics``, ``chaos``."""
    models: dict[str, ModelOptions] = {}
    embeddings: dict[str, EmbeddingOptions] = {}
    expose_tracebacks: bool = False
    max_message_bytes: int = 2**31 - 1
    """The largest response message that may be sent."""
    native_only: bool = False
    """Open only functions that may run in the front, by their placement: the front's own entry."""
    tool_servers: dict[str, ToolServerOptions] = {}
    """MCP servers by name."""
    created: CreatedOptions | None = None
    """Set for a pool that runs created programs."""
    artefacts: str = ""
    """The directory of saved states of programs; empty for none."""
    source_changes: str = "refuse"
    """What follows where a program's files are not those that its state was saved with: refuse, or warn."""
    replay: ReplayOptions | None = None
    """How calls are saved to be run again; None saves none."""


class CallMeta(msgspec.Struct, frozen=True, array_like=True):
    """What the front tells the entry about a call, beside the request bytes.

    Encoded as a MessagePack array, whose end may be missing where it holds nothing but defaults.
    """

    method: str
    """The RPC without package and version, such as ``InvokeService/Call``: it names the envelope of the request."""
    request_id: str = ""
    session_id: str = ""
    session_epoch: int = 0
    tenant: str = ""
    traceparent: str = ""
    session_mode: str = ""
    budget: int = 0
    """What the call's models must be reserved before they are asked: 1 for tokens, 2 for US dollars, 3 for both."""
    within: int = 0
    """For a nested call that runs in its caller's worker: the number by which the front knows it there."""
    version: int = 0
    """Of a created program, the version that runs."""
    definition: int = 0
    """The front's number of that version's definition, by which it is asked for it; no two have the same."""
    sound_at: float = 0.0
    """When all providers of models were found sound, in seconds of `time.monotonic()`; 0 where that is not told.

    A request to a model that only circuit breakers guard may go out shortly after without asking the front.
    """


class UsageRecord(msgspec.Struct, frozen=True, array_like=True):
    """Use of one language model in one call."""

    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    """The price of the calls whose price is known; None where there are none."""
    cached_calls: int = 0
    """Of the calls, those whose answer, or a part of whose prompt, came out of a cache."""
    unpriced_calls: int = 0
    """Of the calls, those whose price is not known."""


class ToolRecord(msgspec.Struct, frozen=True, array_like=True):
    """Use of one tool in one call."""

    tool: str
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as a value: how a handler's error crosses the process boundary."""

    code: str
    """A gRPC status name such as ``INVALID_ARGUMENT``."""
    reason: str
    message: str
    type: str = ""
    """The exception's class, for USER_EXCEPTION."""
    violations: tuple[tuple[str, str], ...] = ()
    """Pairs of field path and description, for INVALID_ARGUMENT."""
    metadata: dict[str, str] = {}
    retry_after_s: float | None = None
    traceback: str = ""


class Asker(Protocol):
    """How a running call asks the front something: (name, bytes) to (ok, bytes), an ErrorRecord as JSON where not ok.

    It knows by itself which call runs where it is used.
    """

    def ask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Ask, and wait for the answer: for code that is not async."""
        ...

    async def aask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Ask, and await the answer: for async code."""
        ...

    def tell(self, name: str, body: bytes) -> None:
        """Ask, and wait for no answer. The front hears it before the call's end."""
        ...


class ReplyMeta(msgspec.Struct, frozen=True, array_like=True):
    """What the entry tells the front beside the response bytes; empty bytes stand for the empty record."""

    usage: tuple[UsageRecord, ...] = ()
    model_s: float = 0.0
    error: ErrorRecord | None = None
    own_s: float = 0.0
    """Seconds that the call has itself taken, where it was under way for longer than that; 0 where that is not so, or
    not measured."""
    tools: tuple[ToolRecord, ...] = ()


class Handler(Protocol):
    """One callable thing inside an entry.

    `method` is `CallMeta.method` and says which message `request` is; the reply is that RPC's response message.
    A handler whose `spec.is_async` is set returns awaitables and async iterators, any other plain bytes and iterators.
    Failures are raised: `handlers.errors.HandlerError` with a reason, anything else counts as USER_EXCEPTION.
    """

    @property
    def spec(self) -> FunctionSpec:
        """What the catalogue says of it."""
        ...

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a unary call."""
        ...

    def stream(self, method: str, request: bytes, context: CallContext) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Answer a server-streaming call, one response message per item."""
        ...
