use session_runtime::{Session, requirement};

#[requirement(async)]
fn anyone(_: &Session) -> bool {
    true
}

fn main() {}
