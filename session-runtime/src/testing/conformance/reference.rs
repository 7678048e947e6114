//! What a store should do, done on plain rows by the functions that every store is to agree with.

use std::{fmt, sync::Arc};

use super::bench::Node;
use crate::{
    clock::Timestamp,
    error::StoreError,
    handle::SessionHandle,
    rotation::Decision,
    store::{BeyondLimit, Change, Changed, Creation, EndReason, Exchange, NewRow, Row, SessionLimit},
};

/// One call of a store.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(NewRow),
    Rotate(Exchange),
    Confirm(SessionHandle, u32),
    Read(SessionHandle),
    Update(SessionHandle, u32, Change),
    Revoke(SessionHandle, EndReason),
    RevokeAll(Option<SessionHandle>),
    List,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Created(Row),
    HandleTaken,
    LimitReached,
    Exchanged { decision: Decision, row: Option<Row>, other_client: bool },
    Refused(Decision),
    Confirmed,
    Read(Option<Row>),
    Done(Row),
    Conflict(Row),
    Gone,
    WasLive(bool),
    Ended(Vec<SessionHandle>),
    Listed(Vec<Row>),
}

impl Step {
    /// Asks a store. With the answer comes the time at which it says that it happened.
    pub(super) async fn ask(
        &self,
        node: &Node,
        user: &Arc<str>,
    ) -> Result<(Answer, Option<Timestamp>), StoreError> {
        Ok(match self.clone() {
            Self::Create(new) => match node.create(new).await? {
                Creation::Created(row) => (Answer::Created(row.clone()), Some(row.created_at)),
                Creation::HandleTaken => (Answer::HandleTaken, None),
                Creation::LimitReached => (Answer::LimitReached, None),
            },
            Self::Rotate(exchange) => {
                let rotation = node.rotate(exchange).await?;
                let answer = Answer::of(rotation.decision, rotation.row, rotation.other_client);
                (answer, Some(rotation.now))
            }
            Self::Confirm(handle, generation) => {
                node.confirm(vec![(handle, generation)]).await?;
                let used_at = node.read(handle).await?.and_then(|row| row.chain.used_at);
                (Answer::Confirmed, used_at)
            }
            Self::Read(handle) => (Answer::Read(node.read(handle).await?), None),
            Self::Update(handle, version, change) => {
                match node.update(handle, version, change.clone()).await? {
                    Changed::Done(row) => {
                        let at = matches!(change, Change::Authenticated).then_some(row.authenticated_at);
                        (Answer::Done(row), at)
                    }
                    Changed::Conflict(row) => (Answer::Conflict(row), None),
                    Changed::Gone => (Answer::Gone, None),
                }
            }
            Self::Revoke(handle, reason) => (Answer::WasLive(node.revoke(handle, reason).await?), None),
            Self::RevokeAll(except) => {
                let mut ended = node.revoke_all(Arc::clone(user), except, EndReason::Revoked).await?;
                ended.sort();
                (Answer::Ended(ended), None)
            }
            Self::List => (Answer::Listed(node.list(Arc::clone(user)).await?), None),
        })
    }

    /// The session that the step is about.
    pub(super) fn target(&self) -> Option<SessionHandle> {
        match self {
            Self::Create(new) => Some(new.handle),
            Self::Rotate(exchange) => Some(exchange.handle()),
            Self::Confirm(handle, _)
            | Self::Read(handle)
            | Self::Update(handle, ..)
            | Self::Revoke(handle, _) => Some(*handle),
            Self::RevokeAll(_) | Self::List => None,
        }
    }
}

/// A step as the log of a history tells of it.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(NewRow {
                handle, idle_lifetime, absolute_lifetime, grace, replaces, limit, ..
            }) => write!(
                f,
                "Create {handle}, {idle_lifetime:?}, {absolute_lifetime:?}, {grace:?}, replaces {replaces:?}, {limit:?}"
            ),
            other => write!(f, "{other:?}"),
        }
    }
}

/// An answer as the log of a history tells of it: where it has a row, with what matters of it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(row) => write!(f, "created at {:?}", row.created_at),
            Self::Exchanged { decision, .. } => write!(f, "{decision:?}"),
            Self::Read(Some(row)) => write!(f, "{:?}, ended {:?}", row.chain, row.ended),
            Self::Done(row) => write!(f, "done, version {}", row.version),
            Self::Conflict(row) => write!(f, "conflict with version {}", row.version),
            Self::Listed(rows) => f.debug_list().entries(rows.iter().map(|row| row.handle)).finish(),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Answer {
    /// Of a refusal only the decision counts: what row there was, if any, tells nothing.
    fn of(decision: Decision, row: Option<Row>, other_client: bool) -> Self {
        match decision {
            Decision::Unauthorised(_) | Decision::NonceMissing => Self::Refused(decision),
            _ => Self::Exchanged { decision, row, other_client },
        }
    }

    /// Whether two answers say the same.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.clone().comparable() == other.clone().comparable()
    }

    fn comparable(mut self) -> Self {
        match &mut self {
            Self::Exchanged { row, .. } | Self::Read(row) => *row = row.take().map(comparable),
            Self::Created(row) | Self::Done(row) | Self::Conflict(row) => *row = comparable(row.clone()),
            Self::Listed(rows) => *rows = rows.drain(..).map(comparable).collect(),
            _ => {}
        }
        self
    }
}

/// A row without what a store may do as it likes: whether it goes on naming a session that it replaced, and the millisecond of
/// an end, which is compared by itself.
pub(super) fn comparable(mut row: Row) -> Row {
    row.replaces = None;
    if let Some(ended) = &mut row.ended {
        ended.at = Timestamp::default();
    }
    row
}

/// The sessions of one user.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) user: Arc<str>,
    /// In the order in which they were made.
    pub(super) rows: Vec<Row>,
    /// The ends that the feed has to tell of, in order.
    pub(super) ends: Vec<(SessionHandle, EndReason)>,
    /// No session that is made now is as old.
    pub(super) mark: Option<Timestamp>,
}

impl Reference {
    pub(super) fn new(user: Arc<str>) -> Self {
        Self { user, rows: Vec::new(), ends: Vec::new(), mark: None }
    }

    pub(super) fn row(&self, handle: SessionHandle) -> Option<&Row> {
        self.rows.iter().find(|row| row.handle == handle)
    }

    fn row_mut(&mut self, handle: SessionHandle) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.handle == handle)
    }

    /// Carries a step out at `now`; it was begun at `begun` or later.
    pub(super) fn carry_out(&mut self, step: &Step, begun: Timestamp, now: Timestamp) -> Answer {
        match step {
            Step::Create(new) => self.create(new.clone(), now),
            Step::Rotate(exchange) => self.rotate(exchange, now),
            Step::Confirm(handle, generation) => self.confirm(*handle, *generation, now),
            Step::Read(handle) => Answer::Read(self.row(*handle).cloned()),
            Step::Update(handle, version, change) => self.update(*handle, *version, change, now),
            Step::Revoke(handle, reason) => Answer::WasLive(self.end(*handle, *reason, now)),
            Step::RevokeAll(except) => self.revoke_all(*except, begun, now),
            Step::List => Answer::Listed(self.rows.iter().filter(|row| row.is_live(now)).cloned().collect()),
        }
    }

    fn create(&mut self, new: NewRow, now: Timestamp) -> Answer {
        let now = self.mark.map_or(now, |mark| now.max(Timestamp::from_millis(mark.as_millis() + 1)));
        if self.row(new.handle).is_some() {
            return Answer::HandleTaken;
        }
        if let Some(limit) = new.limit
            && !self.make_room(new.replaces, limit, now)
        {
            return Answer::LimitReached;
        }
        let row = new.into_row(now);
        self.rows.push(row.clone());
        Answer::Created(row)
    }

    fn make_room(&mut self, replaced: Option<SessionHandle>, limit: SessionLimit, now: Timestamp) -> bool {
        let counts = |row: &&Row| row.is_live(now) && Some(row.handle) != replaced;
        let live: Vec<_> = self.rows.iter().filter(counts).map(|row| row.handle).collect();
        let surplus = (live.len() + 1).saturating_sub(limit.max as usize);
        if surplus > 0 && limit.beyond == BeyondLimit::Refuse {
            return false;
        }
        for handle in &live[..surplus] {
            self.end(*handle, EndReason::Evicted, now);
        }
        true
    }

    fn rotate(&mut self, exchange: &Exchange, now: Timestamp) -> Answer {
        let mut row = self.row(exchange.handle()).cloned();
        let other_client = row.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let decision = exchange.step(row.as_mut(), now);
        if let Some(row) = &row {
            self.keep(row.clone());
            if decision.answer().is_some() {
                self.end_replaced(row, now);
            }
        }
        Answer::of(decision, row, other_client)
    }

    fn confirm(&mut self, handle: SessionHandle, generation: u32, now: Timestamp) -> Answer {
        if let Some(mut row) = self.row(handle).filter(|row| row.is_live(now)).cloned() {
            row.confirm(generation, now);
            self.keep(row.clone());
            self.end_replaced(&row, now);
        }
        Answer::Confirmed
    }

    /// Takes over a row that was used, and may have been ended by that.
    fn keep(&mut self, row: Row) {
        let Some(kept) = self.row_mut(row.handle) else { return };
        let newly_ended = kept.ended.is_none().then_some(row.ended.as_deref()).flatten().copied();
        let handle = row.handle;
        *kept = row;
        self.ends.extend(newly_ended.map(|ended| (handle, ended.reason)));
    }

    /// A theft shows nothing about who has the session that was replaced.
    fn end_replaced(&mut self, used: &Row, now: Timestamp) {
        if used.ended.is_none()
            && let Some(replaced) = used.replaces.as_deref()
        {
            self.end(*replaced, EndReason::Replaced, now);
        }
    }

    fn update(&mut self, handle: SessionHandle, version: u32, change: &Change, now: Timestamp) -> Answer {
        match self.row_mut(handle).map_or(Changed::Gone, |row| row.change(version, change, now)) {
            Changed::Done(row) => Answer::Done(row),
            Changed::Conflict(row) => Answer::Conflict(row),
            Changed::Gone => Answer::Gone,
        }
    }

    fn end(&mut self, handle: SessionHandle, reason: EndReason, now: Timestamp) -> bool {
        let Some(row) = self.row_mut(handle) else { return false };
        let ended = row.end(reason, now);
        let replaced = row.replaces.as_deref().copied().filter(|_| reason.shows_use());
        if ended {
            self.ends.push((handle, reason));
        }
        if let Some(replaced) = replaced {
            self.end(replaced, EndReason::Replaced, now);
        }
        ended
    }

    fn revoke_all(&mut self, except: Option<SessionHandle>, begun: Timestamp, now: Timestamp) -> Answer {
        let handles: Vec<_> =
            self.rows.iter().map(|row| row.handle).filter(|it| Some(*it) != except).collect();
        let mut ended: Vec<_> =
            handles.into_iter().filter(|handle| self.end(*handle, EndReason::Revoked, now)).collect();
        ended.sort();
        if except.is_none() {
            let youngest = self.rows.iter().map(|row| row.created_at).max().unwrap_or_default();
            self.mark = self.mark.max(Some(begun.max(youngest)));
        }
        Answer::Ended(ended)
    }
}
