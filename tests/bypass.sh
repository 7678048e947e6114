#!/usr/bin/env bash
# A route that is mounted past `routes!` is an error of clippy: in a copy of the example it lets the table through, and
# refuses each of the ways around it that `clippy.toml` lists.
set -euo pipefail
cd "$(dirname "$0")/.."

copy="$PWD/target/bypass"
export CARGO_TARGET_DIR="$PWD/target"

copy_workspace() {
    rm -rf "$copy"
    mkdir -p "$copy"
    local entry
    for entry in *; do
        case "$entry" in
            target) ;;
            examples) cp -R examples "$copy/examples" ;;
            *) ln -s "$PWD/$entry" "$copy/$entry" ;;
        esac
    done
}

clippy() {
    (cd "$copy" && cargo clippy --locked --quiet --package examples --bin home_feed 2>&1)
}

fail() {
    printf 'tests/bypass.sh: %s\n%s\n' "$1" "$2" >&2
    exit 1
}

copy_workspace
output=$(clippy) || fail "clippy refuses the example as it is" "$output"

cat >>"$copy/examples/home_feed/handlers.rs" <<'RUST'

#[allow(dead_code)]
fn bypass(router: axum::Router) -> axum::Router {
    use axum::{Router, routing::get};
    async fn open() {}
    router
        .route("/a", get(open))
        .route_service("/b", get(open))
        .nest("/c", Router::new())
        .nest_service("/d", get(open))
        .merge(Router::new())
        .fallback(open)
        .fallback_service(get(open))
        .method_not_allowed_fallback(open)
}
RUST
if output=$(clippy); then fail "clippy lets a bypass through" "$output"; fi

methods=$(sed -n 's/.*path = "\(axum::Router::[a-z_]*\)".*/\1/p' clippy.toml)
[ -n "$methods" ] || fail "clippy.toml lists no method" ""
for method in $methods; do
    grep -qF "use of a disallowed method \`$method\`" <<<"$output" || fail "clippy lets $method through" "$output"
done
rm -rf "$copy"
echo "clippy refuses all of: ${methods//$'\n'/, }"
