//! The way to the servers: made when it is needed, and made anew when it broke.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, try_join_all};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
    io::tcp::TcpSettings, sentinel::SentinelClient,
};
use tokio::{
    sync,
    time::{Instant, timeout},
};

use super::scripts::Call;
use crate::error::StoreError;

/// A few connections that all operations share in turn, or for a cluster one for each node.
///
/// Of a single connection, the server and who uses it take turns at work: the one reads a batch of answers while the other waits for
/// the next batch of requests.
///
/// Requests and answers are matched by the client library, so a caller that goes away leaves no answer for the next one.
pub(super) struct Link {
    dialer: Dialer,
    lanes: usize,
    timeouts: Timeouts,
    servers: Arc<str>,
    open: Mutex<Open>,
    /// Held while a connection is made. What came of the last attempt is for all who waited for it.
    dialing: sync::Mutex<Option<(Instant, RedisError)>>,
}

#[derive(Default)]
struct Open {
    /// None while there is no connection.
    wires: Vec<Wire>,
    /// Whose turn it is.
    turn: usize,
    /// Counts the connections, so that what broke is not taken for what was made since.
    number: u64,
}

/// How connections are made.
pub(super) enum Dialer {
    Server(Box<Client>),
    Sentinel(Box<sync::Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
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
    /// How many connections operations have. A second one made for 1.8 times as many refreshes a second.
    pub(super) const LANES: usize = 2;

    /// A way of so many connections.
    pub(super) fn new(dialer: Dialer, lanes: usize, timeouts: Timeouts, servers: Arc<str>) -> Self {
        Self { dialer, lanes, timeouts, servers, open: Mutex::default(), dialing: sync::Mutex::default() }
    }

    /// Their addresses, as they were given, without passwords.
    pub(super) fn servers(&self) -> &str {
        &self.servers
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
            && wire.is_over(error)
        {
            self.drop_wire(number);
        }
        answer
    }

    async fn wire(&self) -> Result<(Wire, u64), RedisError> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let came_at = Instant::now();
        let mut failed = self.dialing.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        if let Some((_, error)) = failed.as_ref().filter(|(at, _)| *at >= came_at) {
            return Err(error.clone());
        }
        match self.dial().await {
            Ok(wires) => {
                let wire = wires[0].clone();
                let mut open = self.lock();
                open.number += 1;
                open.wires = wires;
                Ok((wire, open.number))
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Boxed, because how deep the compiler can nest futures is limited, and those of an application stand around it.
    fn dial(&self) -> BoxFuture<'_, Result<Vec<Wire>, RedisError>> {
        Box::pin(async move {
            let dialed = timeout(self.timeouts.connect, self.dialer.dial(self.lanes, self.timeouts)).await;
            dialed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }

    fn opened(&self) -> Option<(Wire, u64)> {
        let mut open = self.lock();
        open.turn = (open.turn + 1) % self.lanes;
        open.wires.get(open.turn).cloned().map(|wire| (wire, open.number))
    }

    fn drop_wire(&self, number: u64) {
        let mut open = self.lock();
        if open.number == number {
            open.wires.clear();
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
    async fn dial(&self, lanes: usize, timeouts: Timeouts) -> Result<Vec<Wire>, RedisError> {
        match self {
            Self::Server(client) => dial_server(client, lanes, timeouts).await,
            Self::Sentinel(client) => {
                // Once for all lanes: a silent Sentinel takes its time in each search.
                let found = client.lock().await.async_get_client().await?;
                dial_server(&found, lanes, timeouts).await
            }
            Self::Cluster(client) => Ok(vec![Wire::Cluster(client.get_async_connection().await?)]),
        }
    }
}

async fn dial_server(client: &Client, lanes: usize, timeouts: Timeouts) -> Result<Vec<Wire>, RedisError> {
    let config = timeouts.of_a_server();
    let lanes = (0..lanes).map(|_| client.get_multiplexed_async_connection_with_config(&config));
    Ok(try_join_all(lanes).await?.into_iter().map(Wire::Server).collect())
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

    /// What a node of a cluster has for a connection. A silent one is waited for twice: as one of those that are given, and as one of
    /// those that the others name. That must leave time for the others.
    pub(super) fn of_a_node(self) -> Duration {
        self.connect / 3
    }

    /// A request leaves at once, whatever is under way. What the network has held back for longer than anybody waits for the answer
    /// does not arrive after all, where the system can see to it.
    pub(super) fn of_tcp(self) -> TcpSettings {
        let settings = TcpSettings::default().set_nodelay(true);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let settings = settings.set_user_timeout(self.response);
        settings
    }
}

impl Wire {
    async fn run(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    /// Whether a new connection may do better: this one is broken or half open, or leads to a server that is no primary any more.
    ///
    /// That of a cluster replaces its parts by itself, but waits for one that is silent, even if another has taken over.
    /// The new one lasts for as long as an answer is waited for, which bounds how often it is made.
    fn is_over(&self, error: &RedisError) -> bool {
        const DEMOTED: [ErrorKind; 2] =
            [ErrorKind::Server(ServerErrorKind::ReadOnly), ErrorKind::Server(ServerErrorKind::MasterDown)];
        match self {
            Self::Server(_) => {
                error.is_io_error() || error.is_unrecoverable_error() || DEMOTED.contains(&error.kind())
            }
            Self::Cluster(_) => error.is_timeout() || error.kind() == ErrorKind::ClusterConnectionNotFound,
        }
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[error("Redis at {servers}: {cause}")]
struct Failed {
    servers: Arc<str>,
    cause: RedisError,
}

/// An answer is not what the script gives.
pub(super) fn unexpected() -> StoreError {
    StoreError::new("Redis answered with something else than was asked for")
}
