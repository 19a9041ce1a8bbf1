#!/bin/sh
# Makes what the runner needs: the client's packages, once, and its build. Ends with 3 where npm can not install.
set -u
cd "$(dirname "$0")/.."
if [ ! -f node_modules/.package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || {
        echo "npm could not install the client's packages (npm ci in clients/typescript)"
        exit 3
    }
fi
exec npm run --silent build
