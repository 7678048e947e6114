#!/usr/bin/env bash
# How fast the stores are, as ratios to what their servers and files can do, in some eight minutes: refreshes a second, the way of
# a revocation to another node, stores of 10⁴ to 10⁶ sessions, protected routes while the store is down. Private servers are
# started for it; the machine should have nothing else to do. With `--assert` it fails where an aim is missed, `--quick` only shows
# that everything runs, and names measure these tables alone.
#
#   tests/speed.sh [--assert] [--quick] [refresh] [revocation] [growth] [outage]
set -euo pipefail
cd "$(dirname "$0")/.."

for program in redis-server redis-cli redis-benchmark; do
    command -v "$program" >/dev/null || { echo "$program is missing; tests/all.sh installs it" >&2; exit 1; }
done
# A server that is missing is an error, not a table that is shorter.
CI=true cargo bench --quiet -p tests --bench speed -- "$@"
