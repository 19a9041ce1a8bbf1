# Runs the cells of a notebook one after another, as Livebook does, and compares each with the output that it shows.
# Its first cell installs the client, which is there already; that it does is checked by its text alone.
[path] = System.argv()

cells =
  Regex.scan(
    ~r/^```elixir\n(.*?)^```\n(?:\n<!-- livebook:\{"output":true\} -->\n\n```\n(.*?)^```$)?/ms,
    File.read!(path),
    capture: :all_but_first
  )

[[setup] | cells] = cells
"Mix.install([{:bridge_client," <> _ = setup

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
