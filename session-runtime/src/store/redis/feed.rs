//! The feed: a stream whose entries are numbered by the time at which they came.
//!
//! Its numbers grow even if the last of them are lost, because time has passed when others come, so that a node which saw what
//! is lost misses nothing that comes after.

use std::time::Duration;

use redis::Value;
use tokio::{sync::watch, time::sleep};

use super::{
    codec,
    connection::{Link, unexpected},
    scripts::{self, Call},
    steps::Sessions,
    values,
};
use crate::{
    error::StoreError,
    store::{Batch, Cursor},
};

/// How many entries are read at once.
const BATCH: usize = 1000;

/// How long the server is asked to wait for an entry.
pub(super) const WAIT: Duration = Duration::from_secs(1);

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

impl Sessions {
    pub(super) async fn revocations(&self, after: Cursor) -> Result<Batch, StoreError> {
        let call = Call::new(&scripts::FEED).key(self.keys.feed()).arg(entry_of(after)).arg(BATCH);
        let mut answer = self.link.call(call).await?.into_iter();
        let now = values::next_time(&mut answer)?;
        let mut next = cursor_of(&values::next::<String>(&mut answer)?)?;
        let mut revocations = Vec::new();
        while let Some(entry) = answer.next() {
            let entry = cursor_of(&values::only::<String>(entry)?)?;
            let told: Vec<u8> = values::next(&mut answer)?;
            revocations.push(codec::decode_revocation(&told).map_err(StoreError::new)?);
            if revocations.len() == BATCH {
                next = entry;
            }
        }
        Ok(Batch { more: revocations.len() == BATCH, revocations, next, now })
    }
}

/// Waits for entries on a connection of its own, and wakes whoever follows the feed, as long as it runs.
pub(super) async fn listen(link: &Link, feed: &str, news: &watch::Sender<()>) {
    let mut last = None;
    loop {
        match wait_for_entry(link, feed, last.as_deref()).await {
            Ok(Waited::Entry(entry)) => {
                last = Some(entry);
                news.send_replace(());
            }
            Ok(Waited::InVain) => {}
            // What came meanwhile, the followers find when they look.
            Err(error) => {
                tracing::debug!(%error, "nobody tells of new revocations");
                last = None;
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

enum Waited {
    Entry(String),
    InVain,
}

/// Without a last entry, finds the one that is the last now, and takes it for news.
async fn wait_for_entry(link: &Link, feed: &str, last: Option<&str>) -> Result<Waited, StoreError> {
    let Some(last) = last else {
        let mut newest = redis::cmd("XREVRANGE");
        newest.arg(feed).arg("+").arg("-").arg("COUNT").arg(1);
        let entries: Vec<Value> = values::only(link.command(&newest).await?)?;
        let entry = entries.into_iter().next().map(entry_id).transpose()?;
        return Ok(Waited::Entry(entry.unwrap_or_else(|| "0-0".to_owned())));
    };
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK").arg(codec::millis(WAIT)).arg("STREAMS").arg(feed).arg(last);
    let Value::Array(mut streams) = link.command(&read).await? else { return Ok(Waited::InVain) };
    let (_, entries): (String, Vec<Value>) = values::only(streams.pop().ok_or_else(unexpected)?)?;
    entries.into_iter().next_back().map(entry_id).ok_or_else(unexpected)?.map(Waited::Entry)
}

fn entry_id(entry: Value) -> Result<String, StoreError> {
    let (id, _): (String, Value) = values::only(entry)?;
    Ok(id)
}

/// How many bits of a cursor count the entries of one millisecond.
const COUNT_BITS: u32 = 20;

/// The entry's number: its millisecond, and its place in that.
fn cursor_of(entry: &str) -> Result<Cursor, StoreError> {
    let (millis, count) = entry.split_once('-').ok_or_else(unexpected)?;
    let (Ok(millis), Ok(count)) = (millis.parse::<u64>(), count.parse::<u64>()) else {
        return Err(unexpected());
    };
    if millis >> (u64::BITS - COUNT_BITS) != 0 || count >> COUNT_BITS != 0 {
        return Err(unexpected());
    }
    Ok(Cursor(millis << COUNT_BITS | count))
}

fn entry_of(Cursor(number): Cursor) -> String {
    format!("{}-{}", number >> COUNT_BITS, number & ((1 << COUNT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_for_an_entry_and_keeps_their_order() {
        let entries = ["0-0", "0-1", "1700000000000-0", "1700000000000-1048575", "1700000000001-0"];
        let cursors: Vec<_> = entries.iter().map(|entry| cursor_of(entry).unwrap()).collect();
        assert!(cursors.is_sorted());
        let again: Vec<_> = cursors.into_iter().map(entry_of).collect();
        assert_eq!(again, entries);
    }

    #[test]
    fn an_entry_that_no_cursor_can_stand_for_is_refused() {
        for entry in ["", "1", "-", "x-1", "1-x", "1-1048576", "17592186044416-0"] {
            assert!(cursor_of(entry).is_err(), "{entry:?}");
        }
    }
}
