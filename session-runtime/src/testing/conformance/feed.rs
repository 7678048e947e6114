//! What the feed tells, and when.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    Broken, Verdict,
    bench::{Bench, Node, OWNER, PROMPT, STRANGER, ends, link, marks, present},
};
use crate::{
    handle::SessionHandle,
    store::{Cursor, EndReason, Revocation},
};

/// How long news may take at the very most, under the load of a test.
const SOON: Duration = Duration::from_secs(5);

pub(super) async fn every_end_is_told(bench: &Bench) -> Verdict {
    let (empty, start) = bench.feed_after(Cursor::default()).await?;
    ensure!(empty.is_empty(), "before anything ended, the feed told {empty:?}");

    let mut meant = Vec::new();
    for (count, reason) in
        [EndReason::Logout, EndReason::Revoked, EndReason::Replaced].into_iter().enumerate()
    {
        let row = bench.login(&format!("user {count}")).await?;
        bench.revoke(row.handle, reason).await?;
        meant.push((row.handle, reason));
    }
    let stolen = bench.rotated("victim").await?;
    bench.rotate(present(&stolen, link(2, 7), PROMPT, STRANGER)).await?;
    let reason = bench.row(stolen.handle).await?.ended.map(|ended| ended.reason);
    meant.push((stolen.handle, reason.unwrap_or(EndReason::Revoked)));
    let quiet = bench.login("quiet").await?;
    bench.rotate(present(&quiet, link(1, 0), PROMPT, OWNER)).await?;
    bench.revoke(bench.fresh_handle(), EndReason::Revoked).await?;

    let (told, end) = bench.feed_after(start).await?;
    let told_ends: Vec<_> = ends(&told).collect();
    ensure!(told_ends == meant, "ended were {meant:?}, and told {told_ends:?}");
    ensure!(end > start, "the cursor stood still");
    for (revocation, (handle, _)) in told.iter().zip(&meant) {
        let row = bench.row(*handle).await?;
        let ended = row.ended.as_deref().copied();
        let Revocation::Session { user, ended: told, .. } = revocation else { continue };
        ensure!(ended == Some(*told) && *user == row.user, "of {row:?}, the feed told {revocation:?}");
    }
    let (again, _) = bench.feed_after(Cursor::default()).await?;
    ensure!(again == told, "from the beginning, the feed told {again:?}");
    let (rest, stays) = bench.feed_after(end).await?;
    ensure!(
        rest.is_empty() && stays == end,
        "without news, the feed told {rest:?} and moved on to {stays:?}"
    );
    Ok(())
}

pub(super) async fn who_waits_is_woken(bench: &Bench) -> Verdict {
    let cursor = bench.feed_after(Cursor::default()).await?.1;
    let (asked, wait) = (Instant::now(), Duration::from_millis(50));
    let nothing = bench.revocations(cursor, wait).await?;
    let took = asked.elapsed();
    ensure!(nothing.revocations.is_empty() && nothing.next == cursor, "without news came {nothing:?}");
    ensure!(took < SOON, "who wanted to wait for {wait:?} waited for {took:?}");
    // A tokio runtime may fire a few milliseconds early or late, and a set clock may be the runtime's own.
    ensure!(took * 2 > wait, "who wanted to wait for {wait:?} was let go after {took:?}");

    let mut cursor = cursor;
    for _ in 0..3 {
        let row = bench.login("alice").await?;
        let waiting = tokio::spawn({
            let node = bench.handle();
            async move { node.revocations(cursor, 12 * SOON).await }
        });
        sleep(Duration::from_millis(20)).await;
        bench.revoke(row.handle, EndReason::Revoked).await?;
        let ended_at = Instant::now();
        let batch = waiting.await.map_err(|_| Broken::new("the feed panicked"))??;
        let told: Vec<_> = ends(&batch.revocations).collect();
        ensure!(told == [(row.handle, EndReason::Revoked)], "who waited was told {told:?}");
        ensure!(ended_at.elapsed() < SOON, "news took {:?}", ended_at.elapsed());
        cursor = batch.next;
    }
    Ok(())
}

pub(super) async fn the_count_goes_on(bench: &Bench) -> Verdict {
    let mut cursor = Cursor::default();
    for round in 0..3 {
        let row = bench.login("alice").await?;
        bench.revoke(row.handle, EndReason::Revoked).await?;
        let (told, next) = bench.feed_after(cursor).await?;
        let ended: Vec<_> = ends(&told).collect();
        ensure!(ended == [(row.handle, EndReason::Revoked)], "in round {round}, the feed told {ended:?}");
        ensure!(next > cursor, "in round {round}, the cursor went from {cursor:?} to {next:?}");
        bench.pass(Duration::from_millis(5)).await?;
        while bench.purge_expired(Duration::ZERO, 100).await?.more {}
        let (rest, after) = bench.feed_after(next).await?;
        ensure!(
            rest.is_empty() && after == next,
            "after a purge, the feed went from {next:?} to {after:?}: {rest:?}"
        );
        cursor = next;
    }
    // A cursor of another life of the store is answered with an earlier one, and who gets it begins anew.
    let ahead = Cursor(cursor.0 + 1_000_000);
    let batch = bench.revocations(ahead, Duration::ZERO).await?;
    ensure!(batch.next < ahead, "a cursor that the feed never reached was answered with {:?}", batch.next);
    Ok(())
}

pub(super) async fn a_follower_misses_nothing(bench: &Bench) -> Verdict {
    let count = (bench.scale.parallel / 2).max(4);
    let mut handles = Vec::new();
    for number in 0..count {
        handles.push(bench.login(&format!("user {}", number % 7)).await?.handle);
    }
    let follower = tokio::spawn(follow(bench.another().await, count));
    let nodes = [bench.handle(), bench.another().await];
    let mut enders = Vec::new();
    for (number, handle) in handles.iter().copied().enumerate() {
        let node = nodes[number % nodes.len()].clone();
        // Spread out, so that the follower reads while others publish.
        let pause = Duration::from_millis(number as u64 % 16);
        enders.push(tokio::spawn(async move {
            sleep(pause).await;
            node.revoke(handle, EndReason::Revoked).await
        }));
    }
    for ender in enders {
        ender.await.map_err(|_| Broken::new("the store panicked"))??;
    }
    let told = follower.await.map_err(|_| Broken::new("the feed panicked"))??;
    let missed: Vec<_> = handles.iter().filter(|handle| !told.contains(handle)).collect();
    ensure!(missed.is_empty(), "of {count} ends, {} were missed: {missed:?}", missed.len());
    let marked = bench.revoke_all("user 0".into(), None, EndReason::Revoked).await?;
    ensure!(marked.is_empty(), "{marked:?} had ended before");
    let (all, _) = bench.feed_after(Cursor::default()).await?;
    ensure!(ends(&all).count() == count && marks(&all, "user 0").len() == 1, "an end was published twice");
    Ok(())
}

/// Follows the feed until it told of `count` ends, or of none for a while.
async fn follow(node: Node, count: usize) -> Result<BTreeSet<SessionHandle>, Broken> {
    let (mut told, mut cursor) = (BTreeSet::new(), Cursor::default());
    while told.len() < count {
        let batch = node.revocations(cursor, SOON).await?;
        if batch.revocations.is_empty() && !batch.more {
            break;
        }
        told.extend(ends(&batch.revocations).map(|(handle, _)| handle));
        cursor = batch.next;
    }
    Ok(told)
}
