# The conformance runner of the Elixir client: `mix run --no-compile conformance/runner.exs`. It reads a case per line
# on stdin and answers on stdout; clients/conformance/README.md has the protocol.

for name <- ~w(values hosted steps case), do: Code.require_file("#{name}.exs", __DIR__)

# Standard output belongs to the protocol, and both streams are bytes: lines are UTF-8 already.
:logger.remove_handler(:default)
:ok = :logger.add_handler(:stderr, :logger_std_h, %{level: :warning, config: %{type: :standard_error}})
:ok = :io.setopts(:standard_io, binary: true, encoding: :latin1)

Conformance.Case.serve()
