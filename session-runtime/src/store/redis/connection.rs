//! The way to the servers: made when it is needed, and made anew when it broke.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
    sentinel::SentinelClient,
};
use tokio::{sync, time::timeout};

use super::scripts::Call;
use crate::error::StoreError;

/// One connection that all operations share, or for a cluster one for each node.
///
/// Requests and answers are matched by the client library, so a caller that goes away leaves no answer for the next one.
pub(super) struct Link {
    dialer: Dialer,
    servers: Arc<str>,
    open: Mutex<Open>,
    dialing: sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    wire: Option<Wire>,
    /// Counts the connections, so that what broke is not taken for what was made since.
    number: u64,
}

/// How connections are made.
pub(super) enum Dialer {
    Server(Client, Timeouts),
    Sentinel(Box<sync::Mutex<SentinelClient>>, Timeouts),
    Cluster(ClusterClient, Timeouts),
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

#[derive(Clone)]
enum Wire {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) fn new(dialer: Dialer, servers: Arc<str>) -> Self {
        Self { dialer, servers, open: Mutex::default(), dialing: sync::Mutex::default() }
    }

    /// Runs a script, and teaches it to a server that does not know it: one that was started anew, or took over.
    pub(super) async fn call(&self, call: Call) -> Result<Vec<Value>, StoreError> {
        let answer = match self.run(&call.by_name()).await {
            Err(error) if is_unknown_script(&error) => self.run(&call.by_text()).await,
            other => other,
        };
        match answer.map_err(|error| self.failed(error))? {
            Value::Array(values) => Ok(values),
            _ => Err(unexpected()),
        }
    }

    /// Runs a command.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.run(command).await.map_err(|error| self.failed(error))
    }

    /// Every operation can be repeated, so one that met a connection which had broken meanwhile is.
    async fn run(&self, command: &Cmd) -> Result<Value, RedisError> {
        match self.run_once(command).await {
            Err(error) if error.is_connection_dropped() && !error.is_connection_refusal() => {
                self.run_once(command).await
            }
            other => other,
        }
    }

    async fn run_once(&self, command: &Cmd) -> Result<Value, RedisError> {
        let (mut wire, number) = self.wire().await?;
        let answer = wire.run(command).await;
        if let Err(error) = &answer
            && is_over(error)
        {
            self.drop_wire(number);
        }
        answer
    }

    async fn wire(&self) -> Result<(Wire, u64), RedisError> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        // One dials, the others wait for what comes of it.
        let _dialing = self.dialing.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let wire = self.dialer.dial().await?;
        let mut open = self.lock();
        open.number += 1;
        open.wire = Some(wire.clone());
        Ok((wire, open.number))
    }

    fn opened(&self) -> Option<(Wire, u64)> {
        let open = self.lock();
        open.wire.clone().map(|wire| (wire, open.number))
    }

    fn drop_wire(&self, number: u64) {
        let mut open = self.lock();
        if open.number == number {
            open.wire = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, cause: RedisError) -> StoreError {
        StoreError::new(Failed { servers: Arc::clone(&self.servers), cause })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Dialer {
    async fn dial(&self) -> Result<Wire, RedisError> {
        let patience = self.timeouts().connect;
        let dialed = timeout(patience, async {
            match self {
                Self::Server(client, timeouts) => {
                    let config = timeouts.of_a_server();
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Wire::Server)
                }
                Self::Sentinel(client, timeouts) => {
                    let config = timeouts.of_a_server();
                    let mut client = client.lock().await;
                    client.get_async_connection_with_config(&config).await.map(Wire::Server)
                }
                Self::Cluster(client, _) => client.get_async_connection().await.map(Wire::Cluster),
            }
        });
        dialed.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    fn timeouts(&self) -> Timeouts {
        match self {
            Self::Server(_, timeouts) | Self::Sentinel(_, timeouts) | Self::Cluster(_, timeouts) => *timeouts,
        }
    }
}

impl Timeouts {
    /// How many requests may wait to be written before who makes one has to wait.
    const QUEUE: usize = 1024;

    fn of_a_server(self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.response))
            .set_pipeline_buffer_size(Self::QUEUE)
    }
}

impl Wire {
    async fn run(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether a new connection may do better: this one is broken or half open, or leads to a server that is no primary any more.
fn is_over(error: &RedisError) -> bool {
    let is_demoted =
        matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    is_demoted || error.is_io_error() || error.is_unrecoverable_error()
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[error("Redis at {servers}: {cause}")]
struct Failed {
    servers: Arc<str>,
    #[source]
    cause: RedisError,
}

/// An answer is not what the script gives.
pub(super) fn unexpected() -> StoreError {
    StoreError::new("Redis answered with something else than was asked for")
}
