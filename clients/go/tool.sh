#!/bin/sh
# Runs `go` on this package with the grpc-go that is here: sh tool.sh build -o OUT ./conformance
#
# With Debian's golang-google-grpc-dev and golang-google-protobuf-dev it works in GOPATH mode, through a folder of links
# in .cache of the repository: nothing is fetched. GO_CLIENT_MODFILE names a go.mod to use in place of go.mod, such as one
# that points to sources of a current grpc-go. Where neither is here it ends with status 3 and says what is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
module=github.com/polyglot-bridge/polyglot-bridge/clients/go
sources=${GO_CLIENT_SOURCES:-/usr/share/gocode}

missing() {
    echo "$1" >&2
    exit 3
}

command -v "${GO_CLIENT_COMMAND:-go}" >/dev/null || missing "Go is not installed (Debian: apt-get install golang-go)"
if [ -n "${GO_CLIENT_MODFILE:-}" ]; then
    cd "$here"
    verb=$1
    shift
    GO111MODULE=on GOFLAGS="-mod=mod -modfile=$GO_CLIENT_MODFILE" exec "${GO_CLIENT_COMMAND:-go}" "$verb" "$@"
fi
for library in google.golang.org/grpc google.golang.org/protobuf; do
    [ -d "$sources/src/$library" ] ||
        missing "grpc-go is not installed (Debian: apt-get install golang-google-grpc-dev golang-google-protobuf-dev)"
done
path=${GO_CLIENT_PATH:-$here/../../.cache/go}
mkdir -p "$path/src/$(dirname "$module")"
path=$(cd "$path" && pwd)
ln -sfn "$here" "$path/src/$module"
cd "$path/src/$module"
GO111MODULE=off GOPATH="$path:$sources" GOFLAGS='' exec "${GO_CLIENT_COMMAND:-go}" "$@"
