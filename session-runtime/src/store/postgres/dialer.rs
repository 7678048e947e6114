//! Making connections, to servers that are well and to those that hang.

use std::{
    future::pending,
    pin::pin,
    sync::{
        self, Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long others wait for a connection that is being made, when none could be made before; no longer than half as long as an
/// operation may take.
const TURN: Duration = Duration::from_secs(1);

/// Makes the connections of a pool: several at once as long as that works, and one after the other while it does not.
///
/// A server that hangs has no end of connections made to it by its system, and takes each of them for a client when it goes on:
/// it must not meet all those that were given up meanwhile. And one that is so slow that nobody waits long enough for a
/// connection must get ahead: what comes late is for the next.
pub(super) struct Dialer {
    tls: MakeRustlsConnect,
    patience: Duration,
    state: Arc<State>,
}

impl Dialer {
    pub(super) fn new(tls: MakeRustlsConnect, patience: Duration) -> Self {
        Self { tls, patience, state: Arc::default() }
    }
}

#[derive(Default)]
struct State {
    /// Whether the last connection could not be made, or not soon.
    fails: AtomicBool,
    /// Held by who makes one all the same.
    turn: Arc<Mutex<()>>,
    late: sync::Mutex<Option<Connection>>,
}

type Connection = (Client, JoinHandle<()>);
type Dialed = Result<Connection, tokio_postgres::Error>;

impl Connect for Dialer {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Dialed> {
        let dial = dial(config.clone(), self.tls.clone());
        Box::pin(async move {
            let turn = self.state.turn().await;
            if let Some(late) = self.state.take_late() {
                return Ok(late);
            }
            let (reply, dialed) = oneshot::channel();
            let (state, patience) = (Arc::clone(&self.state), self.patience);
            tokio::spawn(async move { state.carry_through(dial, turn, patience, reply).await });
            match dialed.await {
                Ok(dialed) => dialed,
                // The pool, which does not wait for as long, has said so.
                Err(_) => pending().await,
            }
        })
    }
}

impl State {
    /// Waits, while no connection can be made, until nobody else tries to.
    async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        if !self.fails.load(Ordering::Relaxed) {
            return None;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.fails.load(Ordering::Relaxed).then_some(turn)
    }

    async fn carry_through(
        &self,
        dial: impl Future<Output = Dialed>,
        turn: Option<OwnedMutexGuard<()>>,
        patience: Duration,
        reply: oneshot::Sender<Dialed>,
    ) {
        let mut dial = pin!(dial);
        let soon = timeout(TURN.min(patience / 2), dial.as_mut()).await;
        self.fails.store(!matches!(soon, Ok(Ok(_))), Ordering::Relaxed);
        drop(turn);
        let dialed = match soon {
            Ok(dialed) => Ok(dialed),
            // Twice as long as anybody waits, for the next.
            Err(_) => timeout(2 * patience, dial).await,
        };
        if let Ok(dialed) = dialed
            && let Err(Ok(late)) = reply.send(dialed)
        {
            *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(late);
        }
    }

    fn take_late(&self) -> Option<Connection> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        late.filter(|(client, _)| !client.is_closed())
    }
}

async fn dial(config: Config, tls: MakeRustlsConnect) -> Dialed {
    let (client, connection) = config.connect(tls).await?;
    let serve = async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the database broke");
        }
    };
    Ok((client, tokio::spawn(serve)))
}
