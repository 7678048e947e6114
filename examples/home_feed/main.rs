//! The home feed: a server whose handlers say in one attribute what they need, and the whole life of a session over HTTP.
//!
//! ```sh
//! cargo run -p examples --bin home_feed -- --access-lifetime 2s --grace 1s
//! ```
//!
//! It prints the `curl` lines to try, and serves a page that draws what happens. Several copies on one store are one application:
//!
//! ```sh
//! export SESSION_KEYS=$(openssl rand -base64 32)
//! cargo run -p examples --bin home_feed -- --store sqlite:sessions.db --listen 127.0.0.1:3000 &
//! cargo run -p examples --bin home_feed -- --store sqlite:sessions.db --listen 127.0.0.1:3001
//! ```

mod accounts;
mod curl;
mod events;
mod handlers;
mod journal;
mod lab;
mod options;
mod page;

use std::net::SocketAddr;

use clap::Parser as _;
use examples::{interrupted, listen};
use session_runtime::Clock;
use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    handlers::{App, ROUTES},
    options::Options,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    // Before it listens: a request that can't be served yet is refused, and tried elsewhere, rather than kept waiting.
    let builder = options.store.open().await?;
    let listener = listen(&options.listen).await?;
    let address = listener.local_addr()?;
    let secure = options.secure_cookies.unwrap_or(!address.ip().is_loopback());

    let sessions = options.apply(builder, secure).routes(&ROUTES).build().await?;
    let cors = sessions.cors();
    let app = App::new(sessions, Clock::system(), options.pace(address)?);
    let journal = app.journal();

    print!("{}", curl::greeting(address, secure, &options));
    axum::serve(listener, app.router().layer(cors).into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            interrupted().await;
            journal.close();
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
        ROUTES.manifest().assert_matches_file("home_feed/routes.txt");
    }
}
