use session_runtime::{Session, Sessions, requirement};

#[requirement]
async fn anyone(_: &Sessions, _: &Session) -> bool {
    true
}

fn main() {}
