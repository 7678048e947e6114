//! Pages to read beside the reference.
//!
//! - [`compile_errors`]: every mistake that the macros find, and the error that it causes.
//! - [`from_tower_sessions`]: how an application with `tower-sessions` and `axum-login` moves here, route by route.
//! - [`from_jwt_extractor`]: how an application with an extractor of its own for JWTs does.
//! - [`operating`]: how to run it: stores, keys, the feed, proxies, upgrades, what to watch.

#[doc = include_str!("guide/compile_errors.md")]
pub mod compile_errors {}

#[doc = include_str!("guide/from_tower_sessions.md")]
pub mod from_tower_sessions {}

#[doc = include_str!("guide/from_jwt_extractor.md")]
pub mod from_jwt_extractor {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}
