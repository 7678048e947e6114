use session_runtime::{Session, any, protected, requirement};

#[requirement]
fn is_alice(session: &Session) -> bool {
    session.user_id() == "alice"
}

#[protected(GET "/x", require = [any([is_alice])])]
async fn handler(_: Session) {}

fn main() {}
