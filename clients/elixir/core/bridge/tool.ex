defmodule Bridge.Tool do
  @moduledoc """
  A function for agents on the server to call; `Bridge.Tools` hosts them.

      Bridge.Tool.new("weather",
        description: "The weather of a city today.",
        schema: %{type: "object", properties: %{city: %{type: "string"}}, required: ["city"]},
        function: fn %{"city" => city} -> Weather.today(city) end
      )

  Or as a module:

      defmodule MyApp.WeatherTool do
        use Bridge.Tool,
          name: "weather",
          description: "The weather of a city today.",
          schema: %{type: "object", properties: %{city: %{type: "string"}}, required: ["city"]}

        @impl true
        def call(%{"city" => city}, _call), do: {:ok, Weather.today(city)}
      end

  The function gets the arguments, a map that fits the schema, and where it takes two also the `Bridge.Tool.Call`. It
  returns a value, or `{:ok, value}`, or `{:error, reason}`; a failure, an exception among them, is told to the model
  or, with `on_error: :abort`, ends the run. Each call runs in a process of its own, which is ended when nobody waits
  for it any more.

  ## Options

    * `:function` - of one or two arguments; required, but for modules
    * `:description` - what it does and when to use it, for the model
    * `:schema` - JSON Schema of the arguments, an object; none for a tool without arguments
    * `:on_error` - `:observe` (the default) or `:abort`
    * `:timeout` - milliseconds that a call may take, its wait for its turn included
    * `:max_concurrent` - calls that may run at a time
    * `:idempotent` - `true` where a call may run twice, so that it is sent again where a connection has broken
  """

  alias Bridge.Tool.Call

  @enforce_keys [:name, :function]
  defstruct [
    :name,
    :function,
    description: "",
    schema: nil,
    on_error: :observe,
    timeout: nil,
    max_concurrent: 0,
    idempotent: false
  ]

  @type t :: %__MODULE__{
          name: String.t(),
          function: (map() -> term()) | (map(), Call.t() -> term()),
          description: String.t(),
          schema: map() | nil,
          on_error: :observe | :abort,
          timeout: pos_integer() | nil,
          max_concurrent: non_neg_integer(),
          idempotent: boolean()
        }

  @doc "Answers a call of the tool."
  @callback call(arguments :: map(), call :: Call.t()) :: term()

  @doc "What the server is told of the tool; `use Bridge.Tool` defines it."
  @callback tool() :: t()

  @doc false
  defmacro __using__(options) do
    quote do
      @behaviour Bridge.Tool

      @impl Bridge.Tool
      def tool do
        {name, options} = Keyword.pop!(unquote(options), :name)
        Bridge.Tool.new(name, Keyword.put(options, :function, &__MODULE__.call/2))
      end
    end
  end

  @doc "A tool; see the options above. Raises `ArgumentError`."
  @spec new(String.t(), keyword()) :: t()
  def new(name, options) do
    unless is_binary(name) and name =~ ~r/\A[A-Za-z0-9_-]{1,64}\z/ do
      raise ArgumentError, "expected a tool's name of 1 to 64 letters, digits, '_' and '-', got #{inspect(name)}"
    end

    tool = struct!(__MODULE__, Keyword.put(options, :name, name))
    Enum.each([:function, :schema, :on_error, :timeout, :max_concurrent], &check(&1, Map.fetch!(tool, &1), name))
    tool
  end

  @doc "A tool as it is, or that of a module."
  @spec of(t() | module()) :: t()
  def of(%__MODULE__{} = tool), do: tool

  def of(module) when is_atom(module) do
    if Code.ensure_loaded?(module) and function_exported?(module, :tool, 0) do
      module.tool()
    else
      raise ArgumentError, "expected a Bridge.Tool or a module that uses it, got #{inspect(module)}"
    end
  end

  def of(other), do: raise(ArgumentError, "expected a Bridge.Tool or a module that uses it, got #{inspect(other)}")

  defp check(:function, function, _name) when is_function(function, 1) or is_function(function, 2), do: :ok
  defp check(:function, _, name), do: refuse(name, "function: of one or two arguments")
  defp check(:schema, schema, _name) when is_nil(schema) or is_map(schema), do: :ok
  defp check(:schema, _, name), do: refuse(name, "schema: a JSON Schema, as a map")
  defp check(:on_error, policy, _name) when policy in [:observe, :abort], do: :ok
  defp check(:on_error, _, name), do: refuse(name, "on_error: :observe or :abort")
  defp check(:timeout, ms, _name) when is_nil(ms) or (is_integer(ms) and ms > 0), do: :ok
  defp check(:timeout, _, name), do: refuse(name, "timeout: milliseconds of more than 0")
  defp check(:max_concurrent, n, _name) when is_integer(n) and n >= 0, do: :ok
  defp check(:max_concurrent, _, name), do: refuse(name, "max_concurrent: a number from 0")

  defp refuse(name, expected), do: raise(ArgumentError, "expected of the tool #{inspect(name)} #{expected}")

  @doc """
  Runs a tool on arguments as JSON, in the process of its own that it has; the outcome is for the server.

      iex> tool = Bridge.Tool.new("add", function: fn %{"a" => a, "b" => b} -> a + b end)
      iex> Bridge.Tool.run(tool, %Bridge.Tool.Call{id: 1, tool: "add", arguments: ~s({"a": 1, "b": 2})})
      {:result, {:json, "3"}}
  """
  @spec run(t(), Call.t()) :: {:result, {:json | :text, String.t()}} | {:error, type :: String.t(), String.t()}
  def run(%__MODULE__{function: function}, %Call{} = call) do
    arguments = Bridge.JSON.decode!(if call.arguments == "", do: "{}", else: call.arguments)
    outcome(if is_function(function, 1), do: function.(arguments), else: function.(arguments, call))
  rescue
    error -> {:error, inspect(error.__struct__), told(Exception.message(error))}
  catch
    :exit, reason -> {:error, "exit", told(Exception.format_exit(reason))}
    thrown -> {:error, "throw", told(inspect(thrown))}
  end

  defp outcome({:ok, value}), do: outcome_of(value)
  defp outcome(:error), do: {:error, "error", "the tool failed"}

  defp outcome({:error, %{__exception__: true} = error}),
    do: {:error, inspect(error.__struct__), told(Exception.message(error))}

  defp outcome({:error, reason}) when is_binary(reason), do: {:error, "error", told(reason)}
  defp outcome({:error, reason}), do: {:error, "error", told(inspect(reason))}
  defp outcome(value), do: outcome_of(value)

  defp outcome_of(value) when is_binary(value) do
    if String.valid?(value),
      do: {:result, {:text, value}},
      else: {:result, {:json, Bridge.JSON.encode(Bridge.Bytes.new(value))}}
  end

  defp outcome_of(value), do: {:result, {:json, Bridge.JSON.encode(value)}}

  # As much as a model can use.
  defp told(text), do: String.slice(text, 0, 2000)
end
