use session_runtime::{Claim, Session, protected};

struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

struct Plan;

impl Claim for Plan {
    const KEY: &'static str = "plan";
    type Value = String;
}

#[protected(GET "/x", require = [Role])]
async fn handler(_: Session) {}

fn main() {}
