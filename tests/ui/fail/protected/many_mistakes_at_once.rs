use session_runtime::{Session, protected};

#[protected(get "users/:id", require, colour = red)]
fn handler(_: Option<Session>) {}

fn main() {}
