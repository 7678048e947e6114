use session_runtime::requirement;

struct Db;

#[requirement]
async fn anyone(_: &Db) -> bool {
    true
}

fn main() {}
