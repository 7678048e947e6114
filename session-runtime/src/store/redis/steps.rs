//! The operations, made of scripts: each script is one atomic step in one partition.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{BoxFuture, try_join, try_join_all},
    stream,
};
use redis::Value;

use super::{
    codec::{self, Undecodable},
    connection::{Link, unexpected},
    errands,
    keys::{Keys, Partition},
    scripts::{self, Call},
    values,
};
use crate::{
    clock::Timestamp,
    error::StoreError,
    handle::SessionHandle,
    rotation::{Decision, Why},
    store::{
        BeyondLimit, Change, Changed, Creation, EndReason, Ended, Exchange, NewRow, Purge, Rotation, Row,
    },
};

/// How many requests of one operation are under way at once.
const AT_ONCE: usize = 64;

/// How many rows one step writes at most. The longer the step, the longer all other clients wait.
const WRITTEN_AT_ONCE: usize = 100;

/// How long a new session may be on its way from its user's list to its row. After that, it is stopped.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// A session's place among its user's is when it was made, in milliseconds, times this, so that more than one fits.
const PLACES_PER_MS: u64 = 1000;

/// The sessions in Redis.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) link: Link,
    pub(super) keys: Keys,
}

/// Making sessions.
impl Sessions {
    pub(super) async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        let mut others = None;
        let place = loop {
            let place = self.reserve(&new, others.as_deref()).await?;
            match place.outcome {
                // The same request may have been sent again because its answer was lost; then the row is still to be made.
                Outcome::Taken => match self.look(new.handle).await? {
                    seen if seen.row(new.handle)?.is_none() && place.at >= seen.now.before(ON_ITS_WAY) => {
                        break Place { outcome: Outcome::Reserved, ..place };
                    }
                    _ => return Ok(Creation::HandleTaken),
                },
                Outcome::Full => return Ok(Creation::LimitReached),
                Outcome::Made | Outcome::Ended | Outcome::Reserved => break place,
                Outcome::Unsure => {
                    if self.look(new.handle).await?.row(new.handle)?.is_some() {
                        return Ok(Creation::HandleTaken);
                    }
                    others = Some(self.expiries(&new.user, &place).await?);
                }
            }
        };
        let made = match place.outcome {
            Outcome::Reserved => match self.insert(&new, place.at).await {
                Ok(made) => made,
                Err(error) => {
                    self.spare(&new.user, place.handles).await;
                    return Err(error);
                }
            },
            _ => Some(place.at),
        };
        self.evict(&new.user, place.handles, place.at).await?;
        Ok(made.map_or(Creation::HandleTaken, |at| Creation::Created(new.into_row(at))))
    }

    /// Gives a session its time and its place among its user's. Where its row lies in the same slot, it is made at once.
    async fn reserve(
        &self,
        new: &NewRow,
        others: Option<&[(SessionHandle, u64)]>,
    ) -> Result<Place, StoreError> {
        let (of_user, of_handle) = (self.keys.of_user(&new.user), self.keys.of_handle(new.handle));
        let is_here = of_user == of_handle;
        let script = if is_here { &scripts::CREATE } else { &scripts::RESERVE };
        let mut call = Call::new(script)
            .key(self.keys.user(&new.user))
            .key(self.keys.mark(&new.user))
            .key(self.keys.errands(of_user));
        if is_here {
            call = call.key(self.keys.row(new.handle)).key(self.keys.due(of_handle));
            call = call.key(self.keys.feed_in(of_handle));
        }
        call = call.arg(new.handle.to_string());
        if is_here {
            call = with_row(call, new);
        }
        let replaced = new.replaces.map(|handle| handle.to_string()).unwrap_or_default();
        let beyond = match new.limit.map(|limit| limit.beyond) {
            Some(BeyondLimit::Refuse) => "refuse",
            _ => "evict",
        };
        call = call.arg(new.limit.map_or(0, |limit| limit.max)).arg(beyond).arg(replaced);
        call = call.arg(u8::from(others.is_some()));
        for (other, expires_at) in others.unwrap_or_default() {
            call = call.arg(other.to_string()).arg(*expires_at);
        }
        Place::of(self.link.call(call).await?)
    }

    /// Puts the row of a session to its handle. Returns the session's time; `None` if the handle is taken.
    async fn insert(&self, new: &NewRow, at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let partition = self.keys.of_handle(new.handle);
        let call = Call::new(&scripts::INSERT)
            .key(self.keys.row(new.handle))
            .key(self.keys.due(partition))
            .key(self.keys.errands(partition))
            .key(self.keys.feed_in(partition))
            .arg(new.handle.to_string())
            .arg(at.as_millis());
        let made = Place::of(self.link.call(with_row(call, new)).await?)?;
        if let Outcome::Made = made.outcome {
            return Ok(Some(made.at));
        }
        let row = self.look(new.handle).await?.row(new.handle)?;
        match (made.outcome, row) {
            (Outcome::Ended, row) => {
                if let Some(row) = row {
                    self.tell(&row).await?;
                }
                Ok(Some(made.at))
            }
            // The place is that of the session that has the handle.
            (_, Some(row)) if row.user == new.user => Ok(None),
            _ => self.forget(&new.user, &[new.handle]).await.map(|()| None),
        }
    }

    /// When the user's other sessions expire; 0 for those that are dead.
    async fn expiries(&self, user: &str, place: &Place) -> Result<Vec<(SessionHandle, u64)>, StoreError> {
        let seen = self.look_at(&place.handles).await?;
        let expiry = async |(handle, seen): (SessionHandle, Seen)| {
            let expires_at = match seen.row(handle)? {
                Some(row) if row.is_live(seen.now) => row.expires_at().as_millis().min(codec::NEVER),
                Some(_) => 0,
                // The creation that reserved the place may still be under way; later it must not arrive any more.
                None if self.is_on_its_way(user, handle, place.at).await? => codec::NEVER,
                None => {
                    self.end_or_stop(handle, EndReason::Revoked, place.at).await?;
                    0
                }
            };
            Ok((handle, expires_at))
        };
        let others = place.handles.iter().copied().zip(seen);
        stream::iter(others).map(expiry).buffered(AT_ONCE).try_collect().await
    }

    /// Whether a session that has a place and no row was given it so lately that the row may be coming.
    async fn is_on_its_way(
        &self,
        user: &str,
        handle: SessionHandle,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut score = redis::cmd("ZSCORE");
        score.arg(self.keys.user(user)).arg(handle.to_string());
        let made_at: Option<u64> = values::only(self.link.command(&score).await?)?;
        Ok(made_at.is_some_and(|score| score / PLACES_PER_MS >= now.before(ON_ITS_WAY).as_millis()))
    }

    async fn evict(
        &self,
        user: &str,
        victims: Vec<SessionHandle>,
        as_of: Timestamp,
    ) -> Result<(), StoreError> {
        let partition = self.keys.of_user(user);
        let evict = async |victim: SessionHandle| {
            self.end_or_stop(victim, EndReason::Evicted, as_of).await?;
            self.done(partition, &errands::evicting(victim)).await
        };
        stream::iter(victims).map(evict).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Lets the sessions live that were to end in favour of one which could not be made.
    async fn spare(&self, user: &str, victims: Vec<SessionHandle>) {
        let partition = self.keys.of_user(user);
        let spare = async |victim| self.done(partition, &errands::evicting(victim)).await;
        let spared = stream::iter(victims).map(spare).buffer_unordered(AT_ONCE).try_collect::<()>();
        if let Err(error) = spared.await {
            tracing::debug!(%error, "sessions end in favour of one that could not be made");
        }
    }
}

/// Changing and ending sessions.
impl Sessions {
    /// Rotates in one round trip where nothing else has to happen: the script carries out rule 5 and gives back the row as it
    /// was. What is to be answered is always decided here, by [`Exchange::step`].
    ///
    /// The script does not check the token's proof, for which it would have to compute SHA-256 in Lua, while all other clients
    /// wait. A proof that turns out wrong comes from somebody who has a copy of the operator's key, and the rotation is undone. If
    /// that fails, or others see it meanwhile, it is a rotation whose answer got lost, which every client can cope with.
    pub(super) async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        let handle = exchange.handle();
        let (seen, turned) = self.turn(&exchange).await?;
        let carry_out = |row: Option<&mut Row>, now| carry_out(&exchange, row, now);
        let Some(turned) = turned else { return self.transact(handle, seen, carry_out).await };
        let mut row = seen.row(handle)?;
        let (rotation, _) = carry_out(row.as_mut(), seen.now);
        if let Decision::Rotate(_) = rotation.decision {
            debug_assert_eq!(
                row.as_ref().map(codec::encode_row),
                seen.turned(&turned)?.bytes,
                "the script rotates as `rotation::decide` says"
            );
            return Ok(rotation);
        }
        let is_forged = matches!(rotation.decision, Decision::Unauthorised(Why::Unknown));
        debug_assert!(is_forged, "the script rotated where {:?} was to be done", rotation.decision);
        self.replace(handle, &seen.turned(&turned)?, seen.bytes.as_deref().unwrap_or_default()).await?;
        self.transact(handle, seen, carry_out).await
    }

    /// The row as it was, and what stands in it now if the script has rotated it.
    async fn turn(&self, exchange: &Exchange) -> Result<(Seen, Option<Vec<u8>>), StoreError> {
        let presented = exchange.presented();
        let nonce = presented.nonce.map(|nonce| nonce.0.to_vec()).unwrap_or_default();
        let call = Call::new(&scripts::ROTATE)
            .key(self.keys.row(exchange.handle()))
            .arg(presented.link.generation)
            .arg(presented.link.parent)
            .arg(codec::millis(exchange.grace().floor()))
            .arg(nonce)
            .arg(&exchange.fingerprint().0[..]);
        let mut answer = self.link.call(call).await?.into_iter();
        let now = values::next_time(&mut answer)?;
        let seen = Seen { now, bytes: values::bytes(answer.next().unwrap_or(Value::Nil))? };
        Ok((seen, values::bytes(answer.next().unwrap_or(Value::Nil))?))
    }

    pub(super) async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let confirm = async |(handle, generation): (SessionHandle, u32)| {
            let seen = self.look(handle).await?;
            let confirm = |row: Option<&mut Row>, now| {
                let Some(row) = row.filter(|row| row.is_live(now)) else { return ((), None) };
                row.confirm(generation, now);
                let replaced = if row.ended.is_some() { None } else { row.replaces.take() };
                ((), replaced)
            };
            self.transact(handle, seen, confirm).await
        };
        stream::iter(used).map(confirm).buffer_unordered(AT_ONCE).try_collect().await
    }

    pub(super) async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.look(handle).await?.row(handle)
    }

    pub(super) async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let seen = self.look(handle).await?;
        let change = |row: Option<&mut Row>, now| {
            (row.map_or(Changed::Gone, |row| row.change(version, &change, now)), None)
        };
        self.transact(handle, seen, change).await
    }

    /// Ends a session, and those that it replaces if the end shows that it was in use. Returns whether it was live.
    pub(super) async fn end(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        let seen = self.look(handle).await?;
        let as_of = seen.now;
        self.end_seen(handle, seen, reason, as_of).await
    }

    /// Ends a session that was to end at a time, and may have expired since.
    pub(super) async fn end_as_of(
        &self,
        handle: SessionHandle,
        reason: EndReason,
        as_of: Timestamp,
    ) -> Result<bool, StoreError> {
        let seen = self.look(handle).await?;
        self.end_seen(handle, seen, reason, as_of).await
    }

    /// As [`end_as_of`](Self::end_as_of); a session whose row is still to come ends when it comes, and is answered with `None`.
    pub(super) async fn end_or_stop(
        &self,
        handle: SessionHandle,
        reason: EndReason,
        as_of: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        let mut seen = self.look(handle).await?;
        if seen.bytes.is_none() {
            let marker = codec::encode_marker(&Ended { at: seen.now, reason });
            match self.replace(handle, &seen, &marker).await? {
                None => return Ok(None),
                Some(newer) => seen = newer,
            }
        }
        if seen.row(handle)?.is_none() {
            return Ok(None);
        }
        self.end_seen(handle, seen, reason, as_of).await.map(Some)
    }

    async fn end_seen(
        &self,
        handle: SessionHandle,
        seen: Seen,
        reason: EndReason,
        as_of: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transact(handle, seen, ending(reason, as_of)).await
    }

    /// Ends the user's sessions: first nothing new is as old any more, then one after another ends, then every node is told.
    pub(super) async fn end_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let partition = self.keys.of_user(&user);
        let call = Call::new(&scripts::MARK)
            .key(self.keys.user(&user))
            .key(self.keys.mark(&user))
            .key(self.keys.errands(partition))
            .arg(&*user)
            .arg(codec::encode_end(&Ended { at: Timestamp::default(), reason }))
            .arg(except.map(|handle| handle.to_string()).unwrap_or_default());
        let mut answer = self.link.call(call).await?.into_iter();
        let made_by = values::next_time(&mut answer)?;
        let errand: String = values::next(&mut answer)?;
        let mut handles = values::handles(answer)?;
        handles.retain(|handle| Some(*handle) != except);
        let ended = self.end_each(&user, handles, reason, made_by).await?;
        if except.is_none() {
            self.publish(&codec::encode_mark(&user, made_by)).await?;
        }
        self.done(partition, &errand).await?;
        Ok(ended)
    }

    /// The user's sessions that were made by a time.
    pub(super) async fn made_by(
        &self,
        user: &str,
        time: Timestamp,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let beyond = (time.as_millis() + 1).saturating_mul(PLACES_PER_MS);
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range.arg(self.keys.user(user)).arg("-inf").arg(format!("({beyond}"));
        let handles: Vec<Value> = values::only(self.link.command(&range).await?)?;
        values::handles(handles.into_iter())
    }

    /// Ends sessions of a user, who keeps no place for those that have no row. Returns those that were live.
    pub(super) async fn end_each(
        &self,
        user: &str,
        handles: Vec<SessionHandle>,
        reason: EndReason,
        as_of: Timestamp,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let end =
            async |handle| Ok::<_, StoreError>((handle, self.end_or_stop(handle, reason, as_of).await?));
        let ends: Vec<_> = stream::iter(handles).map(end).buffered(AT_ONCE).try_collect().await?;
        let that = |wanted| {
            ends.iter().filter(move |(_, end)| *end == wanted).map(|(handle, _)| *handle).collect::<Vec<_>>()
        };
        let stopped = that(None);
        if !stopped.is_empty() {
            self.forget(user, &stopped).await?;
        }
        Ok(that(Some(true)))
    }
}

/// Looking after them.
impl Sessions {
    pub(super) async fn list(&self, user: &str) -> Result<Vec<Row>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(self.keys.user(user)).arg(0).arg(-1);
        let handles: Vec<Value> = values::only(self.link.command(&range).await?)?;
        let handles = values::handles(handles.into_iter())?;
        let (mut live, mut lost, mut now) = (Vec::new(), Vec::new(), Timestamp::default());
        for (handle, seen) in handles.iter().zip(self.look_at(&handles).await?) {
            now = now.max(seen.now);
            match seen.row(*handle)? {
                Some(row) => live.extend(Some(row).filter(|row| row.is_live(seen.now))),
                None => lost.push(*handle),
            }
        }
        if !lost.is_empty()
            && let Err(error) = self.clear(user, lost, now).await
        {
            tracing::debug!(%error, "places stay of sessions that are gone");
        }
        Ok(live)
    }

    /// Gives up the places of sessions that have no row, unless they were taken so lately that the row may be coming.
    async fn clear(
        &self,
        user: &str,
        mut lost: Vec<SessionHandle>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let old: HashSet<_> = self.made_by(user, now.before(ON_ITS_WAY)).await?.into_iter().collect();
        lost.retain(|handle| old.contains(handle));
        self.end_each(user, lost, EndReason::Revoked, now).await.map(drop)
    }

    pub(super) async fn purge(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        let mut purge = Purge::default();
        let mut left = limit;
        for partition in self.keys.partitions() {
            if left == 0 {
                purge.more = true;
                break;
            }
            let looked_at = self.purge_partition(partition, retention, left, &mut purge.expired).await?;
            left -= looked_at.min(left);
        }
        purge.more |= left == 0;
        Ok(purge)
    }

    /// Returns how many rows were looked at.
    async fn purge_partition(
        &self,
        partition: Partition,
        retention: Duration,
        limit: usize,
        expired: &mut Vec<(SessionHandle, Arc<str>)>,
    ) -> Result<usize, StoreError> {
        let call = Call::new(&scripts::PURGE)
            .key(self.keys.due(partition))
            .key(self.keys.feed_in(partition))
            .arg(self.keys.rows(partition))
            .arg(codec::millis(retention))
            .arg(limit);
        let mut answer = self.link.call(call).await?.into_iter();
        let looked_at = values::next(&mut answer)?;
        let mut deleted = Vec::new();
        while let Some(handle) = answer.next() {
            let (handle, user) = (values::handle(handle)?, values::next::<String>(&mut answer)?);
            let user: Arc<str> = user.into();
            deleted.push((handle, Arc::clone(&user)));
            if values::next(&mut answer)? {
                expired.push((handle, user));
            }
        }
        let forget = async |(handle, user): (SessionHandle, Arc<str>)| self.forget(&user, &[handle]).await;
        stream::iter(deleted).map(forget).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(looked_at)
    }
}

/// What the operations are made of.
impl Sessions {
    pub(super) async fn look(&self, handle: SessionHandle) -> Result<Seen, StoreError> {
        let mut answer =
            self.link.call(Call::new(&scripts::READ).key(self.keys.row(handle))).await?.into_iter();
        let now = values::next_time(&mut answer)?;
        Ok(Seen { now, bytes: values::bytes(answer.next().unwrap_or(Value::Nil))? })
    }

    /// Looks at many rows, those of one partition at one time, and gives them in the order of their handles.
    async fn look_at(&self, handles: &[SessionHandle]) -> Result<Vec<Seen>, StoreError> {
        let mut partitions: BTreeMap<Partition, Vec<SessionHandle>> = BTreeMap::new();
        handles.iter().for_each(|handle| {
            partitions.entry(self.keys.of_handle(*handle)).or_default().push(*handle);
        });
        let look = async |handles: Vec<SessionHandle>| {
            let keys = handles.iter().map(|handle| self.keys.row(*handle));
            let call = keys.fold(Call::new(&scripts::READ), Call::key);
            let mut answer = self.link.call(call).await?.into_iter();
            let now = values::next_time(&mut answer)?;
            let rows = answer.map(values::bytes).collect::<Result<Vec<_>, _>>()?;
            let rows = rows.into_iter().chain(std::iter::repeat(None));
            Ok::<_, StoreError>(
                handles.into_iter().zip(rows).map(move |(handle, bytes)| (handle, Seen { now, bytes })),
            )
        };
        let seen: Vec<_> =
            stream::iter(partitions.into_values()).map(look).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut seen: HashMap<_, _> = seen.into_iter().flatten().collect();
        handles.iter().map(|handle| seen.remove(handle).ok_or_else(unexpected)).collect()
    }

    /// Decides on a row and writes what was decided, if the row is still the one that was decided on; else decides anew. A
    /// decision made on an unchanged row is that of the moment at which the row was read.
    ///
    /// `step` changes the row at a time, and says which session ends with it.
    async fn transact<T>(
        &self,
        handle: SessionHandle,
        seen: Seen,
        step: impl Fn(Option<&mut Row>, Timestamp) -> (T, Option<Box<SessionHandle>>),
    ) -> Result<T, StoreError> {
        let (answer, written) = self.transact_here(handle, seen, step).await?;
        if let Some(written) = written {
            self.follow_up(written).await?;
        }
        Ok(answer)
    }

    /// The part of [`transact`](Self::transact) that lies in the row's slot. Returns also what was written, if anything was.
    async fn transact_here<T>(
        &self,
        handle: SessionHandle,
        mut seen: Seen,
        step: impl Fn(Option<&mut Row>, Timestamp) -> (T, Option<Box<SessionHandle>>),
    ) -> Result<(T, Option<Written>), StoreError> {
        loop {
            let before = seen.row(handle)?;
            let mut row = before.clone();
            let (answer, replaced) = step(row.as_mut(), seen.now);
            let (Some(before), Some(row)) = (before, row) else { return Ok((answer, None)) };
            if row == before {
                return Ok((answer, None));
            }
            let now = seen.now;
            let mut writes = vec![Write::of(seen, &before, row)];
            let replaced = self.take_along(&mut writes, replaced, now).await?;
            match self.write(&writes, replaced).await? {
                Some(newer) => seen = newer,
                None => {
                    let partition = self.keys.of_handle(handle);
                    let ended = writes.into_iter().filter_map(|write| write.newly_ended).collect();
                    return Ok((answer, Some(Written { partition, at: now, ended, replaced })));
                }
            }
        }
    }

    /// Adds the ends of the sessions that end with a row, in the same step, as far as they lie in the same slot and are not too
    /// many. Returns the first of the others: it ends afterwards, and until it has, an errand tells of it.
    async fn take_along(
        &self,
        writes: &mut Vec<Write>,
        mut replaced: Option<Box<SessionHandle>>,
        now: Timestamp,
    ) -> Result<Option<SessionHandle>, StoreError> {
        while let Some(handle) = replaced.as_deref().copied() {
            let is_elsewhere = self.keys.of_handle(handle) != self.keys.of_handle(writes[0].handle);
            if is_elsewhere || writes.len() == WRITTEN_AT_ONCE {
                return Ok(Some(handle));
            }
            let seen = self.look(handle).await?;
            let before = seen.row(handle)?.filter(|_| writes.iter().all(|write| write.handle != handle));
            let Some(before) = before else { break };
            let mut row = before.clone();
            row.end(EndReason::Replaced, now);
            replaced = row.replaces.take();
            if row != before {
                writes.push(Write::of(seen, &before, row));
            }
        }
        Ok(None)
    }

    /// Compare and set for one row's place. Returns what is there instead, if it is not what was seen.
    async fn replace(
        &self,
        handle: SessionHandle,
        seen: &Seen,
        bytes: &[u8],
    ) -> Result<Option<Seen>, StoreError> {
        let (seen, bytes) = (seen.clone(), bytes.to_owned());
        let write = Write { handle, seen, bytes, newly_ended: None, is_made_once: false };
        self.write(&[write], None).await
    }

    /// Compare and set for rows of one slot: all of them, or none. Returns what is in the first one's place, if one is not what was
    /// seen.
    ///
    /// Others may have written the very same bytes, so a note tells whether it was this request, should it arrive twice.
    async fn write(
        &self,
        writes: &[Write],
        replaced: Option<SessionHandle>,
    ) -> Result<Option<Seen>, StoreError> {
        let partition = self.keys.of_handle(writes[0].handle);
        let mut call = Call::new(&scripts::WRITE);
        for write in writes {
            call = call.key(self.keys.row(write.handle));
        }
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| StoreError::new("the system gives no random numbers"))?;
        call = call.key(self.keys.due(partition)).key(self.keys.errands(partition));
        call = call.key(self.keys.note(partition, id)).key(self.keys.feed_in(partition));
        let is_noted = replaced.is_some() || writes.iter().any(|write| write.is_made_once);
        call = call.arg(replaced.map(|handle| handle.to_string()).unwrap_or_default());
        call = call.arg(u8::from(is_noted));
        for write in writes {
            let before = write.seen.bytes.as_deref().unwrap_or_default();
            call = call.arg(before).arg(&write.bytes[..]).arg(write.handle.to_string());
        }
        let mut answer = self.link.call(call).await?.into_iter();
        let now = values::next_time(&mut answer)?;
        answer.next().map(|present| Ok(Seen { now, bytes: values::bytes(present)? })).transpose()
    }

    /// Does in other steps what belongs to rows that were written. A user may have made any number of sessions of which each
    /// replaces the one before, so they end in a loop.
    ///
    /// Boxed, because what the compiler can nest in each other is limited, and an application's futures stand around it.
    fn follow_up(&self, mut written: Written) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            loop {
                let ((), next) = try_join(self.report(&written.ended), self.end_replaced(&written)).await?;
                match next {
                    Some(next) => written = next,
                    None => return Ok(()),
                }
            }
        })
    }

    /// Tells of ended rows, and takes them out of the lists of their users.
    async fn report(&self, ended: &[Row]) -> Result<(), StoreError> {
        let report = async |row: &Row| try_join(self.tell(row), self.forget(&row.user, &[row.handle])).await;
        try_join_all(ended.iter().map(report)).await.map(drop)
    }

    /// Ends the session that ends after what was written. If another one ends with it, there is an errand for that one.
    async fn end_replaced(&self, written: &Written) -> Result<Option<Written>, StoreError> {
        let Some(replaced) = written.replaced else { return Ok(None) };
        let seen = self.look(replaced).await?;
        let end = ending(EndReason::Replaced, written.at);
        let (_, next) = self.transact_here(replaced, seen, end).await?;
        self.done(written.partition, &errands::replacing(replaced)).await?;
        Ok(next)
    }

    /// Takes the end of a row to the feed, unless it is there already because it lies in the same slot.
    async fn tell(&self, row: &Row) -> Result<(), StoreError> {
        let partition = self.keys.of_handle(row.handle);
        if partition == Partition::FEED {
            return Ok(());
        }
        self.publish(&codec::encode_told(row)).await?;
        self.done(partition, &errands::telling(row.handle)).await
    }

    pub(super) async fn publish(&self, told: &[u8]) -> Result<(), StoreError> {
        let mut add = redis::cmd("XADD");
        add.arg(self.keys.feed()).arg("*").arg("r").arg(told);
        self.link.command(&add).await.map(drop)
    }

    /// Takes sessions out of the list of their user.
    async fn forget(&self, user: &str, handles: &[SessionHandle]) -> Result<(), StoreError> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(self.keys.user(user));
        handles.iter().for_each(|handle| {
            remove.arg(handle.to_string());
        });
        self.link.command(&remove).await.map(drop)
    }

    pub(super) async fn done(&self, partition: Partition, errand: &str) -> Result<(), StoreError> {
        let mut delete = redis::cmd("HDEL");
        delete.arg(self.keys.errands(partition)).arg(errand);
        self.link.command(&delete).await.map(drop)
    }
}

/// What stands in a row's place, and when it was seen there.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) now: Timestamp,
    bytes: Option<Vec<u8>>,
}

impl Seen {
    /// What stands there after a rotation.
    fn turned(&self, turned: &[u8]) -> Result<Self, StoreError> {
        let row = self.bytes.as_deref().unwrap_or_default();
        let bytes = codec::with_turned(row, turned).map_err(StoreError::new)?;
        Ok(Self { now: self.now, bytes: Some(bytes) })
    }

    fn row(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        let row = match codec::decode_row(bytes) {
            Ok(Some(row)) if row.handle != handle => Err(Undecodable { what: "the row of another session" }),
            row => row,
        };
        row.map_err(|error| StoreError::new(format!("session {handle}: {error}")))
    }
}

/// What is to be in a row's place.
struct Write {
    handle: SessionHandle,
    seen: Seen,
    bytes: Vec<u8>,
    newly_ended: Option<Row>,
    /// Whether to do it again would have another answer: it ends or changes the session.
    is_made_once: bool,
}

impl Write {
    fn of(seen: Seen, before: &Row, row: Row) -> Self {
        let (handle, bytes) = (row.handle, codec::encode_row(&row));
        let is_made_once = before.ended != row.ended || before.version != row.version;
        let newly_ended = (before.ended.is_none() && row.ended.is_some()).then_some(row);
        Self { handle, seen, bytes, newly_ended, is_made_once }
    }
}

/// What was written to one slot, and is to be followed up.
struct Written {
    partition: Partition,
    at: Timestamp,
    ended: Vec<Row>,
    /// The session that ends next.
    replaced: Option<SessionHandle>,
}

/// What came of an attempt to make a session.
struct Place {
    outcome: Outcome,
    at: Timestamp,
    /// The sessions to look at, or to evict.
    handles: Vec<SessionHandle>,
}

enum Outcome {
    /// It has its place, and its row is still to be made.
    Reserved,
    Made,
    /// It was made, and had ended before.
    Ended,
    Taken,
    Full,
    /// The user has many sessions, and it has to be seen which of them are live.
    Unsure,
}

impl Place {
    fn of(answer: Vec<Value>) -> Result<Self, StoreError> {
        let mut answer = answer.into_iter();
        let outcome = match &*values::next::<String>(&mut answer)? {
            "reserved" => Outcome::Reserved,
            "made" => Outcome::Made,
            "ended" => Outcome::Ended,
            "taken" => Outcome::Taken,
            "full" => Outcome::Full,
            "unsure" => Outcome::Unsure,
            _ => return Err(unexpected()),
        };
        Ok(Self { outcome, at: values::next_time(&mut answer)?, handles: values::handles(answer)? })
    }
}

/// Ends a session that was to end at a time, and may have expired since.
fn ending(
    reason: EndReason,
    as_of: Timestamp,
) -> impl Fn(Option<&mut Row>, Timestamp) -> (bool, Option<Box<SessionHandle>>) {
    move |row, now| {
        let Some(row) = row else { return (false, None) };
        let ended = row.end(reason, now) || row.end(reason, as_of);
        (ended, if reason.shows_use() { row.replaces.take() } else { None })
    }
}

fn carry_out(
    exchange: &Exchange,
    mut row: Option<&mut Row>,
    now: Timestamp,
) -> (Rotation, Option<Box<SessionHandle>>) {
    let other_client = row.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
    let decision = exchange.step(row.as_deref_mut(), now);
    let replaced = match &mut row {
        Some(row) if decision.answer().is_some() => row.replaces.take(),
        _ => None,
    };
    (Rotation { decision, row: row.cloned(), other_client, now }, replaced)
}

/// Adds what a script needs to make a row: all but its times.
fn with_row(call: Call, new: &NewRow) -> Call {
    let row = codec::encode_row(&new.clone().into_row(Timestamp::default()));
    let (head, tail) = codec::around_times(&row);
    call.arg(head)
        .arg(tail)
        .arg(codec::millis(new.idle_lifetime))
        .arg(new.absolute_lifetime.map_or(0, codec::millis))
        .arg(codec::millis(new.grace.window().saturating_mul(2)))
}
