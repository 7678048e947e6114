use session_runtime::requirement;

#[requirement]
struct Anyone;

fn main() {}
