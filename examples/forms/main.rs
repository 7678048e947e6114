//! Pages that are rendered on the server: HTML forms, redirects, and no script but one, which renews a session that expired.
//!
//! ```sh
//! cargo run -p examples --bin forms
//! ```
//!
//! A browser that opens a page can't refresh by itself: its refresh cookie goes to one path only, and only by `POST`. So a page
//! that refuses an expired token redirects to `/session/renew`, whose script refreshes and goes back to where the browser came
//! from. Without a session it redirects to the login, which leads back just the same.

mod handlers;
mod local_path;
mod pages;

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use examples::listen_on_loopback;
use session_runtime::{MemoryStore, Sessions};

use crate::handlers::{App, ROUTES};

/// A notebook of HTML forms, on the memory store.
///
/// The demo accounts are `alice` and `bob`, password `demo`.
#[derive(Parser)]
#[command(name = "forms")]
struct Options {
    /// Where to listen, a loopback address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// How long an access token lives; an application has an hour
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration, value_name = "TIME")]
    access_lifetime: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = listen_on_loopback(options.listen).await?;
    let sessions = Sessions::builder(MemoryStore::new())
        .routes(&ROUTES)
        .access_lifetime(options.access_lifetime)
        .dangerous_insecure_cookies()
        .build()
        .await?;
    let app = ROUTES.router(App::new(sessions));

    println!("forms listens on http://{}", listener.local_addr()?);
    println!("accounts: alice, bob; password: demo");
    println!("an access token lives {}", humantime::format_duration(options.access_lifetime));
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ROUTES;

    /// A route whose protection changes shows in a review of `routes.txt`; `UPDATE_MANIFEST=1` accepts it.
    #[test]
    fn who_may_call_what_is_as_routes_txt_says() {
        ROUTES.manifest().assert_matches_file("forms/routes.txt");
    }
}
