//! Time: what is stamped, what expires, and what is deleted afterwards.

use std::time::Duration;

use super::{
    Broken, Verdict,
    bench::{Bench, LONG, OWNER, PROMPT, ROW_GRACE, link, present},
};
use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::{Decision, Grace, Why},
    store::{Change, Changed, Cursor, EndReason, NewRow, Revocation, Row},
};

const MS: Duration = Duration::from_millis(1);

pub(super) async fn times_are_the_stores(bench: &Bench) -> Verdict {
    for _ in 0..3 {
        bench.pass(7 * MS).await?;
        let made =
            stamped(bench, "a creation", async || bench.login("alice").await, |row| row.created_at).await?;
        let of_row = [made.authenticated_at, made.chain.rotated_at.after(2 * ROW_GRACE.window())];
        ensure!(of_row == [made.created_at; 2], "the times of a new row don't agree: {made:?}");

        bench.pass(7 * MS).await?;
        let rotate = async || Ok(bench.rotate(present(&made, link(1, 0), PROMPT, OWNER)).await?);
        let rotation = stamped(bench, "a rotation", rotate, |rotation| rotation.now).await?;
        let rotated_at = rotation.row.map(|row| row.chain.rotated_at);
        ensure!(
            rotated_at == Some(rotation.now),
            "made at {:?}, it was kept as of {rotated_at:?}",
            rotation.now
        );

        bench.pass(7 * MS).await?;
        let confirm = async || {
            bench.confirm(vec![(made.handle, 2)]).await?;
            bench.row(made.handle).await
        };
        stamped(bench, "a confirmation", confirm, |row| row.chain.used_at.unwrap_or_default()).await?;

        bench.pass(7 * MS).await?;
        let update = async || match bench.update(made.handle, 0, Change::Authenticated).await? {
            Changed::Done(row) => Ok(row),
            other => Err(Broken::new(format!("the change was answered with {other:?}"))),
        };
        stamped(bench, "an authentication", update, |row| row.authenticated_at).await?;

        bench.pass(7 * MS).await?;
        let end = async || {
            bench.revoke(made.handle, EndReason::Revoked).await?;
            bench.row(made.handle).await
        };
        let ended_at = |row: &Row| row.ended.as_ref().map(|ended| ended.at).unwrap_or_default();
        let ended = stamped(bench, "an end", end, ended_at).await?;
        let (told, _) = bench.feed_after(Cursor::default()).await?;
        let is_told = told.iter().any(|revocation| {
            matches!(revocation, Revocation::Session { handle, ended: told, .. }
                if *handle == made.handle && Some(told) == ended.ended.as_deref())
        });
        ensure!(is_told, "the feed tells of another end than the row, {:?}: {told:?}", ended.ended);
    }
    Ok(())
}

/// Does something, and requires that its stamp lies between the store's times before and after.
async fn stamped<T>(
    bench: &Bench,
    what: &str,
    make: impl AsyncFnOnce() -> Result<T, Broken>,
    stamp: impl FnOnce(&T) -> Timestamp,
) -> Result<T, Broken> {
    let before = bench.now().await?;
    let made = make().await?;
    let (at, after) = (stamp(&made), bench.now().await?);
    ensure!(before <= at && at <= after, "{what} between {before:?} and {after:?} is stamped {at:?}");
    Ok(made)
}

pub(super) async fn sessions_expire(bench: &Bench) -> Verdict {
    // Where the clock can't be set, the lifetime is long enough to do things within it.
    let lifetime = if bench.has_set_clock() { 100 * MS } else { 3000 * MS };
    let idle = bench.make(NewRow { idle_lifetime: lifetime, ..bench.plain("idle") }).await?;
    let absolute = NewRow { absolute_lifetime: Some(lifetime), ..bench.plain("absolute") };
    let absolute = bench.make(absolute).await?;
    let refreshed = bench.make(NewRow { idle_lifetime: lifetime, ..bench.plain("refreshed") }).await?;

    bench.pass(lifetime / 2).await?;
    let rotated = bench.rotate(present(&refreshed, link(1, 0), PROMPT, OWNER)).await?;
    let moved = rotated.row.as_ref().map(|row| row.idle_expires_at);
    ensure!(moved == Some(rotated.now.after(lifetime)), "a rotation moved the idle expiry to {moved:?}");
    let rotated = bench.rotate(present(&absolute, link(1, 0), PROMPT, OWNER)).await?;
    let kept = rotated.row.as_ref().map(|row| row.absolute_expires_at);
    ensure!(kept == Some(absolute.absolute_expires_at), "a rotation moved the absolute expiry to {kept:?}");

    if bench.has_set_clock() {
        bench.pass(lifetime / 2 - MS).await?;
        for row in [&idle, &absolute] {
            ensure!(is_live(bench, row).await?, "a session expired a millisecond early: {row:?}");
        }
        bench.pass(MS).await?;
    } else {
        bench.pass(lifetime / 2 + MS).await?;
    }
    for row in [&idle, &absolute] {
        ensure!(!is_live(bench, row).await?, "a session is live at its expiry: {row:?}");
        let late = bench.rotate(present(row, link(1, 0), Grace::STRICT, OWNER)).await?.decision;
        ensure!(
            late == Decision::Unauthorised(Why::Expired),
            "an expired session was answered with {late:?}"
        );
        let change = bench.update(row.handle, 0, Change::Authenticated).await?;
        ensure!(matches!(change, Changed::Gone), "an expired session was changed: {change:?}");
        ensure!(!bench.revoke(row.handle, EndReason::Logout).await?, "an expired session counted as live");
        bench.confirm(vec![(row.handle, 2)]).await?;
        let kept = bench.read(row.handle).await?;
        ensure!(kept.is_none_or(|row| row.ended.is_none()), "an expired session was ended");
    }
    ensure!(is_live(bench, &refreshed).await?, "a session expired although it was refreshed");
    Ok(())
}

async fn is_live(bench: &Bench, row: &Row) -> Result<bool, Broken> {
    Ok(bench.list(row.user.clone()).await?.iter().any(|live| live.handle == row.handle))
}

pub(super) async fn the_purge_deletes_the_dead(bench: &Bench) -> Verdict {
    const BATCH: usize = 10;
    const RETENTION: Duration = Duration::from_secs(2 * 3600);
    let lifetime = 20 * MS;
    let mut expiring = Vec::new();
    for _ in 0..3 * BATCH {
        expiring.push(bench.make(NewRow { idle_lifetime: lifetime, ..bench.plain("alice") }).await?.handle);
    }
    let (live, ended) = (bench.rotated("alice").await?, bench.login("bob").await?.handle);
    bench.revoke(ended, EndReason::Logout).await?;
    bench.revoke_all("carol".into(), None, EndReason::Revoked).await?;
    let told = bench.feed_after(Cursor::default()).await?;
    bench.pass(lifetime + MS).await?;
    if bench.has_set_clock() {
        bench.pass(RETENTION / 2).await?;
    }

    let mut expired = Vec::new();
    let mut there = expiring.len();
    loop {
        let purge = bench.purge_expired(RETENTION, BATCH).await?;
        let left = count_of(bench, &expiring).await?;
        ensure!(there - left <= BATCH, "a batch of {BATCH} deleted {}", there - left);
        ensure!(
            purge.expired.len() == there - left,
            "{} were deleted, told: {:?}",
            there - left,
            purge.expired
        );
        expired.extend(purge.expired);
        there = left;
        if !purge.more {
            break;
        }
    }
    ensure!(
        expired.iter().all(|(_, user)| **user == *"alice"),
        "the purge tells of other users: {expired:?}"
    );
    ensure!(expired.iter().all(|(handle, _)| expiring.contains(handle)), "others were deleted: {expired:?}");
    ensure!(!bench.has_set_clock() || there == 0, "{there} rows are there an hour after they expired");
    ensure!(bench.row(live.handle).await? == live, "the purge changed a live session");
    ensure!(count_of(bench, &[ended]).await? == 1, "a session was forgotten while its access tokens live");
    ensure!(
        bench.feed_after(Cursor::default()).await? == told,
        "an end was forgotten while access tokens live"
    );
    ensure!(bench.list("alice".into()).await?.len() == 1, "the purge changed who is listed");

    if bench.has_set_clock() {
        bench.pass(2 * RETENTION).await?;
        let mut batches = 0;
        while bench.purge_expired(RETENTION, BATCH).await?.more {
            batches += 1;
            ensure!(batches < 100, "the purge comes to no end");
        }
        ensure!(count_of(bench, &[ended]).await? == 0, "an ended session is kept longer than was asked for");
        ensure!(bench.row(live.handle).await? == live, "the purge changed a live session");
        let fresh = bench.rotate(present(&live, link(2, 1), PROMPT, OWNER)).await?.decision.rule();
        ensure!(fresh == 5, "the session that was left was answered by rule {fresh}, not 5");
    }
    let young = bench.login("dora").await?;
    ensure!(LONG > 5 * RETENTION && is_live(bench, &young).await?, "a session was made and is not there");
    Ok(())
}

async fn count_of(bench: &Bench, handles: &[SessionHandle]) -> Result<usize, Broken> {
    let mut count = 0;
    for handle in handles {
        count += usize::from(bench.read(*handle).await?.is_some());
    }
    Ok(count)
}
