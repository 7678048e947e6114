use session_runtime::{Session, protected};

#[protected(GET "/x", require = [owns_post])]
async fn handler(_: Session) {}

async fn owns_post(_: &Session) -> bool {
    true
}

fn main() {}
