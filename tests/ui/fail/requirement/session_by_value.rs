use session_runtime::{Session, requirement};

#[requirement]
fn anyone(_: Session) -> bool {
    true
}

fn main() {}
