use session_runtime::Session;

async fn handler(_: Session) {}

fn main() {
    let _: axum::Router = axum::Router::new().route("/x", axum::routing::get(handler));
}
