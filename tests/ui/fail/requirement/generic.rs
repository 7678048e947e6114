use session_runtime::{Session, requirement};

#[requirement]
fn anyone<T>(_: &Session) -> bool {
    true
}

fn main() {}
