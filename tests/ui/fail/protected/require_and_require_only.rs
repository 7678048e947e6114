use session_runtime::{Session, protected};

#[protected(GET "/x", require = [a()], require_only = [b()])]
async fn handler(_: Session) {}

fn a() -> session_runtime::Requirement {
    session_runtime::all([])
}

fn b() -> session_runtime::Requirement {
    session_runtime::all([])
}

fn main() {}
