use session_runtime::{Session, requirement};

#[requirement]
fn anyone(_: &mut Session) -> bool {
    true
}

fn main() {}
