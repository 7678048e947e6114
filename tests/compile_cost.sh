#!/usr/bin/env bash
# What the attributes and the table cost at compile time: 500 handlers with `#[protected]` and `routes!` against the same 500
# mounted by hand with axum, each with one extractor more (a `HeaderMap`). Prints the processor time of rustc for the one crate,
# without incremental state, as medians and as ratios; and what a table of twice as many routes adds to the check of its handlers,
# in seconds. With `--assert` it fails where an aim is missed.
#
#   tests/compile_cost.sh [--assert] [handlers] [rounds]
set -euo pipefail
cd "$(dirname "$0")/.."

assert=false
if [ "${1:-}" = --assert ]; then assert=true && shift; fi
handlers=${1:-500} rounds=${2:-5}
root=$PWD/target/compile_cost
mkdir -p "$root"

# crate NAME: a crate in the folder NAME, whose source is on standard input.
crate() {
    mkdir -p "$root/$1/src"
    cat > "$root/$1/Cargo.toml" <<EOF
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = "0.8"
serde = { version = "1", features = ["derive"] }
session-runtime = { path = "$PWD/session-runtime" }

[workspace]
EOF
    cp Cargo.lock "$root/$1/Cargo.lock"
    cat > "$root/$1/src/main.rs"
}

# Handlers as an application has them: a body to read, the state, a path, a few response types.
handler() { # number, first argument
    case $(($1 % 4)) in
        0) echo "async fn h$1($2, State(db): State<Db>) -> Json<Item> { Json(db.item($1)) }" ;;
        1) echo "async fn h$1($2, Path(id): Path<u64>) -> String { format!(\"{id}\") }" ;;
        2) echo "async fn h$1($2, State(db): State<Db>, Json(item): Json<Item>) -> Result<Json<Item>, StatusCode> { db.put(item).map(Json) }" ;;
        3) echo "async fn h$1($2) -> StatusCode { StatusCode::NO_CONTENT }" ;;
    esac
}
path() { if [ $(($1 % 4)) = 1 ]; then echo "/r$1/{id}"; else echo "/r$1"; fi; }
method() { if [ $(($1 % 4)) = 2 ]; then echo POST; else echo GET; fi; }

preamble='use axum::{Json, extract::{FromRef, Path, State}, http::StatusCode};
#[derive(Clone, serde::Serialize, serde::Deserialize)] struct Item { id: u64, name: String }
#[derive(Clone)] struct Db;
impl Db {
    fn item(&self, id: u64) -> Item { Item { id, name: String::new() } }
    fn put(&self, item: Item) -> Result<Item, StatusCode> { Ok(item) }
}'

{
    echo "$preamble"
    echo 'use axum::{Router, http::HeaderMap, routing::{get, post}};'
    echo '#[derive(Clone)] struct App { db: Db }'
    echo 'impl FromRef<App> for Db { fn from_ref(app: &App) -> Self { app.db.clone() } }'
    for i in $(seq "$handlers"); do handler "$i" '_: HeaderMap'; done
    echo 'fn main() { let _: Router = Router::new()'
    for i in $(seq "$handlers"); do
        case $(method "$i") in POST) on=post ;; *) on=get ;; esac
        echo ".route(\"$(path "$i")\", $on(h$i))"
    done
    echo '.with_state(App { db: Db }); }'
} | crate plain

{
    echo "$preamble"
    echo 'use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, routes};'
    echo '#[derive(Clone)] struct App { sessions: Sessions, db: Db }'
    echo 'impl FromRef<App> for Db { fn from_ref(app: &App) -> Self { app.db.clone() } }'
    echo 'impl FromRef<App> for Sessions { fn from_ref(app: &App) -> Self { app.sessions.clone() } }'
    echo '#[refresh_endpoint(POST "/refresh")] async fn refresh() {}'
    for i in $(seq "$handlers"); do
        echo "#[protected($(method "$i") \"$(path "$i")\")]"
        handler "$i" '_: Session'
    done
    echo 'static ROUTES: Routes<App> = routes![refresh,'
    for i in $(seq "$handlers"); do echo "h$i,"; done
    echo '];'
    echo 'fn main() { let _: fn(App) -> axum::Router = |app| ROUTES.router(app); }'
} | crate guarded

# The same twice as many handlers, with their table and without.
many_handlers() {
    echo '#![allow(dead_code)]'
    echo 'use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, routes};'
    echo '#[refresh_endpoint(POST "/refresh")] async fn refresh() {}'
    for i in $(seq $((2 * handlers))); do
        echo "#[protected(GET \"$(path "$i")\")] async fn h$i(_: Session) {}"
    done
}

{
    many_handlers
    echo 'const _: Option<(Routes<()>, Sessions)> = None;'
    echo 'fn main() {}'
} | crate listless

{
    many_handlers
    echo 'static ROUTES: Routes<Sessions> = routes![refresh,'
    for i in $(seq $((2 * handlers))); do echo "h$i,"; done
    echo '];'
    echo 'fn main() { let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions); }'
} | crate listed

export CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$root/target" CARGO_TERM_QUIET=true

# once COMMAND NAME: the processor seconds that cargo takes for the crate alone.
once() {
    touch "$root/$2/src/main.rs"
    local TIMEFORMAT='%U %S'
    { time cargo "$1" --manifest-path "$root/$2/Cargo.toml" >/dev/null 2>"$root/errors" || { cat "$root/errors" >&2; exit 1; }; } 2>&1 |
        awk '{ print $1 + $2 }'
}
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# medians COMMAND NAME NAME: the medians of both, taken in turns.
medians() {
    for name in "$2" "$3"; do once "$1" "$name" >/dev/null; : > "$root/$1-$name"; done
    for _ in $(seq "$rounds"); do
        for name in "$2" "$3"; do once "$1" "$name" >> "$root/$1-$name"; done
    done
    echo "$(median < "$root/$1-$2") $(median < "$root/$1-$3")"
}

failed=false
# judge WHAT FIRST SECOND RESULT UNIT AIM
judge() {
    printf '%-22s %9ss %9ss %8s%s %6s%s\n' "$1" "$2" "$3" "$4" "$5" "$6" "$5"
    if awk "BEGIN { exit !($4 > $6) }"; then failed=true; fi
}

printf '%-22s %10s %10s %9s %7s\n' "$handlers handlers" plain guarded ratio aim
for command in check build; do
    case $command in check) aim=1.25 ;; build) aim=1.35 ;; esac
    read -r plain guarded <<< "$(medians $command plain guarded)"
    judge "$command" "$plain" "$guarded" "$(awk "BEGIN { printf \"%.2f\", $guarded / $plain }")" "" $aim
done

printf '\n%-22s %10s %10s %9s %7s\n' "$((2 * handlers)) routes" unlisted listed table aim
read -r listless listed <<< "$(medians check listless listed)"
judge check "$listless" "$listed" "$(awk "BEGIN { printf \"%.2f\", $listed - $listless }")" s 1
if $assert && $failed; then
    echo "an aim is missed" >&2
    exit 1
fi
