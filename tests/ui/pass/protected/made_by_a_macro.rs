#![deny(warnings)]
// What a `macro_rules!` passes on comes in invisible groups.
use axum::{Router, routing::get};
use session_runtime::{Session, Sessions, protected, requirement};

macro_rules! handlers {
    ($($name:ident($first:ty) -> $answer:ty $body:block)*) => {
        $(
            #[protected(GET "/made")]
            async fn $name(_: $first) -> $answer $body
        )*
    };
}

macro_rules! requirement {
    ($name:ident($first:ty) $body:block) => {
        #[requirement]
        fn $name(_: $first) -> bool $body

        #[protected(GET "/asking", require = [$name])]
        async fn asking(_: Session) {}
    };
}

requirement!(anyone(&Session) { true });

handlers! {
    one(Session) -> &'static str { "one" }
    two(Session) -> String { "two".to_owned() }
}

fn main() {
    let _ = Router::<Sessions>::new().route("/one", get(one)).route("/two", get(two)).route("/asking", get(asking));
}
