//! Two processes on the same sessions, and one after the other. Nothing to check where sessions live in the store itself.

use std::time::Duration;

use super::{
    Broken, Verdict,
    bench::{Bench, OWNER, PROMPT, STRANGER, ends, feed_of, link, marks, present},
};
use crate::{
    rotation::Decision,
    store::{Change, Changed, Cursor, EndReason, NewRow},
};

pub(super) async fn another_process_sees_the_same(bench: &Bench) -> Verdict {
    if !bench.is_shared {
        return Ok(());
    }
    let other = bench.another().await;
    let row = bench.login("alice").await?;
    ensure!(
        other.read(row.handle).await?.as_ref() == Some(&row),
        "the other process does not see a new session"
    );
    let rotated = other.rotate(present(&row, link(1, 0), PROMPT, OWNER)).await?;
    ensure!(rotated.decision.rule() == 5, "the other process answered by rule {}", rotated.decision.rule());
    let replay = bench.rotate(present(&row, link(1, 0), PROMPT, OWNER)).await?;
    let Decision::Rotate(chain) = rotated.decision else { return Err(Broken::new("no rotation")) };
    ensure!(
        replay.decision == (Decision::Replay { chain, rule: 8 }),
        "a rotation elsewhere was answered with {:?}",
        replay.decision
    );
    let changed = other.update(row.handle, 0, Change::Data(Some("1".into()))).await?;
    ensure!(matches!(changed, Changed::Done(_)), "the change was answered with {changed:?}");
    let conflict = bench.update(row.handle, 0, Change::Data(Some("2".into()))).await?;
    ensure!(matches!(conflict, Changed::Conflict(_)), "a change elsewhere was answered with {conflict:?}");

    let cursor = feed_of(&other, Cursor::default()).await?.1;
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.revocations(cursor, Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.rotate(present(&row, link(2, 7), PROMPT, STRANGER)).await?;
    let batch = waiting.await.map_err(|_| Broken::new("the feed panicked"))??;
    let told = ends(&batch.revocations).any(|(handle, _)| handle == row.handle);
    ensure!(told, "a theft found elsewhere was told as {batch:?}");
    let elsewhere = other.read(row.handle).await?.and_then(|row| row.ended);
    ensure!(elsewhere.is_some(), "the other process does not see the end of a session");

    bench.revoke_all("alice".into(), None, EndReason::Revoked).await?;
    let made_by = marks(&feed_of(&other, cursor).await?.0, "alice").into_iter().max();
    let later = super::bench::created(other.create(bench.plain("alice")).await?)?;
    ensure!(Some(later.created_at) > made_by, "{later:?} was made elsewhere after {made_by:?}");
    Ok(())
}

pub(super) async fn what_was_answered_is_kept(bench: &Bench) -> Verdict {
    if !bench.is_shared {
        return Ok(());
    }
    let old = bench.login("alice").await?;
    let rotated = bench.make(NewRow { replaces: Some(old.handle), ..bench.plain("alice") }).await?;
    bench.rotate(present(&rotated, link(1, 0), PROMPT, OWNER)).await?;
    bench.update(rotated.handle, 0, Change::Claims(Some(r#"{"role":"admin"}"#.into()))).await?;
    bench.confirm(vec![(rotated.handle, 2)]).await?;
    let stolen = bench.rotated("bob").await?;
    bench.rotate(present(&stolen, link(2, 7), PROMPT, STRANGER)).await?;
    bench.revoke_all("carol".into(), None, EndReason::Revoked).await?;

    let again = bench.another().await;
    for handle in [old.handle, rotated.handle, stolen.handle] {
        let (before, after) = (bench.read(handle).await?, again.read(handle).await?);
        ensure!(before == after && after.is_some(), "{before:?} is {after:?} when the store is opened again");
    }
    let (told, kept) =
        (bench.feed_after(Cursor::default()).await?, feed_of(&again, Cursor::default()).await?);
    ensure!(told == kept, "the feed tells {kept:?} when the store is opened again, and told {told:?} before");
    let replay = again.rotate(present(&stolen, link(2, 1), PROMPT, OWNER)).await?.decision;
    ensure!(
        matches!(replay, Decision::Unauthorised(_)),
        "a session that was ended was answered with {replay:?}"
    );
    Ok(())
}
