use session_runtime::{Session, requirement};

#[requirement]
fn anyone(_: &Session) {}

fn main() {}
