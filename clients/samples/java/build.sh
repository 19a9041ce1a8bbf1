#!/bin/sh
# Usage: ./build.sh [FOLDER] - generates the stubs from proto/, compiles the sample into FOLDER (default: build) and
# writes FOLDER/sample, which runs it.
# Debian: apt-get install default-jdk-headless libgrpc-java libprotobuf-java libnetty-java libperfmark-java \
#     libguava-java libjsr305-java libgeronimo-annotation-1.3-spec-java \
#     protobuf-compiler protobuf-compiler-grpc-java-plugin
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../proto
out=${1:-$here/build}
jars=${JARS:-/usr/share/java}
mkdir -p "$out/stubs" "$out/classes"

# InvokeService, and the files that it imports.
protos=$(protoc -I "$proto" -o /dev/null --dependency_out=/dev/stdout bridge/v1/invoke.proto |
    tr ' \\' '\n\n' | sed -n 's#^.*/\(bridge/v1/[a-z_]*\.proto\)$#\1#p')

# google/rpc is what errors carry. Debian's package of its messages is too old for ErrorInfo, so they are generated too.
protoc -I "$proto" -I "$here/../../typescript/proto" \
    --java_out="$out/stubs" --grpc_out="$out/stubs" --plugin=protoc-gen-grpc="$(command -v grpc_java_plugin)" \
    $protos google/rpc/status.proto google/rpc/error_details.proto

path=
for name in grpc-api grpc-context grpc-core grpc-netty grpc-protobuf grpc-protobuf-lite grpc-stub guava jsr305 protobuf \
    geronimo-annotation-1.3-spec perfmark-api netty-buffer netty-codec netty-codec-http netty-codec-http2 netty-common \
    netty-handler netty-handler-proxy netty-resolver netty-transport netty-transport-native-unix-common; do
    if [ ! -e "$jars/$name.jar" ]; then
        echo "$jars/$name.jar is missing; the packages are named at the top of $0" >&2
        exit 1
    fi
    path=$path:$jars/$name.jar
done
javac -nowarn -d "$out/classes" -cp "${path#:}" $(find "$out/stubs" -name '*.java') "$here/Sample.java"
cat > "$out/sample" <<END
#!/bin/sh
exec java -cp "\$(dirname "\$0")/classes$path" Sample "\$@"
END
chmod +x "$out/sample"
