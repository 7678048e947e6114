//! What the product promises, shown over HTTP: every test sends requests to an application's own router.
//!
//! Time is a set clock and a paused runtime, so nothing sleeps. Tabs, lost answers and thieves are clones of a [`client`].

mod app;
mod client;
mod store;
mod world;

mod bound;
mod cors;
mod faults;
mod guarding;
mod hostile;
mod lifetimes;
mod nodes;
mod promises;
mod replacement;
mod requirements;
mod rotation;
mod secrets;
mod settings;
mod wire;
