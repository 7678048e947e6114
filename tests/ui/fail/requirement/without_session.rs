use session_runtime::requirement;

#[requirement]
fn anyone() -> bool {
    true
}

fn main() {}
