//! What an operation has begun in one partition and has still to do in another.
//!
//! An errand is written in the same step as what makes it necessary, and taken away when it is done. Whoever began it does it
//! at once; if that process dies in between, another finds it here. To do an errand twice is harmless: an end stays as it is, and
//! the feed tells of it at least once.

use std::time::Duration;

use redis::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    codec::{self, Undecodable},
    keys::Partition,
    scripts::{self, Call},
    steps::Sessions,
    values,
};
use crate::{clock::Timestamp, error::StoreError, handle::SessionHandle, store::EndReason};

/// How often errands are looked after, by one of all processes.
const INTERVAL: Duration = Duration::from_secs(5);

/// The age from which on an errand is taken for abandoned: longer than any operation may take.
const ABANDONED: Duration = Duration::from_secs(10);

/// The errand to take an end to the feed.
pub(super) fn telling(handle: SessionHandle) -> String {
    format!("end:{handle}")
}

/// The errand to end a session whose successor is in use.
pub(super) fn replacing(handle: SessionHandle) -> String {
    format!("replaced:{handle}")
}

/// The errand to end a session in favour of a newer one.
pub(super) fn evicting(handle: SessionHandle) -> String {
    format!("evict:{handle}")
}

/// Does abandoned errands, as long as it runs.
pub(super) async fn tend(sessions: &Sessions) {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = sessions.tend_in_turn().await {
            tracing::warn!(%error, "abandoned errands wait");
        }
    }
}

impl Sessions {
    async fn tend_in_turn(&self) -> Result<(), StoreError> {
        let mut turn = redis::cmd("SET");
        let term = INTERVAL - INTERVAL / 10;
        turn.arg(self.keys.tending()).arg(1).arg("NX").arg("PX").arg(codec::millis(term));
        match self.link.command(&turn).await? {
            Value::Nil => Ok(()),
            _ => {
                self.do_errands(ABANDONED).await;
                Ok(())
            }
        }
    }

    /// Does every errand of at least an age, as far as it can be done.
    pub(super) async fn do_errands(&self, age: Duration) {
        for partition in self.keys.partitions() {
            if let Err(error) = self.do_errands_of(partition, age).await {
                tracing::warn!(%error, "abandoned errands wait");
            }
        }
    }

    async fn do_errands_of(&self, partition: Partition, age: Duration) -> Result<(), StoreError> {
        let call = Call::new(&scripts::OVERDUE).key(self.keys.errands(partition)).arg(codec::millis(age));
        let mut answer = self.link.call(call).await?.into_iter();
        while let Some(name) = answer.next() {
            let name: String = values::only(name)?;
            let (begun_at, about) = (values::next_time(&mut answer)?, values::next::<Vec<u8>>(&mut answer)?);
            tracing::info!(errand = name, "finishing what another process began");
            let done = async {
                self.do_errand(&name, begun_at, &about).await?;
                self.done(partition, &name).await
            };
            if let Err(error) = done.await {
                tracing::warn!(%error, errand = name, "an abandoned errand waits");
            }
        }
        Ok(())
    }

    async fn do_errand(&self, name: &str, begun_at: Timestamp, about: &[u8]) -> Result<(), StoreError> {
        let (kind, of) = name.split_once(':').ok_or_else(unknown)?;
        let handle = || of.parse::<SessionHandle>().map_err(|_| unknown());
        match kind {
            "end" => self.publish(about).await,
            "replaced" => self.end_as_of(handle()?, EndReason::Replaced, begun_at).await.map(drop),
            "evict" => self.end_or_stop(handle()?, EndReason::Evicted, begun_at).await.map(drop),
            "all" => self.finish_all(of, about).await,
            _ => Err(unknown()),
        }
    }

    /// Goes on ending the sessions of a user that were made by a time.
    async fn finish_all(&self, of: &str, about: &[u8]) -> Result<(), StoreError> {
        let mut parts = of.splitn(3, ':');
        let (Some(made_by), Some(except), Some(user)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unknown());
        };
        let made_by = made_by.parse().map(Timestamp::from_millis).map_err(|_| unknown())?;
        let reason = codec::decode_end(about).map_err(StoreError::new)?.reason;
        let mut handles = self.made_by(user, made_by).await?;
        handles.retain(|handle| handle.to_string() != except);
        self.end_each(user, handles, reason, made_by).await?;
        if except.is_empty() {
            self.publish(&codec::encode_mark(user, made_by)).await?;
        }
        Ok(())
    }
}

fn unknown() -> StoreError {
    StoreError::new(Undecodable { what: "an errand of another version" })
}
