#!/bin/sh
# Usage: ./build.sh [FOLDER] - generates the stubs from proto/ into FOLDER (default: build). Ruby needs no more.
# Debian: apt-get install ruby ruby-grpc ruby-googleapis-common-protos-types protobuf-compiler protobuf-compiler-grpc
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../proto
out=${1:-$here/build}
mkdir -p "$out"
# InvokeService, and the files that it imports.
protos=$(protoc -I "$proto" -o /dev/null --dependency_out=/dev/stdout bridge/v1/invoke.proto |
    tr ' \\' '\n\n' | sed -n 's#^.*/\(bridge/v1/[a-z_]*\.proto\)$#\1#p')

protoc -I "$proto" --ruby_out="$out" --grpc_out="$out" \
    --plugin=protoc-gen-grpc="$(command -v grpc_ruby_plugin)" \
    $protos
