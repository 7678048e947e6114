//! What the programs share.

mod store;

pub use store::Place;

/// Waits for Ctrl-C. Where it can't be listened for, the process is ended the usual way.
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
