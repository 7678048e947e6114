use session_runtime::protected;

struct Api;

impl Api {
    #[protected(GET "/x")]
    async fn handler(&self) {}
}

fn main() {}
