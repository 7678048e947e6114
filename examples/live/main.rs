//! A WebSocket and a stream of server-sent events that end with the session, whichever node ends it.
//!
//! ```sh
//! cargo run -p examples --bin live
//! ```
//!
//! The page holds one of each open. Both outlive the access token that they began with, go on after a refresh, and end on a
//! logout: in another tab, or at another copy on the same store:
//!
//! ```sh
//! export SESSION_KEYS=$(openssl rand -base64 32)
//! cargo run -p examples --bin live -- --store sqlite:sessions.db --listen 127.0.0.1:3002 &
//! cargo run -p examples --bin live -- --store sqlite:sessions.db --listen 127.0.0.1:3003
//! ```

mod connections;
mod events;
mod handlers;
mod page;
mod socket;

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use examples::{Place, interrupted, listen_on_loopback};
use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    connections::Connections,
    handlers::{App, ROUTES},
};

/// A page with a WebSocket and a stream of events, which end with its session.
///
/// The demo accounts are `alice` and `bob`, password `demo`.
#[derive(Parser)]
#[command(name = "live")]
struct Options {
    /// Where to listen, a loopback address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3002", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Where sessions are kept; several copies may share any place but `memory`
    ///
    /// As with `home_feed`: `memory`, `sqlite:PATH`, `postgres://…`, `redis://…` and so on. All but `memory` need a secret, the
    /// same one in every copy: SESSION_KEYS=$(openssl rand -base64 32).
    #[arg(long, default_value = "memory", value_name = "STORE")]
    store: Place,

    /// How long an access token lives; an application has an hour
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration, value_name = "TIME")]
    access_lifetime: Duration,

    /// How long a session lives without a refresh
    #[arg(long, default_value = "100days", value_parser = humantime::parse_duration, value_name = "TIME")]
    refresh_lifetime: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = listen_on_loopback(options.listen).await?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let builder = options.store.open().await?;
    let sessions = builder
        .routes(&ROUTES)
        .access_lifetime(options.access_lifetime)
        .refresh_lifetime(options.refresh_lifetime)
        .dangerous_insecure_cookies()
        .build()
        .await?;
    let connections = Connections::default();
    let app = ROUTES.router(App::new(sessions, connections.clone()));

    println!("live listens on http://{}", listener.local_addr()?);
    println!("accounts: alice, bob; password: demo");
    println!("an access token lives {}", humantime::format_duration(options.access_lifetime));
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            interrupted().await;
            connections.end_all().await;
        })
        .await?;
    println!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ROUTES;

    /// A route whose protection changes shows in a review of `routes.txt`; `UPDATE_MANIFEST=1` accepts it.
    #[test]
    fn who_may_call_what_is_as_routes_txt_says() {
        ROUTES.manifest().assert_matches_file("live/routes.txt");
    }
}
