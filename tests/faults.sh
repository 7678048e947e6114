#!/usr/bin/env bash
# The table of faults in its long form: each cell is struck twenty times. Takes an hour or two. Arguments are passed on, such
# as `postgres::` for one store or `process_killed` for one fault.
set -euo pipefail
cd "$(dirname "$0")/.."

FAULTS=long cargo test -p tests --test faults -- "$@"
FAULTS=long cargo test -p examples --test home_feed_kills -- --nocapture
