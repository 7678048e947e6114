//! The command line.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use examples::Place;
use session_runtime::{BeyondLimit, CsrfMode, SessionsBuilder, Transport};

use crate::handlers::Pace;

/// A server with protected routes, and the sessions behind them.
///
/// The demo accounts are `alice` and `bob`, password `demo`; `bob` is an admin.
#[derive(Parser)]
#[command(name = "home_feed")]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub(crate) listen: String,

    /// Where sessions are kept; several copies may share any place but `memory`
    ///
    /// One of `memory`, `sqlite:PATH`, `postgres://…`, `redis://…`, `rediss://…` and `redis-cluster://HOST:PORT,…`. All but
    /// `memory` need a secret that outlives the process, the same one in every copy: SESSION_KEYS=$(openssl rand -base64 32).
    /// A password in a URL is never logged, but the machine's other users can see it in its list of processes.
    #[arg(long, default_value = "memory", value_name = "STORE")]
    pub(crate) store: Place,

    /// How long an access token lives, such as `2s` or `1h`; an application has an hour
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) access_lifetime: Duration,

    /// How long a session lives without a refresh
    #[arg(long, default_value = "100days", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) refresh_lifetime: Duration,

    /// How long a session lives at most, refreshed or not [default: for ever]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) absolute_lifetime: Option<Duration>,

    /// The longest that a message of an honest client is under way; an application has 10 s
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) grace: Duration,

    /// The status of "your session has expired"
    #[arg(long, default_value_t = 401, value_name = "STATUS")]
    pub(crate) expired_status: u16,

    /// How cross-site requests are told apart
    #[arg(long, value_enum, default_value_t = Csrf::FetchMetadata)]
    pub(crate) csrf: Csrf,

    /// How tokens travel, unless the client asks otherwise
    #[arg(long, value_enum, default_value_t = Travel::Cookie)]
    pub(crate) transport: Travel,

    /// Another origin whose pages may use the session, such as `https://app.example.com`; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,

    /// The domain of the cookies, whose hosts all get them; cookies of this host alone, from before, are removed
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) cookie_domain: Option<String>,

    /// How many sessions a user may have; the oldest makes room [default: as many as they like]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_sessions: Option<u32>,

    /// Whether cookies travel over HTTPS only [default: true, but false on a loopback address]
    #[arg(long, value_name = "BOOL")]
    pub(crate) secure_cookies: Option<bool>,

    /// Whether the page may lose answers and steal tokens; never to be reached by others [default: on a loopback address]
    #[arg(long, value_name = "BOOL")]
    pub(crate) lab: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Csrf {
    /// By the `Sec-Fetch-Site` and `Origin` that browsers send
    FetchMetadata,
    /// By a `rid` header, which forms can't send
    CustomHeader,
    /// By an `anti-csrf` token
    Token,
    /// Not at all
    None,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Travel {
    /// In HttpOnly cookies
    Cookie,
    /// In `Authorization` and `st-…` headers
    Header,
}

impl Options {
    /// The settings of the session system.
    pub(crate) fn apply(&self, builder: SessionsBuilder, secure: bool) -> SessionsBuilder {
        let mut builder = builder
            .access_lifetime(self.access_lifetime)
            .refresh_lifetime(self.refresh_lifetime)
            .grace(self.grace)
            .expired_status(self.expired_status)
            .allowed_origins(&self.allow_origin)
            .csrf(match self.csrf {
                Csrf::FetchMetadata => CsrfMode::FetchMetadata,
                Csrf::CustomHeader => CsrfMode::CustomHeader,
                Csrf::Token => CsrfMode::Token,
                Csrf::None => CsrfMode::None,
            })
            .transport(match self.transport {
                Travel::Cookie => Transport::Cookie,
                Travel::Header => Transport::Header,
            });
        if let Some(lifetime) = self.absolute_lifetime {
            builder = builder.absolute_lifetime(lifetime);
        }
        if let Some(domain) = &self.cookie_domain {
            builder = builder.cookie_domain(domain).older_cookie_domains([None::<String>]);
        }
        if let Some(max) = self.max_sessions {
            builder = builder.max_sessions_per_user(max, BeyondLimit::EvictOldest);
        }
        if secure { builder } else { builder.dangerous_insecure_cookies() }
    }

    /// What the page has to know of the settings.
    ///
    /// # Errors
    ///
    /// If the laboratory, which gives tokens away, would be open to other machines.
    pub(crate) fn pace(&self, address: SocketAddr) -> anyhow::Result<Pace> {
        let is_loopback = address.ip().is_loopback();
        let lab = self.lab.unwrap_or(is_loopback);
        ensure!(is_loopback || !lab, "`--lab true` needs a loopback address; it gives tokens away");
        Ok(Pace { access_lifetime: self.access_lifetime, grace: self.grace, lab })
    }
}
