//! A crate that documents all that is public.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations, rust_2018_idioms)]

use session_runtime::{Session, protected, public};

/// Shows the feed.
#[protected(GET "/")]
pub async fn home_feed(_: Session) {}

/// Says that all is well.
#[public(GET "/health")]
pub async fn health() {}

fn main() {}
