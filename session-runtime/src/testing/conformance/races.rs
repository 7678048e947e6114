//! Many at once, through two handles where the store can be opened twice.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;

use super::{
    Broken, Verdict,
    bench::{Bench, Node, OWNER, PROMPT, ends, link, marks, present},
};
use crate::{
    error::StoreError,
    rotation::{Decision, Grace},
    store::{BeyondLimit, Change, Changed, Creation, Cursor, EndReason, NewRow, Rotation, SessionLimit},
};

/// Runs `count` operations at once, each in a task of its own, on the nodes in turn.
async fn at_once<T, F>(
    bench: &Bench,
    count: usize,
    operation: impl Fn(Node, usize) -> F,
) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let nodes = [bench.handle(), bench.another().await];
    let spawn = |number: usize| tokio::spawn(operation(nodes[number % nodes.len()].clone(), number));
    let tasks: Vec<_> = (0..count).map(spawn).collect();
    let mut answers = Vec::with_capacity(count);
    for answer in join_all(tasks).await {
        answers.push(answer.map_err(|_| Broken::new("the store panicked"))??);
    }
    Ok(answers)
}

pub(super) async fn one_token_is_rotated_once(bench: &Bench) -> Verdict {
    let mut row = bench.login("alice").await?;
    for (generation, parent) in [(1, 0), (2, 1), (3, 2)] {
        let presented = row.clone();
        // The first time within a grace that the rotation of the time before is not under any more.
        let grace = if generation == 1 { PROMPT } else { Grace::new(Duration::from_millis(1)) };
        let exchange = move || present(&presented, link(generation, parent), grace, OWNER);
        if generation > 1 {
            bench.pass(Duration::from_millis(10)).await?;
        }
        let rotate = |node: Node, _| {
            let exchange = exchange();
            async move { node.rotate(exchange).await }
        };
        let answers = at_once(bench, bench.scale.parallel, rotate).await?;
        row = if generation == 1 { all_replays(&answers)? } else { one_successor(&answers)? };
        let kept = bench.row(row.handle).await?;
        ensure!(kept.chain.generation == row.chain.generation, "{kept:?} was kept, and answered was {row:?}");
        if kept.chain.generation > generation + 1 {
            break;
        }
    }
    Ok(())
}

/// Within the grace: one rotation, and its successor for all others.
fn all_replays(answers: &[Rotation]) -> Result<crate::store::Row, Broken> {
    let rotations = answers.iter().filter(|answer| matches!(answer.decision, Decision::Rotate(_))).count();
    ensure!(rotations == 1, "one token was rotated {rotations} times");
    for answer in answers {
        let rule = answer.decision.rule();
        ensure!(matches!(rule, 5 | 8), "one of the presentations was answered by rule {rule}");
        let rotated_at = answer.row.as_ref().map(|row| row.chain.rotated_at);
        ensure!(rotated_at <= Some(answer.now), "an answer of {:?} tells of {rotated_at:?}", answer.now);
    }
    one_successor(answers)
}

/// However long it took: never two different successors of one generation.
fn one_successor(answers: &[Rotation]) -> Result<crate::store::Row, Broken> {
    let mut successors = BTreeSet::new();
    for answer in answers {
        ensure!(
            !matches!(answer.decision, Decision::Theft { .. }),
            "an honest client met {:?}",
            answer.decision
        );
        successors.extend(answer.decision.answer().and_then(|answer| answer.refresh));
    }
    let mut generations = BTreeSet::new();
    let twins: Vec<_> = successors.iter().filter(|link| !generations.insert(link.generation)).collect();
    ensure!(twins.is_empty(), "two successors of one generation were given: {twins:?}");
    ensure!(!successors.is_empty(), "no presentation was given a successor");
    let youngest =
        answers.iter().filter_map(|answer| answer.row.clone()).max_by_key(|row| row.chain.generation);
    youngest.ok_or_else(|| Broken::new("no answer had a row"))
}

pub(super) async fn the_limit_holds(bench: &Bench) -> Verdict {
    const MAX: u32 = 3;
    let count = (bench.scale.parallel / 4).max(5);
    for beyond in [BeyondLimit::EvictOldest, BeyondLimit::Refuse] {
        let user = format!("{beyond:?}");
        let limit = Some(SessionLimit { max: MAX, beyond });
        let create = |node: Node, _| {
            let new = NewRow { limit, ..bench.plain(&user) };
            async move { node.create(new).await }
        };
        let answers = at_once(bench, count, create).await?;
        let made = answers.iter().filter(|answer| matches!(answer, Creation::Created(_))).count();
        let meant = if beyond == BeyondLimit::Refuse { MAX as usize } else { count };
        ensure!(made == meant, "of {count} parallel logins {made} were let in, not {meant}");
        let live = bench.list(user.as_str().into()).await?.len();
        ensure!(live == MAX as usize, "{live} sessions are live, and the limit is {MAX}");
        let (told, _) = bench.feed_after(Cursor::default()).await?;
        let evicted = ends(&told).count();
        ensure!(
            beyond == BeyondLimit::Refuse || evicted == count - live,
            "the feed told of {evicted} evictions"
        );
    }
    Ok(())
}

pub(super) async fn a_handle_is_given_once(bench: &Bench) -> Verdict {
    for round in 0..10 {
        let handle = bench.fresh_handle();
        let create = |node: Node, number: usize| {
            let new = NewRow { handle, ..bench.plain(&format!("user {number}")) };
            async move { node.create(new).await }
        };
        let answers = at_once(bench, (bench.scale.parallel / 10).max(4), create).await?;
        let mut made = answers.iter().filter_map(|answer| match answer {
            Creation::Created(row) => Some(row),
            _ => None,
        });
        let (Some(winner), None) = (made.next(), made.next()) else {
            return Err(Broken::new(format!("in round {round}, one handle was not given exactly once")));
        };
        ensure!(bench.row(handle).await? == *winner, "a loser overwrote the winner");
    }
    Ok(())
}

pub(super) async fn nothing_survives_revoke_all(bench: &Bench) -> Verdict {
    for round in 0..5 {
        let mut rows = Vec::new();
        for _ in 0..10 {
            rows.push(bench.login("alice").await?);
        }
        let count = (bench.scale.parallel / 5).max(30);
        let storm = |node: Node, number: usize| {
            let (row, new) = (rows[number % rows.len()].clone(), bench.plain("alice"));
            let middle = number == count / 2;
            async move {
                if middle {
                    node.revoke_all("alice".into(), None, EndReason::Revoked).await?;
                } else if number.is_multiple_of(5) {
                    return node.create(new).await.map(Some);
                } else if number.is_multiple_of(3) {
                    node.confirm(vec![(row.handle, 1), (row.handle, 2)]).await?;
                } else if number.is_multiple_of(2) {
                    node.update(row.handle, 0, Change::Data(Some("1".into()))).await?;
                } else {
                    node.rotate(present(&row, link(1, 0), PROMPT, OWNER)).await?;
                }
                Ok(None)
            }
        };
        let made = at_once(bench, count, storm).await?;
        let (told, _) = bench.feed_after(Cursor::default()).await?;
        let made_by = marks(&told, "alice").into_iter().max().unwrap_or_default();
        let ended: BTreeSet<_> = ends(&told).map(|(handle, _)| handle).collect();
        let made = made.into_iter().flatten().filter_map(|creation| match creation {
            Creation::Created(row) => Some(row),
            _ => None,
        });
        for row in rows.iter().cloned().chain(made) {
            let now = bench.row(row.handle).await?;
            let older = row.created_at <= made_by;
            ensure!(
                now.created_at == row.created_at,
                "the session was answered with another age than it has"
            );
            ensure!(
                now.ended.is_some() == older,
                "in round {round}, the mark is {made_by:?}, and there is {now:?}"
            );
            ensure!(ended.contains(&row.handle) == older, "the feed and the row disagree on {now:?}");
        }
        let live = bench.list("alice".into()).await?;
        ensure!(live.iter().all(|row| row.created_at > made_by), "live after {made_by:?} are {live:?}");
        bench.revoke_all("alice".into(), None, EndReason::Revoked).await?;
    }
    Ok(())
}

pub(super) async fn writers_lose_nothing(bench: &Bench) -> Verdict {
    let row = bench.rotated("alice").await?;
    let writers = (bench.scale.parallel / 20).clamp(2, 50);
    let handle = row.handle;
    let write = |node: Node, number: usize| async move {
        // A list to which each writer adds its number, while others refresh and confirm.
        let mut row = node.read(handle).await?.ok_or_else(|| StoreError::new("the session is gone"))?;
        loop {
            node.confirm(vec![(handle, 2)]).await?;
            node.rotate(present(&row, link(2, 1), PROMPT, OWNER)).await?;
            let data = format!("{},{number}", row.data.as_deref().unwrap_or_default());
            match node.update(handle, row.version, Change::Data(Some(data.into()))).await? {
                Changed::Done(_) => break,
                Changed::Conflict(present) => row = present,
                Changed::Gone => return Err(StoreError::new("the session is gone")),
            }
        }
        Ok(())
    };
    at_once(bench, writers, write).await?;
    let kept = bench.row(handle).await?;
    let written: BTreeSet<usize> = kept
        .data
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .filter_map(|number| number.parse().ok())
        .collect();
    ensure!(written.len() == writers, "of {writers} writers, only {written:?} left a trace");
    let changes = kept.version.wrapping_sub(row.version);
    ensure!(changes as usize == writers, "{writers} changes were counted as {changes}");
    ensure!(kept.chain.used_at.is_some(), "the use of the token was lost among the changes");
    Ok(())
}

pub(super) async fn a_session_ends_once(bench: &Bench) -> Verdict {
    let mut rows = Vec::new();
    for _ in 0..(bench.scale.parallel / 20).max(4) {
        rows.push(bench.rotated("alice").await?);
    }
    // Each session is logged out, stolen, confirmed, changed and refreshed, all at once, and each begins with another of these.
    let end = |node: Node, number: usize| {
        let row = rows[number / 5].clone();
        async move {
            match (number + number / 5) % 5 {
                0 => drop(node.revoke(row.handle, EndReason::Logout).await?),
                1 => drop(node.rotate(present(&row, link(2, 7), PROMPT, OWNER)).await?),
                2 => node.confirm(vec![(row.handle, 2)]).await?,
                3 => drop(node.update(row.handle, row.version, Change::Authenticated).await?),
                _ => drop(node.rotate(present(&row, link(1, 0), PROMPT, OWNER)).await?),
            }
            Ok(())
        }
    };
    at_once(bench, rows.len() * 5, end).await?;
    let live = bench.list("alice".into()).await?;
    ensure!(live.is_empty(), "brought back were {live:?}");
    for row in rows {
        let reason = bench.row(row.handle).await?.ended.map(|ended| ended.reason);
        let told = bench.told_end(row.handle).await?;
        ensure!(reason == Some(told), "the row ended as {reason:?}, and the feed tells of {told:?}");
    }
    Ok(())
}
