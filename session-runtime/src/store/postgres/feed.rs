//! Hearing of ends that others published.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::pin,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::AsyncMessage;

use super::{Failure, PostgresStore, connection::Address};

/// How long to wait before a connection that broke is made anew.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];

/// What wakes who waits for the feed.
pub(super) struct News {
    /// Changes with each piece of news; tells whether the server is listened to, or has to be asked.
    heard: watch::Sender<bool>,
    listener: Option<JoinHandle<()>>,
}

impl News {
    /// News from the server, if an address to listen at is given, and from this process.
    pub(super) fn listening(at: Option<Address>, channel: &str, patience: Duration) -> Self {
        let heard = watch::Sender::new(false);
        let listen = at.map(|address| listen(address, channel.to_owned(), patience, heard.clone()));
        Self { listener: listen.map(tokio::spawn), heard }
    }

    /// Wakes who waits in this process.
    pub(super) fn wake(&self) {
        self.heard.send_modify(|_| {});
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

/// How long to wait for news before asking, where the server is or isn't listened to.
pub(super) fn interval(is_listening: bool) -> Duration {
    if is_listening { PostgresStore::POLL_WHILE_LISTENING } else { PostgresStore::POLL }
}

/// Listens until it is aborted. Whenever a connection is made or lost, whoever waits asks, so that nothing is missed between two.
async fn listen(address: Address, channel: String, patience: Duration, heard: watch::Sender<bool>) {
    let mut failures = 0;
    loop {
        let Err(error) = listen_once(&address, &channel, patience, &heard).await;
        if heard.send_replace(false) {
            failures = 0;
        }
        tracing::warn!(%error, "revocations are asked for, not heard of, until the database can be listened to again");
        sleep(PAUSES[failures.min(PAUSES.len() - 1)]).await;
        failures += 1;
    }
}

async fn listen_once(
    address: &Address,
    channel: &str,
    patience: Duration,
    heard: &watch::Sender<bool>,
) -> Result<Infallible, Failure> {
    let connect = address.config.connect(address.tls.clone());
    let (client, mut connection) = timeout(patience, connect).await.map_err(|_| Failure::NoConnection)??;
    let receive = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => heard.send_modify(|_| {}),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::from(error)),
                None => return Err(Failure::NoConnection),
            }
        }
    };
    let begin = async {
        let listen = format!("LISTEN \"{channel}\"");
        timeout(patience, client.batch_execute(&listen)).await.map_err(|_| Failure::Late)??;
        heard.send_replace(true);
        pending().await
    };
    tokio::select! {
        ended = receive => ended,
        failed = pin!(begin) => failed,
    }
}
