#!/usr/bin/env bash
# Runs every test, the slow ones included, and installs what they need when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install_missing.sh

# Debian keeps the server's programs off the `PATH`, and would start a server of its own on installing them.
install_postgresql() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return
    if command -v apt-get >/dev/null; then
        install_missing pg_createcluster postgresql-common
        local root=""
        [ "$(id -u)" = 0 ] || root=sudo
        $root sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    fi
    install_missing initdb "$(command -v dnf >/dev/null && echo postgresql-server || echo postgresql)"
}

step() { printf '\n== %s\n' "$*"; }

# The example's test runs the `curl` lines that the example prints; the cryptographic library is built from C.
install_missing curl curl
install_missing cc gcc
# Tests start servers of their own, and end them with all their processes.
install_missing ps procps
install_missing openssl openssl
install_postgresql
install_missing_server redis-server "$(command -v apt-get >/dev/null && echo redis-server || echo redis)"
# Debian keeps it where only root's `PATH` leads.
PATH="$PATH:/usr/sbin" install_missing_server pgbouncer pgbouncer
# Sets the clocks of the nodes apart.
install_missing faketime "$(command -v apt-get >/dev/null && echo faketime || echo libfaketime)"

step "every test of the workspace, with a reduced model of the rotation and the table of faults in its quick form"
cargo test --workspace --all-features

step "the model of the rotation, explored to exhaustion"
# By its features the workspace is one, so that nothing but the model is built anew.
EXHAUSTIVE=1 cargo test --workspace --all-features --test rotation_model -- --nocapture

step "the official browser SDK, bound clients and the pages of the examples, in Chromium"
tests/browser/run.sh
