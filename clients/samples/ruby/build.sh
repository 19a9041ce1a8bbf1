#!/bin/sh
# Usage: ./build.sh [FOLDER] - generates the stubs from proto/ into FOLDER (default: build). Ruby needs no more.
# Debian: apt-get install ruby ruby-grpc ruby-googleapis-common-protos-types protobuf-compiler protobuf-compiler-grpc
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
mkdir -p "$out"
protoc -I "$here/../../../proto" --ruby_out="$out" --grpc_out="$out" \
    --plugin=protoc-gen-grpc="$(command -v grpc_ruby_plugin)" \
    bridge/v1/common.proto bridge/v1/session.proto bridge/v1/invoke.proto
