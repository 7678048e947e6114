//! Every operation by itself.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{
    Broken, Verdict,
    bench::{Bench, LONG, OWNER, PROMPT, created, ends, link, marks, present},
};
use crate::{
    handle::SessionHandle,
    store::{BeyondLimit, Change, Changed, Creation, Cursor, EndReason, NewRow, Origin, Row, SessionLimit},
};

pub(super) async fn a_row_is_kept_whole(bench: &Bench) -> Verdict {
    let first = bench.plain("first");
    let full = NewRow {
        tenant: Some("tenant: ö \" ' \\ %".into()),
        absolute_lifetime: Some(2 * LONG),
        persistent: false,
        origin: Some(Box::new(Origin {
            address: "2001:db8::1".parse().ok(),
            user_agent: Some("Mozilla/5.0 (日本語; \"quoted\"; it's)".into()),
        })),
        replaces: Some(first.handle),
        claims: Some(r#"{"role":["admin"],"né":"\u0000 🦀","n":1.0}"#.into()),
        data: Some(format!(r#"{{"cart":"{}"}}"#, "x".repeat(10_000)).into()),
        ..bench.plain("Ünï; DROP TABLE 🦀 ' -- %s {0}\n")
    };
    let half = NewRow {
        origin: Some(Box::new(Origin { address: "192.0.2.1".parse().ok(), user_agent: None })),
        claims: Some("{}".into()),
        ..bench.plain("")
    };
    for new in [first, full, half] {
        let made = bench.make(new.clone()).await?;
        let meant = new.into_row(made.created_at);
        ensure!(made == meant, "it was answered as {made:?}, and asked for was {meant:?}");
        let kept = bench.row(made.handle).await?;
        ensure!(kept == meant, "it was kept as {kept:?}, and asked for was {meant:?}");
        let listed = bench.list(meant.user.clone()).await?;
        ensure!(listed == [meant], "it was listed as {listed:?}");
    }
    let unknown = bench.read(bench.fresh_handle()).await?;
    ensure!(unknown.is_none(), "a session that was never made was read as {unknown:?}");
    Ok(())
}

pub(super) async fn a_handle_is_taken_once(bench: &Bench) -> Verdict {
    let first = bench.login("alice").await?;
    for ended in [false, true] {
        let kept = bench.row(first.handle).await?;
        for user in ["alice", "mallory"] {
            let again = NewRow { handle: first.handle, ..bench.plain(user) };
            let creation = bench.create(again).await?;
            ensure!(
                matches!(creation, Creation::HandleTaken),
                "a taken handle was answered with {creation:?}"
            );
        }
        ensure!(bench.row(first.handle).await? == kept, "the session was changed (ended: {ended})");
        let listed = bench.list("mallory".into()).await?;
        ensure!(listed.is_empty(), "who asked for the handle got {listed:?}");
        bench.revoke(first.handle, EndReason::Revoked).await?;
    }
    Ok(())
}

fn limited(new: NewRow, max: u32, beyond: BeyondLimit) -> NewRow {
    NewRow { limit: Some(SessionLimit { max, beyond }), ..new }
}

pub(super) async fn a_limit_holds(bench: &Bench) -> Verdict {
    let other = bench.login("bob").await?;
    let mut rows = Vec::new();
    for _ in 0..5 {
        rows.push(bench.make(limited(bench.plain("alice"), 3, BeyondLimit::EvictOldest)).await?);
    }
    expect_live(bench, "alice", &rows[2..]).await?;
    for row in &rows[..2] {
        let kept = bench.row(row.handle).await?;
        let reason = kept.ended.map(|ended| ended.reason);
        ensure!(reason == Some(EndReason::Evicted), "the session beyond the limit ended as {reason:?}");
        ensure!(bench.told_end(row.handle).await? == EndReason::Evicted, "the feed tells of another reason");
    }
    let creation = bench.create(limited(bench.plain("alice"), 3, BeyondLimit::Refuse)).await?;
    ensure!(matches!(creation, Creation::LimitReached), "one too many was answered with {creation:?}");
    expect_live(bench, "alice", &rows[2..]).await?;

    // What has ended makes room, and a limit that was lowered holds at the next login.
    bench.revoke(rows[3].handle, EndReason::Logout).await?;
    let fits = bench.make(limited(bench.plain("alice"), 3, BeyondLimit::Refuse)).await?;
    expect_live(bench, "alice", &[rows[2].clone(), rows[4].clone(), fits]).await?;
    let only = bench.make(limited(bench.plain("alice"), 1, BeyondLimit::EvictOldest)).await?;
    expect_live(bench, "alice", &[only]).await?;
    expect_live(bench, "bob", &[other]).await
}

pub(super) async fn the_replaced_does_not_count(bench: &Bench) -> Verdict {
    for beyond in [BeyondLimit::Refuse, BeyondLimit::EvictOldest] {
        let user = format!("{beyond:?}");
        let first = bench.make(limited(bench.plain(&user), 1, beyond)).await?;
        let second = NewRow { replaces: Some(first.handle), ..limited(bench.plain(&user), 1, beyond) };
        let second = created(bench.create(second).await?)?;
        expect_live(bench, &user, &[first, second]).await?;
    }
    Ok(())
}

async fn expect_live(bench: &Bench, user: &str, rows: &[Row]) -> Verdict {
    let (live, meant) = (handles(&bench.list(user.into()).await?), handles(rows));
    ensure!(live == meant, "live are {live:?}, not {meant:?}");
    Ok(())
}

fn handles(rows: &[Row]) -> Vec<SessionHandle> {
    rows.iter().map(|row| row.handle).collect()
}

pub(super) async fn a_change_is_compare_and_set(bench: &Bench) -> Verdict {
    let mut row = bench.rotated("alice").await?;
    let changes = [
        Change::Claims(Some(r#"{"role":"admin"}"#.into())),
        Change::Data(Some("[1,2,3]".into())),
        Change::Claims(None),
        Change::Authenticated,
        Change::Data(None),
    ];
    for change in changes {
        bench.pass(Duration::from_millis(2)).await?;
        let before = bench.now().await?;
        let stale = bench.update(row.handle, row.version.wrapping_sub(1), change.clone()).await?;
        let Changed::Conflict(present) = stale else {
            return Err(Broken::new(format!("a change of an old version was answered with {stale:?}")));
        };
        ensure!(present == row, "the conflict tells of {present:?}, and the row is {row:?}");
        let Changed::Done(done) = bench.update(row.handle, row.version, change.clone()).await? else {
            return Err(Broken::new(format!("{change:?} was not made")));
        };
        let now = done.authenticated_at.max(before);
        row.change(row.version, &change, now);
        ensure!(done == row, "the change was answered with {done:?}, and the row should be {row:?}");
        let kept = bench.row(row.handle).await?;
        ensure!(kept == row, "the change was kept as {kept:?}, and the row should be {row:?}");
    }
    bench.revoke(row.handle, EndReason::Logout).await?;
    let ended = bench.row(row.handle).await?;
    for handle in [row.handle, bench.fresh_handle()] {
        let late = bench.update(handle, row.version, Change::Claims(Some("{}".into()))).await?;
        ensure!(
            matches!(late, Changed::Gone),
            "a change of a session that is gone was answered with {late:?}"
        );
    }
    ensure!(bench.row(row.handle).await? == ended, "a late change reached an ended session");
    Ok(())
}

pub(super) async fn revoke_ends_for_good(bench: &Bench) -> Verdict {
    let (row, other) = (bench.login("alice").await?, bench.login("alice").await?);
    ensure!(bench.revoke(row.handle, EndReason::Logout).await?, "a live session counted as ended already");
    let ended = bench.row(row.handle).await?;
    let reason = ended.ended.as_ref().map(|ended| ended.reason);
    ensure!(reason == Some(EndReason::Logout), "the row says that it ended as {reason:?}");
    let mut unended = ended.clone();
    unended.ended = None;
    ensure!(unended == row, "more than the end was changed: {ended:?}");

    ensure!(!bench.revoke(row.handle, EndReason::Revoked).await?, "an ended session was ended again");
    ensure!(bench.row(row.handle).await? == ended, "the second end overwrote the first");
    ensure!(!bench.revoke(bench.fresh_handle(), EndReason::Revoked).await?, "an unknown session was ended");
    ensure!(bench.told_end(row.handle).await? == EndReason::Logout, "the feed tells of another reason");
    expect_live(bench, "alice", &[other]).await
}

pub(super) async fn revoke_all_ends_the_users(bench: &Bench) -> Verdict {
    let mut alices = Vec::new();
    for _ in 0..4 {
        alices.push(bench.login("alice").await?);
    }
    let bob = bench.login("bob").await?;
    bench.revoke(alices[0].handle, EndReason::Logout).await?;

    let mut ended = bench.revoke_all("alice".into(), Some(alices[2].handle), EndReason::Revoked).await?;
    ended.sort();
    let mut meant = vec![alices[1].handle, alices[3].handle];
    meant.sort();
    ensure!(ended == meant, "ended were {ended:?}, and live had been {meant:?}");
    expect_live(bench, "alice", &alices[2..3]).await?;
    let (told, next) = bench.feed_after(Cursor::default()).await?;
    ensure!(marks(&told, "alice").is_empty(), "a mark was published that the exception doesn't survive");

    let ended = bench.revoke_all("alice".into(), None, EndReason::Revoked).await?;
    ensure!(ended == [alices[2].handle], "ended were {ended:?}, and live had been {:?}", alices[2].handle);
    expect_live(bench, "alice", &[]).await?;
    expect_live(bench, "bob", &[bob]).await?;
    let (told, _) = bench.feed_after(next).await?;
    let told_end = ends(&told).any(|end| end == (alices[2].handle, EndReason::Revoked));
    ensure!(told_end, "the feed does not tell of the end: {told:?}");
    let youngest = alices[3].created_at;
    ensure!(marks(&told, "alice").iter().any(|mark| *mark >= youngest), "the feed has no mark: {told:?}");

    // Tokens of sessions that the store no longer has may still be alive.
    bench.revoke_all("nobody".into(), None, EndReason::Revoked).await?;
    let (told, _) = bench.feed_after(Cursor::default()).await?;
    ensure!(!marks(&told, "nobody").is_empty(), "a user without a session was not marked");
    Ok(())
}

pub(super) async fn a_later_session_is_younger(bench: &Bench) -> Verdict {
    for round in 0..5 {
        bench.login("alice").await?;
        bench.revoke_all("alice".into(), None, EndReason::Revoked).await?;
        let (told, _) = bench.feed_after(Cursor::default()).await?;
        let made_by = marks(&told, "alice").into_iter().max().unwrap_or_default();
        let later = bench.login("alice").await?;
        ensure!(
            later.created_at > made_by,
            "in round {round}, a session was made at {:?} after everything up to {made_by:?} was ended",
            later.created_at
        );
        expect_live(bench, "alice", &[later]).await?;
    }
    Ok(())
}

pub(super) async fn list_tells_the_live(bench: &Bench) -> Verdict {
    let mut rows = Vec::new();
    for _ in 0..12 {
        rows.push(bench.login("alice").await?);
        bench.login("alicea").await?;
    }
    for ended in [7, 0] {
        bench.revoke(rows.remove(ended).handle, EndReason::Revoked).await?;
    }
    expect_live(bench, "alice", &rows).await?;
    expect_live(bench, "Alice", &[]).await?;
    bench.rotate(present(&rows[3], link(1, 0), PROMPT, OWNER)).await?;
    expect_live(bench, "alice", &rows).await
}

pub(super) async fn a_confirmation_counts_once(bench: &Bench) -> Verdict {
    let (one, other) = (bench.rotated("alice").await?, bench.rotated("bob").await?);
    let untouched = bench.rotated("carol").await?;
    let before = bench.now().await?;
    bench
        .confirm(vec![(one.handle, 2), (bench.fresh_handle(), 2), (other.handle, 2), (untouched.handle, 1)])
        .await?;
    let after = bench.now().await?;
    for row in [one, other] {
        let mut meant = row;
        let kept = bench.row(meant.handle).await?;
        let used_at = kept.chain.used_at;
        ensure!(
            used_at.is_some_and(|at| before <= at && at <= after),
            "the token counts as used {used_at:?}"
        );
        meant.chain.used_at = used_at;
        ensure!(kept == meant, "the row is {kept:?}, and should be {meant:?}");
        bench.pass(Duration::from_millis(2)).await?;
        bench.confirm(vec![(meant.handle, 2), (meant.handle, 3)]).await?;
        ensure!(bench.row(meant.handle).await? == meant, "a second confirmation changed the row");
    }
    ensure!(
        bench.row(untouched.handle).await? == untouched,
        "the predecessor's confirmation changed the row"
    );
    bench.confirm(Vec::new()).await?;
    Ok(())
}

/// Whoever logs in again and again with the session before, and uses none of them, makes them. A store that calls itself for each
/// has its stack overflow.
pub(super) async fn a_chain_ends_as_a_whole(bench: &Bench) -> Verdict {
    const LENGTH: usize = 3_000;
    let mut chain: Vec<NewRow> = Vec::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let replaces = chain.last().map(|older| older.handle);
        chain.push(NewRow { replaces, ..bench.plain("alice") });
    }
    let youngest = bench.make(chain.pop().expect("a chain")).await?;
    try_join_all(chain.into_iter().map(|new| bench.make(new))).await?;
    bench.rotate(present(&youngest, link(1, 0), PROMPT, OWNER)).await?;
    expect_live(bench, "alice", &[youngest]).await
}

pub(super) async fn the_replaced_ends_at_first_use(bench: &Bench) -> Verdict {
    // First use by refresh token, by access token, and by logging out; each with the one before that.
    for way in 0..3 {
        let user = format!("user {way}");
        let oldest = bench.login(&user).await?;
        let older = bench.make(NewRow { replaces: Some(oldest.handle), ..bench.plain(&user) }).await?;
        let new = bench.make(NewRow { replaces: Some(older.handle), ..bench.plain(&user) }).await?;
        bench.read(new.handle).await?;
        bench.update(new.handle, 0, Change::Data(Some("1".into()))).await?;
        ensure!(bench.list(user.as_str().into()).await?.len() == 3, "it ended before the new one was used");
        match way {
            0 => drop(bench.rotate(present(&new, link(1, 0), PROMPT, OWNER)).await?),
            1 => bench.confirm(vec![(new.handle, 1)]).await?,
            _ => drop(bench.revoke(new.handle, EndReason::Logout).await?),
        }
        for replaced in [oldest, older] {
            let reason = bench.row(replaced.handle).await?.ended.map(|ended| ended.reason);
            ensure!(reason == Some(EndReason::Replaced), "by way {way}, the session ended as {reason:?}");
            ensure!(
                bench.told_end(replaced.handle).await? == EndReason::Replaced,
                "the feed tells another reason"
            );
        }
    }
    // Ends that anyone may cause say nothing about who has the new tokens.
    for reason in [EndReason::Revoked, EndReason::Evicted] {
        let user = format!("{reason:?}");
        let old = bench.login(&user).await?;
        let new = bench.make(NewRow { replaces: Some(old.handle), ..bench.plain(&user) }).await?;
        bench.revoke(new.handle, reason).await?;
        expect_live(bench, &user, &[old]).await?;
    }
    Ok(())
}
