use session_runtime::{Session, requirement};

#[requirement]
async fn anyone(_: &Session) -> Result<bool, std::fmt::Error> {
    Ok(true)
}

fn main() {}
