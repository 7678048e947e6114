use session_runtime::public;

#[public(GET "x")]
async fn handler() {}

fn main() {}
