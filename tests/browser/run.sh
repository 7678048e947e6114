#!/usr/bin/env bash
# Runs the official browser SDK, and the pages of the examples, in Chromium; installs what that needs when it is missing.
# With arguments, runs those test files only: tests/browser/run.sh tabs.test.js
#
# A test that fails leaves pictures, traces (`npx playwright-core show-trace`) and the server's log in target/browser.
set -euo pipefail
cd "$(dirname "$0")"
. ../install_missing.sh

is_equipped() {
    install_missing "${CHROMIUM:-chromium}" chromium && install_missing node nodejs && install_missing npm npm || return
    if ! node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'; then
        echo "tests/browser/run.sh: Node $(node --version) is too old, 20 or later is needed" >&2
        return 1
    fi
}

if ! is_equipped; then
    [ "${CI:-}" != true ] || exit 1
    echo "tests/browser/run.sh: skipped, for want of the above"
    exit 0
fi

[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund
cargo build --quiet -p examples --bins

[ $# -gt 0 ] || set -- ./*.test.js
# What browsers and their driver leave behind them goes with the folder, however they end.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
node --test --test-concurrency=2 --test-reporter=spec "$@"
