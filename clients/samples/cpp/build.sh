#!/bin/sh
# Usage: ./build.sh [FOLDER] - generates the stubs from proto/ and compiles the sample into FOLDER (default: build).
# Debian: apt-get install g++ pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../proto
out=${1:-$here/build}
mkdir -p "$out/stubs"

# InvokeService, and the files that it imports.
protos=$(protoc -I "$proto" -o /dev/null --dependency_out=/dev/stdout bridge/v1/invoke.proto |
    tr ' \\' '\n\n' | sed -n 's#^.*/\(bridge/v1/[a-z_]*\.proto\)$#\1#p')

# google/rpc is what errors carry. Debian has its messages for Java and Ruby, not for C++, so they are generated too.
protoc -I "$proto" -I "$here/../../typescript/proto" \
    --cpp_out="$out/stubs" --grpc_out="$out/stubs" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
    $protos google/rpc/status.proto google/rpc/error_details.proto

compile() {
    ${CXX:-g++} -std=c++17 ${CXXFLAGS:--O0} -I "$out/stubs" $(pkg-config --cflags grpc++ protobuf) -c "$1" \
        -o "$out/$(basename "$1").o"
}
for name in $protos google/rpc/status.proto google/rpc/error_details.proto; do
    compile "$out/stubs/${name%.proto}.pb.cc"
done
compile "$out/stubs/bridge/v1/invoke.grpc.pb.cc"
compile "$here/sample.cpp"
${CXX:-g++} "$out"/*.o $(pkg-config --libs grpc++ protobuf) -o "$out/sample"
