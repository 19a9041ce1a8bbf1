# Runs the Elixir cells of a document one after another, as Livebook does, and compares each with the output that it
# shows, where it shows one. `cells.exs FILE [ADDRESS]`: the address takes the place of 127.0.0.1:50051. A cell that
# installs the client, as a notebook's first does, is left out: the client is there.
[path | address] = System.argv()

text =
  case address do
    [] -> File.read!(path)
    [address] -> String.replace(File.read!(path), "127.0.0.1:50051", address)
  end

cells =
  ~r/^```elixir\n(.*?)^```\n(?:\n<!-- livebook:\{"output":true\} -->\n\n```\n(.*?)^```$)?/ms
  |> Regex.scan(text, capture: :all_but_first)
  |> Enum.reject(&match?(["Mix.install([{:bridge_client," <> _ | _], &1))

Enum.reduce(cells, [], fn cell, binding ->
  {value, binding} = Code.eval_string(hd(cell), binding, file: path)
  shown = inspect(value, pretty: true) <> "\n"

  case cell do
    [_code, ^shown] -> :ok
    [code, other] -> raise "the cell\n#{code}shows #{other}and gives #{shown}"
    [_code] -> :ok
  end

  binding
end)

IO.puts("#{length(cells)} cells")
