#!/bin/sh
# Compiles the client. Status 3 says that something is missing, which the last line of output names.
set -eu
cd "$(dirname "$0")/.."

missing() {
    echo "$1"
    exit 3
}

command -v mix >/dev/null || missing "Elixir 1.15 or newer"
version=$(elixir -e 'IO.write(System.version())')
elixir -e 'unless Version.match?(System.version(), "~> 1.15"), do: System.halt(1)' ||
    missing "Elixir 1.15 or newer (this is $version)"
if [ -z "${BRIDGE_ELIXIR_DEPS-}" ] && [ ! -d deps/grpc ]; then
    missing "the packages: run \`mix deps.get\` in clients/elixir, or set BRIDGE_ELIXIR_DEPS to a folder of their sources"
fi
exec mix compile
