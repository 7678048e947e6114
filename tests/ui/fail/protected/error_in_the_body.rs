use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(session: Session) -> String {
    let name: u8 = session.user_id();
    name.to_string()
}

fn main() {}
