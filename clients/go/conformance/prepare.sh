#!/bin/sh
# Makes the conformance runner, ./runner. Ends with status 3, and says what is missing, where it can not be made here.
set -eu
cd "$(dirname "$0")/.."
exec sh tool.sh build -o conformance/runner ./conformance
