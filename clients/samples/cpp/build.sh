#!/bin/sh
# Usage: ./build.sh [FOLDER] - generates the stubs from proto/ and compiles the sample into FOLDER (default: build).
# Debian: apt-get install g++ pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
mkdir -p "$out/stubs"

# google/rpc is what errors carry. Debian has its messages for Java and Ruby, not for C++, so they are generated too.
protoc -I "$here/../../../proto" -I "$here/../../typescript/proto" \
    --cpp_out="$out/stubs" --grpc_out="$out/stubs" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
    bridge/v1/common.proto bridge/v1/session.proto bridge/v1/invoke.proto \
    google/rpc/status.proto google/rpc/error_details.proto

objects=
for source in "$here/sample.cpp" "$out"/stubs/bridge/v1/common.pb.cc "$out"/stubs/bridge/v1/session.pb.cc \
    "$out"/stubs/bridge/v1/invoke.pb.cc "$out"/stubs/bridge/v1/invoke.grpc.pb.cc "$out"/stubs/google/rpc/*.pb.cc; do
    case $source in */google/rpc/*.grpc.pb.cc) continue ;; esac
    object=$out/$(basename "$source").o
    ${CXX:-g++} -std=c++17 ${CXXFLAGS:--O0} -I "$out/stubs" $(pkg-config --cflags grpc++ protobuf) -c "$source" -o "$object"
    objects="$objects $object"
done
${CXX:-g++} $objects $(pkg-config --libs grpc++ protobuf) -o "$out/sample"
