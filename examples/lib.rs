//! What the programs share.

mod store;

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::net::TcpListener;

pub use store::Place;

/// Listens on an address, `HOST:PORT`.
///
/// # Errors
///
/// If it can't; the message says by which option to choose another.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("can't listen on {address}; choose another address with --listen"))
}

/// Listens on an address that no other machine can reach: cookies are sent unencrypted.
///
/// # Errors
///
/// As [`listen`], and if others can reach it.
pub async fn listen_on_loopback(address: SocketAddr) -> anyhow::Result<TcpListener> {
    ensure!(
        address.ip().is_loopback(),
        "this program's cookies travel unencrypted: it listens on loopback only"
    );
    listen(&address.to_string()).await
}

/// Waits for Ctrl-C. Where it can't be listened for, the process is ended the usual way.
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
