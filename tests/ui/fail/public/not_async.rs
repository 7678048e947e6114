use session_runtime::public;

#[public(GET "/x")]
fn handler() {}

fn main() {}
