use session_runtime::{RefusedRequest, Session, protected};

#[protected(GET "/x", on_refused = note_down)]
async fn handler(_: Session) {}

async fn note_down(_: RefusedRequest) {}

fn main() {}
