use session_runtime::public;

#[public(GET "/x", check = store)]
async fn handler() {}

fn main() {}
