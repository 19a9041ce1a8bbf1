defmodule Bridge.Hosting do
  @moduledoc false
  # One registration of tools as its client has it: the token, what runs, and the last answers, which a stream that has
  # broken may have lost. Pure; answers are whatever the owner sends.

  alias Bridge.{Error, Tool}

  @kept 32

  @enforce_keys [:tools]
  defstruct [:tools, token: "", registration: "", running: %{}, answers: []]

  @type t :: %__MODULE__{
          tools: %{String.t() => Tool.t()},
          token: String.t(),
          registration: String.t(),
          running: %{non_neg_integer() => term()},
          answers: [{non_neg_integer(), term()}]
        }

  @spec new([Tool.t() | module()]) :: t()
  def new(tools) do
    tools = Enum.map(tools, &Tool.of/1)
    names = Enum.map(tools, & &1.name)

    case names -- Enum.uniq(names) do
      [] -> %__MODULE__{tools: Map.new(tools, &{&1.name, &1})}
      [name | _] -> raise ArgumentError, "expected tools of different names, got #{inspect(name)} twice"
    end
  end

  @doc "What a stream begins with: the tools or the token, the calls still worked on, answers that may not have come."
  @spec opening(t()) :: {:register, [Tool.t()]} | {:resume, String.t(), [non_neg_integer()], [term()]}
  def opening(%__MODULE__{token: ""} = hosting), do: {:register, Map.values(hosting.tools)}

  def opening(hosting) do
    answers = Enum.reverse(hosting.answers)

    {:resume, hosting.token, Map.keys(hosting.running) ++ Enum.map(answers, &elem(&1, 0)),
     Enum.map(answers, &elem(&1, 1))}
  end

  @spec registered(t(), String.t(), String.t()) :: t()
  def registered(hosting, registration, token), do: %{hosting | registration: registration, token: token}

  @doc "Takes note of a call that runs; `job` is what its owner knows it by."
  @spec begun(t(), non_neg_integer(), term()) :: t()
  def begun(hosting, id, job), do: put_in(hosting.running[id], job)

  @doc "Takes note of an answer; `:nobody` where nobody waits for it any more."
  @spec answered(t(), non_neg_integer(), term()) :: {:ok, t()} | :nobody
  def answered(%{running: running} = hosting, id, answer) when is_map_key(running, id) do
    {:ok, %{hosting | running: Map.delete(running, id), answers: Enum.take([{id, answer} | hosting.answers], @kept)}}
  end

  def answered(_hosting, _id, _answer), do: :nobody

  @doc "Nobody waits for a call any more: its job, nil where it has ended."
  @spec cancelled(t(), non_neg_integer()) :: {term() | nil, t()}
  def cancelled(hosting, id) do
    {job, running} = Map.pop(hosting.running, id)
    {job, %{hosting | running: running}}
  end

  @doc """
  Whether to open another stream after one has ended, and which jobs nobody waits for any more: where the server has
  forgotten the registration, all of them.
  """
  @spec ended(t(), Error.t() | nil) :: {:again, [term()], t()} | {:stop, [term()], t()}
  def ended(hosting, %Error{reason: "UNKNOWN_TOOL_REGISTRATION"}) do
    {:again, Map.values(hosting.running), %{hosting | token: "", registration: "", running: %{}, answers: []}}
  end

  def ended(hosting, %Error{code: code})
      when code in [
             :invalid_argument,
             :resource_exhausted,
             :aborted,
             :unauthenticated,
             :permission_denied,
             :unimplemented
           ] do
    {:stop, Map.values(hosting.running), %{hosting | running: %{}}}
  end

  def ended(hosting, _error), do: {:again, [], hosting}
end
