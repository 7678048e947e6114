use serde::{Deserialize, Serialize};
use session_runtime::{Claim, Session, protected};

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Tier {
    Free,
    Paid,
}

struct Plan;

impl Claim for Plan {
    const KEY: &'static str = "plan";
    type Value = Tier;
}

#[protected(GET "/x", require = [Plan.is("paid")])]
async fn handler(_: Session) {}

fn main() {}
