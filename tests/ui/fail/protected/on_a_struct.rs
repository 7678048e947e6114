use session_runtime::protected;

#[protected(GET "/x")]
struct Handler;

fn main() {}
