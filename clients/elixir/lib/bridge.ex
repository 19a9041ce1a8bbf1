defmodule Bridge do
  @moduledoc """
  Calls a polyglot bridge: its Python functions, DSPy programs, language models, embeddings and metrics.

      children = [{Bridge.Connection, name: MyApp.Bridge, address: "127.0.0.1:50051"}]

      {:ok, 3} = Bridge.call(MyApp.Bridge, "add", a: 1, b: 2)
      [1, 2, 3] = MyApp.Bridge |> Bridge.stream!("count", to: 3) |> Enum.to_list()

  Every function takes a connection first: its name, its pid, or a `Bridge.Session`, whose calls then belong to that
  session. Functions return `{:ok, value}` or `{:error, %Bridge.Error{}}`; those with `!` return the value or raise the
  error. Streams are lazy: the call begins when the stream is enumerated, and is cancelled on the server when the
  enumeration stops early or its process ends. Wrong options and arguments that cannot be sent raise `ArgumentError`
  before anything is sent.

  ## Options of a call

    * `:timeout` - milliseconds for the whole call, a stream's last item included; default `60_000`, or the
      connection's; `:infinity` for no limit. The server holds it exactly and says where the time went
    * `:request_id` - identifies the call in logs and receipts; default a new one
    * `:idempotency_key` - says that repeated calls with this key are one
    * `:session` - a `Bridge.Session` or the id of one
    * `:session_mode` - `:hint` or `:strict`, for a session that the call opens
    * `:budget` - `[usd: 0.05, tokens: 10_000, calls: 20]`, each optional: what the call, and all that it calls on the
      server, may spend together
    * `:metadata` - a map of further metadata; values of keys that end in `-bin` are bytes
    * `:priority` - `:low`, `:normal` or `:high`
    * `:traceparent` - the W3C trace context that the call belongs to
    * `:retries` - how often a call may be repeated where the error says that it may; default 0. Needs
      `:idempotency_key` or `idempotent: true`, since only the caller knows what may run twice
    * `:idempotent` - `true` where repeating the call does no harm
    * `:wait_for_ready` - `true` to wait for a connection until the timeout, rather than fail when there is none
    * `:on_receipt` - a function that gets the call's `Bridge.Receipt`; see also `with_receipt/1`
    * `:bytes` - `:binary` (the default) for bytes in results as plain binaries, `:tagged` for `Bridge.Bytes`, which
      tells them from text

  ## Telemetry

  | event | measurements | metadata beside what all have |
  |---|---|---|
  | `[:bridge, :call, :start]` | `system_time`, `monotonic_time` | |
  | `[:bridge, :call, :stop]` | `duration` | `code`: `:ok` or that of the error; `reason`, `error` |
  | `[:bridge, :call, :exception]` | `duration` | `kind`, `reason`, `stacktrace`: what a function of yours raised |
  | `[:bridge, :stream, :start]` | `system_time`, `monotonic_time` | |
  | `[:bridge, :stream, :stop]` | `duration`, `items` | `code`: `:ok`, `:cancelled`, or that of the error; `reason`, `error` |

  All have `connection`, `method` (such as `"/bridge.v1.InvokeService/Call"`), `name` (of the function, the program),
  `request_id` and `session`. `Bridge.Connection`, `Bridge.Tools` and `Bridge.Server` have events of their own.
  """

  alias Bridge.{Embeddings, Error, FunctionInfo, Generation, Receipt, Session, SessionInfo}

  @typedoc "A connection's name or pid, or a session of one."
  @type connection :: Bridge.Connection.t() | Session.t()

  @typedoc "Arguments by name."
  @type arguments :: map() | keyword()

  @typedoc "Options of a call, and those of the function at hand."
  @type options :: keyword()

  @type result(value) :: {:ok, value} | {:error, Error.t()}

  @typedoc "A lazy stream of `{:ok, item}`; the last element is `{:error, error}` where the call fails."
  @type results(item) :: Enumerable.t({:ok, item} | {:error, Error.t()})

  # -- functions

  @doc """
  Calls a function and returns its result.

      {:ok, 3} = Bridge.call(MyApp.Bridge, "add", %{a: 1, b: 2}, timeout: 1_500)

  Arguments may hold what `Bridge.Value` lists: numbers, text, lists, maps, dates, `Bridge.Bytes`, `Bridge.Tensor`.
  """
  @spec call(connection(), String.t(), arguments(), options()) :: result(term())
  defdelegate call(connection, function, arguments \\ %{}, options \\ []), to: Bridge.Functions

  @doc "As `call/4`; returns the result itself, or raises `Bridge.Error`."
  @spec call!(connection(), String.t(), arguments(), options()) :: term()
  def call!(connection, function, arguments \\ %{}, options \\ []),
    do: bang(call(connection, function, arguments, options))

  @doc """
  A stream of a function's results as they come: `{:ok, item}`, at the end perhaps `{:error, error}`.

  Option `:chunk_bytes` lets items that are larger come in parts of this size, which are put together here: they may
  then be larger than a message.
  """
  @spec stream(connection(), String.t(), arguments(), options()) :: results(term())
  defdelegate stream(connection, function, arguments \\ %{}, options \\ []), to: Bridge.Functions

  @doc "A stream of a function's results as they come. Raises `Bridge.Error` where the call fails."
  @spec stream!(connection(), String.t(), arguments(), options()) :: Enumerable.t()
  def stream!(connection, function, arguments \\ %{}, options \\ []),
    do: bang_stream(stream(connection, function, arguments, options))

  @doc "What can be called, in the order of names, without schemas. Option `:prefix` limits it to names that begin so."
  @spec functions(connection(), options()) :: result([FunctionInfo.t()])
  defdelegate functions(connection, options \\ []), to: Bridge.Functions

  @doc "As `functions/2`; raises `Bridge.Error`."
  @spec functions!(connection(), options()) :: [FunctionInfo.t()]
  def functions!(connection, options \\ []), do: bang(functions(connection, options))

  @doc "One function with its schemas and an example."
  @spec describe(connection(), String.t(), options()) :: result(FunctionInfo.t())
  defdelegate describe(connection, function, options \\ []), to: Bridge.Functions

  @doc "As `describe/3`; raises `Bridge.Error`."
  @spec describe!(connection(), String.t(), options()) :: FunctionInfo.t()
  def describe!(connection, function, options \\ []), do: bang(describe(connection, function, options))

  @doc """
  The health of the whole server (`""`), of a service such as `"bridge.v1.ModelService"`, or of `"pool/NAME"`:
  `:serving`, `:not_serving` or `:unknown`. A service that the server does not know is an error, `:not_found`.
  """
  @spec health(connection(), String.t(), options()) :: result(:serving | :not_serving | :unknown)
  defdelegate health(connection, service \\ "", options \\ []), to: Bridge.Functions

  @doc "As `health/3`; raises `Bridge.Error`."
  @spec health!(connection(), String.t(), options()) :: :serving | :not_serving | :unknown
  def health!(connection, service \\ "", options \\ []), do: bang(health(connection, service, options))

  @doc """
  Where a call would go and why, with every way that there is and the figures behind it; nothing runs.

      {:ok, %{reason: "declared pooled", alternatives: [%{pool: "general", chosen: true} | _]}} =
        Bridge.explain(MyApp.Bridge, "add", a: 1, b: 2)
  """
  @spec explain(connection(), String.t(), arguments(), options()) :: result(map())
  defdelegate explain(connection, function, arguments \\ %{}, options \\ []), to: Bridge.Functions

  @doc """
  The pools of worker processes: maps with `:name`, `:state` (such as `:ready`), `:cause`, `:size`, `:running`, `:queued`
  and `:functions`. Where keys are on, this needs the role `admin`.
  """
  @spec pools(connection(), options()) :: result([map()])
  defdelegate pools(connection, options \\ []), to: Bridge.Functions

  @doc "As `pools/2`; raises `Bridge.Error`."
  @spec pools!(connection(), options()) :: [map()]
  def pools!(connection, options \\ []), do: bang(pools(connection, options))

  # -- programs

  @doc """
  Runs a DSPy program and returns its outputs, a map with one key (a string) per output field.

      {:ok, %{"queue" => queue}} = Bridge.program(MyApp.Bridge, "triage", ticket: "I was charged twice")

  Options beside those of a call: `:model`, `:adapter` (`:chat`, `:json`, `:xml`, `:two_step`), `:temperature`,
  `:max_tokens`, `:cache` (`false` for a fresh answer), `:version`, and `:tools`: a `Bridge.Tools` process, the name of
  a tool, or a list of these, for the program's agents beside their own.
  """
  @spec program(connection(), String.t(), arguments(), options()) :: result(map())
  defdelegate program(connection, program, inputs \\ %{}, options \\ []), to: Bridge.Programs, as: :run

  @doc "As `program/4`; raises `Bridge.Error`."
  @spec program!(connection(), String.t(), arguments(), options()) :: map()
  def program!(connection, program, inputs \\ %{}, options \\ []),
    do: bang(program(connection, program, inputs, options))

  @doc """
  A stream of a running program's events: `{:ok, event}`, see `t:Bridge.Event.t/0`. The last is `Bridge.Event.Final`.

  Options beside those of `program/4`: `all_events: true` for steps, thoughts, tools and usage too, and
  `resumable: true` for a run that goes on when its stream is lost. The first event of such a run has a
  `resume_token`, which `resume_program/3` takes.
  """
  @spec stream_program(connection(), String.t(), arguments(), options()) :: results(Bridge.Event.t())
  defdelegate stream_program(connection, program, inputs \\ %{}, options \\ []), to: Bridge.Programs, as: :stream

  @doc "As `stream_program/4`, a stream of the events themselves; raises `Bridge.Error`."
  @spec stream_program!(connection(), String.t(), arguments(), options()) :: Enumerable.t(Bridge.Event.t())
  def stream_program!(connection, program, inputs \\ %{}, options \\ []),
    do: bang_stream(stream_program(connection, program, inputs, options))

  @doc """
  Takes up a run that was started with `resumable: true`: the events after number `:after` (default 0, all), and what
  follows.
  """
  @spec resume_program(connection(), String.t(), options()) :: results(Bridge.Event.t())
  defdelegate resume_program(connection, token, options \\ []), to: Bridge.Programs, as: :resume

  @doc "As `resume_program/3`, a stream of the events themselves; raises `Bridge.Error`."
  @spec resume_program!(connection(), String.t(), options()) :: Enumerable.t(Bridge.Event.t())
  def resume_program!(connection, token, options \\ []), do: bang_stream(resume_program(connection, token, options))

  @doc "Ends a resumable run, which leaving its stream does not; `{:ok, true}` where it still ran."
  @spec cancel_program(connection(), String.t(), options()) :: result(boolean())
  defdelegate cancel_program(connection, token, options \\ []), to: Bridge.Programs, as: :cancel

  @doc "All programs, in the order of names, without schemas."
  @spec programs(connection(), options()) :: result([Bridge.ProgramInfo.t()])
  defdelegate programs(connection, options \\ []), to: Bridge.Programs, as: :list

  @doc "One program with its signature, schemas and an example."
  @spec describe_program(connection(), String.t(), options()) :: result(Bridge.ProgramInfo.t())
  defdelegate describe_program(connection, program, options \\ []), to: Bridge.Programs, as: :describe

  # -- language models

  @doc """
  Asks a language model. The conversation is a text, one turn of the user, or a list of turns: maps or keyword lists
  with `:role` (`:system`, `:user`, `:assistant`, `:tool`) and `:content`, and of the assistant `:tool_calls`, of a
  tool `:tool_call_id`.

  Options beside those of a call: `:model`, `:temperature`, `:top_p`, `:max_tokens`, `:stop`, `:seed`, `:cache`,
  `:tools` (maps with `:name`, `:description`, `:parameters`), `:tool_choice` (`:auto`, `:none`, `:required` or a
  tool's name) and `:parallel_tool_calls`.
  """
  @spec generate(connection(), String.t() | [map() | keyword()], options()) :: result(Generation.t())
  defdelegate generate(connection, conversation, options \\ []), to: Bridge.Models

  @doc "As `generate/3`; raises `Bridge.Error`."
  @spec generate!(connection(), String.t() | [map() | keyword()], options()) :: Generation.t()
  def generate!(connection, conversation, options \\ []), do: bang(generate(connection, conversation, options))

  @doc """
  A stream of an answer as it grows: `{:ok, event}` with `Bridge.Event.TextDelta`, `Bridge.Event.ToolCallDelta`, and at
  last the whole answer, a `Bridge.Generation`.
  """
  @spec stream_generate(connection(), String.t() | [map() | keyword()], options()) ::
          results(Bridge.Event.generation())
  defdelegate stream_generate(connection, conversation, options \\ []), to: Bridge.Models

  @doc "As `stream_generate/3`, a stream of the events themselves; raises `Bridge.Error`."
  @spec stream_generate!(connection(), String.t() | [map() | keyword()], options()) ::
          Enumerable.t(Bridge.Event.generation())
  def stream_generate!(connection, conversation, options \\ []),
    do: bang_stream(stream_generate(connection, conversation, options))

  @doc """
  Asks a language model for an answer that fits a JSON Schema (a map), and returns it as a value.

  Options as for `generate/3`, without tools, and `:max_retries`: how often to ask again where an answer does not fit.
  """
  @spec extract(connection(), map(), String.t() | [map() | keyword()], options()) :: result(term())
  defdelegate extract(connection, schema, conversation, options \\ []), to: Bridge.Models

  @doc "As `extract/4`; raises `Bridge.Error`."
  @spec extract!(connection(), map(), String.t() | [map() | keyword()], options()) :: term()
  def extract!(connection, schema, conversation, options \\ []),
    do: bang(extract(connection, schema, conversation, options))

  # -- embeddings and metrics

  @doc "One vector per text. Options beside those of a call: `:model`, and `normalize: false` for vectors as they are."
  @spec embed(connection(), String.t() | [String.t()], options()) :: result(Embeddings.t())
  defdelegate embed(connection, texts, options \\ []), to: Bridge.Texts

  @doc "As `embed/3`; raises `Bridge.Error`."
  @spec embed!(connection(), String.t() | [String.t()], options()) :: Embeddings.t()
  def embed!(connection, texts, options \\ []), do: bang(embed(connection, texts, options))

  @doc """
  Compares each left text with each right one: a row of scores per left text. With `pairwise: true` the first with the
  first and so on. Option `:function`: `:cosine` (default), `:dot`, `:euclidean`, `:manhattan`.
  """
  @spec similarity(connection(), String.t() | [String.t()], String.t() | [String.t()], options()) :: result([[float()]])
  defdelegate similarity(connection, left, right, options \\ []), to: Bridge.Texts

  @doc """
  Scores a prediction against one or more right answers. Option `:parameters`: a map of the metric's own.

      {:ok, score} = Bridge.score(MyApp.Bridge, "bleu", "the cat sat", ["the cat sat down"])
      score.value
  """
  @spec score(connection(), String.t(), String.t(), String.t() | [String.t()], options()) :: result(Bridge.Score.t())
  defdelegate score(connection, metric, prediction, references, options \\ []), to: Bridge.Texts

  @doc "As `score/5`; raises `Bridge.Error`."
  @spec score!(connection(), String.t(), String.t(), String.t() | [String.t()], options()) :: Bridge.Score.t()
  def score!(connection, metric, prediction, references, options \\ []),
    do: bang(score(connection, metric, prediction, references, options))

  @doc "Scores many predictions, each by itself and all together; `references` has one entry per prediction."
  @spec score_batch(connection(), String.t(), [String.t()], [String.t() | [String.t()]], options()) ::
          result(Bridge.BatchScore.t())
  defdelegate score_batch(connection, metric, predictions, references, options \\ []), to: Bridge.Texts

  # -- sessions

  @doc """
  Opens a session. What it returns may stand wherever a connection may: those calls belong to the session.

      {:ok, session} = Bridge.open_session(MyApp.Bridge, ttl: 600_000)
      {:ok, _} = Bridge.call(session, "add", a: 1, b: 2)
      :ok = Bridge.close_session(session)

  Options beside those of a call: `:id`, `:mode` (`:hint`, `:strict`), `:ttl` (milliseconds without a call after which
  it ends) and `ordered: true` for calls that run one after another.
  """
  @spec open_session(connection(), options()) :: result(Session.t())
  defdelegate open_session(connection, options \\ []), to: Bridge.Sessions, as: :open

  @doc "As `open_session/2`; raises `Bridge.Error`."
  @spec open_session!(connection(), options()) :: Session.t()
  def open_session!(connection, options \\ []), do: bang(open_session(connection, options))

  @doc "Ends a session."
  @spec close_session(Session.t(), options()) :: :ok | {:error, Error.t()}
  defdelegate close_session(session, options \\ []), to: Bridge.Sessions, as: :close

  @doc "A session as the server sees it: its workers, its epoch, its calls."
  @spec session_info(Session.t(), options()) :: result(SessionInfo.t())
  defdelegate session_info(session, options \\ []), to: Bridge.Sessions, as: :info

  @doc """
  Opens a session, runs the function with it and closes it, whatever happens. Returns what the function returns, or
  raises `Bridge.Error` where the session can not be opened.

      Bridge.session(MyApp.Bridge, [ttl: 60_000], fn session ->
        Bridge.call!(session, "add", a: 1, b: 2)
      end)
  """
  @spec session(connection(), options(), (Session.t() -> value)) :: value when value: var
  defdelegate session(connection, options \\ [], function), to: Bridge.Sessions, as: :with_session

  @doc """
  A variable of a session, which all workers share: `%{name: name, type: type, value: value, version: version}`.
  """
  @spec variable(Session.t(), String.t(), options()) :: result(Bridge.Variables.variable())
  defdelegate variable(session, name, options \\ []), to: Bridge.Variables, as: :get

  @doc "All variables of a session, in the order of their names."
  @spec variables(Session.t(), options()) :: result([Bridge.Variables.variable()])
  defdelegate variables(session, options \\ []), to: Bridge.Variables, as: :list

  @doc """
  Gives a variable of a session a value, and returns its new version.

  Options beside those of a call: `:expected_version`, which it must have now (0 for "there must be none"), else the
  answer is `"VERSION_MISMATCH"`; `replace_type: true` where the value may be of another type than the old one.
  """
  @spec set_variable(Session.t(), String.t(), term(), options()) :: result(pos_integer())
  defdelegate set_variable(session, name, value, options \\ []), to: Bridge.Variables, as: :set

  @doc "Deletes a variable of a session; option `:expected_version` as in `set_variable/4`."
  @spec delete_variable(Session.t(), String.t(), options()) :: result(pos_integer())
  defdelegate delete_variable(session, name, options \\ []), to: Bridge.Variables, as: :delete

  @doc """
  A stream of what becomes of a session's variables: first `{:snapshot, variables, version}`, then
  `{:change, variable, version}` and `{:deleted, name, version}`, at last `{:ended, reason}`. Give it `timeout: :infinity`
  to watch as long as the session lives. Watching does not keep a session alive.
  """
  @spec watch_variables(Session.t(), options()) :: results(tuple())
  defdelegate watch_variables(session, options \\ []), to: Bridge.Variables, as: :watch

  # -- receipts

  @doc """
  Runs a function and returns what it returns with the receipt of the last call that this process has finished in it,
  failed calls included; `nil` where there was none. A stream's receipt comes with its end.

      {{:ok, 3}, receipt} = Bridge.with_receipt(fn -> Bridge.call(MyApp.Bridge, "add", a: 1, b: 2) end)
      receipt.worker_us
  """
  @spec with_receipt((... -> value)) :: {value, Receipt.t() | nil} when value: var
  def with_receipt(function) do
    {value, receipts} = with_receipts(function)
    {value, List.last(receipts)}
  end

  @doc "As `with_receipt/1`, with the receipts of all calls, in the order in which they ended."
  @spec with_receipts((... -> value)) :: {value, [Receipt.t()]} when value: var
  defdelegate with_receipts(function), to: Bridge.Receipts, as: :collect

  @doc "Bytes for an argument: a plain binary is text, which must be UTF-8."
  @spec bytes(binary()) :: Bridge.Bytes.t()
  defdelegate bytes(data), to: Bridge.Bytes, as: :new

  defp bang({:ok, value}), do: value
  defp bang({:error, error}), do: raise(error)

  defp bang_stream(results), do: Stream.map(results, &bang/1)
end
