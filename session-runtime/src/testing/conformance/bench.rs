//! A store on the bench: how it is opened, how time passes for it, and what the checks ask of it again and again.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{Broken, Scale, random::Random};
use crate::{
    clock::{Clock, Timestamp},
    handle::SessionHandle,
    rotation::{Grace, Link, Presented},
    store::{
        Creation, Cursor, DynStore, EndReason, Exchange, Fingerprint, NewRow, Revocation, Rotation, Row,
        Salt, SessionStore,
    },
    token::Proof,
};

/// How long the sessions live that are not meant to expire.
pub(super) const LONG: Duration = Duration::from_secs(24 * 3600);

/// The grace that new rows are made with, and that of the presentations that shall find them due: the first generation counts as
/// issued two graces before the login, and thus more than a floor of [`PROMPT`] ago.
pub(super) const ROW_GRACE: Grace = Grace::new(Duration::from_secs(600));

/// The grace under which a new session rotates at once, and nothing is late for the rest of the test.
pub(super) const PROMPT: Grace = Grace::new(Duration::from_secs(300));

/// What a node computed of a token that is presented.
pub(super) const HALF: [u8; 32] = [7; 32];

/// What no salt fits.
pub(super) const NO_PROOF: Proof = Proof::new(HALF, [0; 32]);

/// The client that logged in.
pub(super) const OWNER: Fingerprint = Fingerprint([1; 16]);

/// Another client.
pub(super) const STRANGER: Fingerprint = Fingerprint([2; 16]);

type Opener = Arc<dyn Fn() -> BoxFuture<'static, Node> + Send + Sync>;

/// Makes stores to put on the bench.
pub(super) struct Place {
    fresh: Box<dyn Fn() -> BoxFuture<'static, Opener> + Send + Sync>,
    is_shared: bool,
}

impl Place {
    /// Sessions that live in the store itself.
    pub(super) fn inside<S, F>(fresh: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: SessionStore,
        F: Future<Output = S> + Send + 'static,
    {
        let fresh = move || -> BoxFuture<'static, Opener> {
            let store = fresh();
            Box::pin(async move {
                let node = Node::new(store.await);
                Arc::new(move || -> BoxFuture<'static, Node> { Box::pin(std::future::ready(node.clone())) })
                    as Opener
            })
        };
        Self { fresh: Box::new(fresh), is_shared: false }
    }

    /// Sessions that lie in a place that a store opens.
    pub(super) fn outside<P, S, PF, SF>(
        place: impl Fn() -> PF + Send + Sync + 'static,
        open: impl Fn(P) -> SF + Clone + Send + Sync + 'static,
    ) -> Self
    where
        P: Clone + Send + Sync + 'static,
        S: SessionStore,
        PF: Future<Output = P> + Send + 'static,
        SF: Future<Output = S> + Send + 'static,
    {
        let fresh = move || -> BoxFuture<'static, Opener> {
            let (place, open) = (place(), open.clone());
            Box::pin(async move {
                let place = place.await;
                Arc::new(move || -> BoxFuture<'static, Node> {
                    let store = open(place.clone());
                    Box::pin(async move { Node::new(store.await) })
                }) as Opener
            })
        };
        Self { fresh: Box::new(fresh), is_shared: true }
    }
}

/// An open store, whose type no longer matters.
#[derive(Clone)]
pub(super) struct Node {
    store: Arc<dyn DynStore>,
    pub(super) clock: Option<Clock>,
}

impl Node {
    fn new(store: impl SessionStore) -> Self {
        Self { clock: store.clock(), store: Arc::new(store) }
    }

    fn set_clock(&self) -> Option<&Clock> {
        self.clock.as_ref().filter(|clock| clock.is_set())
    }
}

impl Deref for Node {
    type Target = dyn DynStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// A fresh store, and what a check needs to try it.
pub(super) struct Bench {
    node: Node,
    open: Opener,
    pub(super) is_shared: bool,
    pub(super) scale: Scale,
    /// Where the feed was read to when the time was last asked for.
    cursor: Mutex<Cursor>,
    made: AtomicU64,
}

impl Deref for Bench {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Bench {
    pub(super) async fn new(place: &Place, scale: Scale) -> Self {
        let open = (place.fresh)().await;
        let node = open().await;
        let (cursor, made) = (Mutex::default(), AtomicU64::new(0));
        Self { node, open, is_shared: place.is_shared, scale, cursor, made }
    }

    /// The store, opened once more; the same one where sessions live in the store itself.
    pub(super) async fn another(&self) -> Node {
        (self.open)().await
    }

    /// The store, for a task of its own.
    pub(super) fn handle(&self) -> Node {
        self.node.clone()
    }

    /// The store's time.
    pub(super) async fn now(&self) -> Result<Timestamp, Broken> {
        if let Some(clock) = self.set_clock() {
            return Ok(clock.now());
        }
        let cursor = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = self.revocations(cursor, Duration::ZERO).await?;
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = batch.next;
        Ok(batch.now)
    }

    /// Lets time pass for the store: exactly so long where its clock can be set, and at least so long where it can't.
    pub(super) async fn pass(&self, time: Duration) -> Result<(), Broken> {
        if let Some(clock) = self.set_clock() {
            clock.advance(time);
            return Ok(());
        }
        let until = self.now().await?.after(time);
        loop {
            let now = self.now().await?;
            if now >= until {
                return Ok(());
            }
            sleep(until.since(now)).await;
        }
    }

    /// Whether [`pass`](Self::pass) is exact, and costs nothing.
    pub(super) fn has_set_clock(&self) -> bool {
        self.set_clock().is_some()
    }

    /// A handle that was not given yet.
    pub(super) fn fresh_handle(&self) -> SessionHandle {
        let count = self.made.fetch_add(1, Ordering::Relaxed);
        SessionHandle::from_bytes(Random::new(count ^ self.scale.seed.rotate_left(32)).bytes())
    }

    /// A session to be made, in which nothing is special.
    pub(super) fn plain(&self, user: &str) -> NewRow {
        let handle = self.fresh_handle();
        let mut random =
            Random::new(u64::from_le_bytes(handle.as_bytes()[..8].try_into().unwrap_or_default()));
        NewRow {
            idle_lifetime: LONG,
            grace: ROW_GRACE,
            fingerprint: OWNER,
            ..NewRow::new(handle, user, Salt(random.bytes()))
        }
    }

    /// Makes a session that nothing forbids.
    pub(super) async fn make(&self, new: NewRow) -> Result<Row, Broken> {
        created(self.create(new).await?)
    }

    /// Makes a plain session.
    pub(super) async fn login(&self, user: &str) -> Result<Row, Broken> {
        self.make(self.plain(user)).await
    }

    /// A session with a second generation, which was not used yet.
    pub(super) async fn rotated(&self, user: &str) -> Result<Row, Broken> {
        let row = self.login(user).await?;
        let rotation = self.rotate(present(&row, row.chain.link(), PROMPT, OWNER)).await?;
        match (rotation.decision.rule(), rotation.row) {
            (5, Some(row)) => Ok(row),
            (rule, _) => {
                Err(Broken::new(format!("a session that is due was answered by rule {rule}, not 5")))
            }
        }
    }

    /// The row of a session that must be there.
    pub(super) async fn row(&self, handle: SessionHandle) -> Result<Row, Broken> {
        self.read(handle).await?.ok_or_else(|| Broken::new(format!("session {handle} is gone")))
    }

    /// Presents a token again, after a moment, without any tolerance.
    pub(super) async fn present_strictly(&self, row: &Row, link: Link) -> Result<Rotation, Broken> {
        self.pass(Duration::from_millis(2)).await?;
        Ok(self.rotate(present(row, link, Grace::STRICT, STRANGER)).await?)
    }

    /// All that the feed holds after a cursor.
    pub(super) async fn feed_after(&self, cursor: Cursor) -> Result<(Vec<Revocation>, Cursor), Broken> {
        feed_of(&self.node, cursor).await
    }

    /// How a session ended, by the feed; it must be told exactly once.
    pub(super) async fn told_end(&self, handle: SessionHandle) -> Result<EndReason, Broken> {
        let (revocations, _) = self.feed_after(Cursor::default()).await?;
        let mut reasons = ends(&revocations).filter(|(ended, _)| *ended == handle);
        match (reasons.next(), reasons.next()) {
            (Some((_, reason)), None) => Ok(reason),
            (None, _) => Err(Broken::new("the feed does not tell of the end")),
            (Some(_), Some(_)) => Err(Broken::new("the feed tells of the end twice")),
        }
    }
}

/// All that the feed of a node holds after a cursor.
pub(super) async fn feed_of(node: &Node, mut cursor: Cursor) -> Result<(Vec<Revocation>, Cursor), Broken> {
    let mut revocations = Vec::new();
    loop {
        let batch = node.revocations(cursor, Duration::ZERO).await?;
        ensure!(!batch.more || batch.next > cursor, "the feed has more, but its cursor stands still");
        revocations.extend(batch.revocations);
        cursor = batch.next;
        if !batch.more {
            return Ok((revocations, cursor));
        }
    }
}

/// The sessions among the revocations, and why they ended.
pub(super) fn ends(revocations: &[Revocation]) -> impl Iterator<Item = (SessionHandle, EndReason)> {
    revocations.iter().filter_map(|revocation| match revocation {
        Revocation::Session { handle, ended, .. } => Some((*handle, ended.reason)),
        Revocation::User { .. } => None,
    })
}

/// The marks of a user among the revocations.
pub(super) fn marks(revocations: &[Revocation], whose: &str) -> Vec<Timestamp> {
    let mark = |revocation: &Revocation| match revocation {
        Revocation::User { user, made_by } if **user == *whose => Some(*made_by),
        _ => None,
    };
    revocations.iter().filter_map(mark).collect()
}

/// The row of a session that was made.
pub(super) fn created(creation: Creation) -> Result<Row, Broken> {
    match creation {
        Creation::Created(row) => Ok(row),
        other => Err(Broken::new(format!("a session that nothing forbids was refused: {other:?}"))),
    }
}

/// A presentation of a token of the session, with the right proof and without a nonce.
pub(super) fn present(row: &Row, link: Link, grace: Grace, by: Fingerprint) -> Exchange {
    present_with(row, link.into(), grace, by)
}

/// A presentation of a token of the session, with the right proof.
pub(super) fn present_with(row: &Row, presented: Presented, grace: Grace, by: Fingerprint) -> Exchange {
    Exchange::new(row.handle, presented, grace, [by], Proof::sealed(HALF, &row.salt.0))
}

pub(super) const fn link(generation: u32, parent: u32) -> Link {
    Link { generation, parent, nonce: None }
}
