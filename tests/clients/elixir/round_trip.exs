# Reads lines of "MODULE BASE64" on stdin, decodes each message and answers with what it encodes to.
for line <- IO.stream(:stdio, :line) do
  [name, data] = line |> String.trim_trailing("\n") |> String.split(" ")
  module = Module.concat([name])
  data |> Base.decode64!() |> module.decode() |> module.encode() |> Base.encode64() |> IO.puts()
end
