use session_runtime::{Session, requirement};

struct Db;

impl Db {
    #[requirement]
    fn anyone(&self, _: &Session) -> bool {
        true
    }
}

fn main() {}
