use session_runtime::{Session, requirement};

#[requirement]
async fn anyone(_: &Session) -> String {
    String::new()
}

fn main() {}
