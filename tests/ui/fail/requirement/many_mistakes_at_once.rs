use session_runtime::requirement;

#[requirement(role)]
fn anyone<T>(_: T) {}

fn main() {}
