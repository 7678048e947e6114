#!/usr/bin/env bash
# Runs every test, the slow ones included, and installs what they need when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install_missing.sh

step() { printf '\n== %s\n' "$*"; }

# The example's test runs the `curl` lines that the example prints; the cryptographic library is built from C.
install_missing curl curl
install_missing cc gcc

step "every test of the workspace, with a reduced model of the rotation"
cargo test --workspace --all-features

step "the model of the rotation, explored to exhaustion"
cargo test --release -p tests --test rotation_model -- --nocapture

step "the official browser SDK, bound clients and the pages of the examples, in Chromium"
tests/browser/run.sh
