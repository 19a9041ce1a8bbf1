defmodule Bridge.ServerOutput do
  @moduledoc false
  # What a server that `Bridge.Server` has started writes, as lines of Logger: its own lines are JSON, with a level and a
  # message; anything else (a print, a traceback) is taken as it is.

  require Logger

  alias Bridge.JSON

  @levels %{
    "debug" => :debug,
    "info" => :info,
    "warning" => :warning,
    "error" => :error,
    "critical" => :critical
  }

  @type output :: :log | :silent | (String.t() -> term())

  @doc "Writes one line. Texts that are no UTF-8 come out with replacement characters."
  @spec write(binary(), output(), atom()) :: :ok
  def write("", _output, _name), do: :ok
  def write(_line, :silent, _name), do: :ok

  def write(line, :log, name) do
    {level, message} = read(line)
    Logger.log(level, fn -> "bridge server#{label(name)}: #{message}" end)
  end

  def write(line, output, _name) when is_function(output, 1) do
    output.(line)
    :ok
  end

  @doc "How a server is told from others in a line."
  @spec label(term()) :: String.t()
  def label(nil), do: ""
  def label(name), do: " #{inspect(name)}"

  @doc "The level and the text of a line."
  @spec read(binary()) :: {Logger.level(), String.t()}
  def read("{" <> _ = line) do
    case JSON.decode(line) do
      {:ok, %{"level" => level, "message" => message} = entry} when is_binary(message) ->
        {Map.get(@levels, level, :info), Enum.join([message | others(entry)], " ")}

      {:ok, %{"error" => %{"message" => message}}} when is_binary(message) ->
        {:error, message}

      _ ->
        {:info, line}
    end
  end

  def read(line), do: {:info, valid(line)}

  defp others(entry) do
    for {key, value} <- Enum.sort(Map.drop(entry, ["level", "message", "time", "timestamp", "logger"])) do
      "#{key}=#{if is_binary(value), do: value, else: JSON.encode(value)}"
    end
  end

  defp valid(line) do
    if String.valid?(line),
      do: line,
      else: for(<<byte <- line>>, into: "", do: if(byte < 128, do: <<byte>>, else: "\uFFFD"))
  end
end
