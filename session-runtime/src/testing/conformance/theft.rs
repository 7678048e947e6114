//! Tokens that only a copy of the client's can explain, and tokens that are merely too late.

use std::time::Duration;

use super::{
    Broken, Verdict,
    bench::{Bench, LONG, NO_PROOF, OWNER, PROMPT, STRANGER, link, present, present_with},
};
use crate::{
    handle::SessionHandle,
    rotation::{Binding, Decision, Grace, Link, NonceHash, Presented, TheftKind, Why},
    store::{Change, Changed, EndReason, Exchange, Rotation, Row},
};

const MOMENT: Duration = Duration::from_millis(2);

pub(super) async fn a_wrong_proof_changes_nothing(bench: &Bench) -> Verdict {
    let row = bench.rotated("alice").await?;
    for presented in [row.chain.link(), link(1, 0), link(9, 8), link(2, 7)] {
        let forged = Exchange::new(row.handle, presented.into(), PROMPT, [OWNER], NO_PROOF);
        expect_refused(&bench.rotate(forged).await?, Why::Unknown)?;
        let good = *present(&row, presented, PROMPT, OWNER).proof();
        let nowhere = Exchange::new(bench.fresh_handle(), presented.into(), PROMPT, [OWNER], good);
        let rotation = bench.rotate(nowhere).await?;
        expect_refused(&rotation, Why::Unknown)?;
        ensure!(rotation.row.is_none(), "a session that was never made has the row {:?}", rotation.row);
    }
    ensure!(bench.row(row.handle).await? == row, "a forged token changed the row");
    Ok(())
}

pub(super) async fn a_twin_is_theft(bench: &Bench) -> Verdict {
    let row = bench.rotated("alice").await?;
    let twin = bench.rotate(present(&row, link(2, 7), PROMPT, STRANGER)).await?;
    expect_theft(bench, &row, &twin, TheftKind::Fork).await
}

pub(super) async fn a_superseded_token_is_theft(bench: &Bench) -> Verdict {
    let row = bench.rotated("alice").await?;
    bench.confirm(vec![(row.handle, 2)]).await?;
    let late = bench.rotate(present(&row, link(1, 0), PROMPT, OWNER)).await?;
    ensure!(
        late.decision.rule() == 6,
        "within the grace, the predecessor met rule {}, not 6",
        late.decision.rule()
    );
    let later = bench.present_strictly(&row, link(1, 0)).await?;
    expect_theft(bench, &row, &later, TheftKind::Superseded).await
}

pub(super) async fn an_old_token_is_theft(bench: &Bench) -> Verdict {
    let row = bench.login("alice").await?;
    for (generation, parent) in [(1, 0), (2, 1), (3, 2)] {
        bench.pass(MOMENT).await?;
        let rotation = bench.rotate(present(&row, link(generation, parent), Grace::STRICT, OWNER)).await?;
        let rule = rotation.decision.rule();
        ensure!(rule == 5, "the token of generation {generation} was answered by rule {rule}, not 5");
    }
    // Whatever a store may have noted of earlier tokens, it is long in the past; the session is not.
    if bench.has_set_clock() {
        bench.pass(LONG / 2).await?;
    }
    while bench.purge_expired(Duration::ZERO, 100).await?.more {}
    let old = bench.present_strictly(&row, link(1, 0)).await?;
    expect_theft(bench, &row, &old, TheftKind::Fork).await
}

pub(super) async fn a_dead_branch_is_theft(bench: &Bench) -> Verdict {
    let row = bench.rotated("alice").await?;
    let reissue = bench.present_strictly(&row, link(1, 0)).await?;
    let rule = reissue.decision.rule();
    ensure!(rule == 10, "a lost successor was answered by rule {rule}, not 10");
    let row = bench.row(row.handle).await?;
    bench.confirm(vec![(row.handle, 1)]).await?;
    ensure!(bench.row(row.handle).await? == row, "the parent's access token changed the row");
    bench.confirm(vec![(row.handle, 2)]).await?;
    let meant = EndReason::Theft { kind: TheftKind::DeadBranch, issued_to: STRANGER, reused_by: None };
    expect_end(bench, row.handle, meant).await
}

pub(super) async fn another_nonce_is_theft(bench: &Bench) -> Verdict {
    let (nonce, other) = (NonceHash([3; 16]), NonceHash([4; 16]));
    let row = bench.login("alice").await?;
    let with = |link: Link, nonce| present_with(&row, Presented { link, nonce }, PROMPT, STRANGER);
    for (generation, parent) in [(1, 0), (2, 1)] {
        bench.pass(MOMENT).await?;
        let by_owner = Presented { link: link(generation, parent), nonce: Some(nonce) };
        let rotation = bench.rotate(present_with(&row, by_owner, Grace::STRICT, OWNER)).await?;
        let rule = rotation.decision.rule();
        ensure!(rule == 5, "the token of generation {generation} was answered by rule {rule}, not 5");
    }
    let bound = bench.row(row.handle).await?;
    let binding = Binding { since: 2, nonce, parent_nonce: Some(nonce) };
    ensure!(
        bound.chain.binding.as_deref() == Some(&binding),
        "the session is kept as bound by {:?}",
        bound.chain
    );
    let parent = Link { nonce: Some(nonce), ..link(2, 1) };
    let none = bench.rotate(with(parent, None)).await?;
    ensure!(none.decision == Decision::NonceMissing, "without its nonce, the token met {:?}", none.decision);
    let repeated = bench.rotate(with(parent, Some(nonce))).await?.decision.rule();
    ensure!(repeated == 13, "a repeated exchange was answered by rule {repeated}, not 13");
    ensure!(bench.row(row.handle).await? == bound, "an exchange that decided nothing changed the row");
    let stolen = bench.rotate(with(parent, Some(other))).await?;
    expect_theft(bench, &bound, &stolen, TheftKind::OtherNonce).await
}

async fn expect_theft(bench: &Bench, row: &Row, rotation: &Rotation, kind: TheftKind) -> Verdict {
    let Decision::Theft { kind: found, .. } = rotation.decision else {
        return Err(Broken::new(format!("the token was answered with {:?}", rotation.decision)));
    };
    ensure!(found == kind, "the theft was taken for {found:?}");
    let answered = rotation.row.as_ref().and_then(|row| row.ended.as_deref()).map(|ended| ended.reason);
    let meant = EndReason::Theft { kind, issued_to: OWNER, reused_by: Some(STRANGER) };
    ensure!(answered == Some(meant), "the answer's row ended as {answered:?}, not {meant:?}");
    expect_end(bench, row.handle, meant).await?;
    for link in [row.chain.link(), link(1, 0), link(9, 8)] {
        expect_refused(&bench.rotate(present(row, link, PROMPT, OWNER)).await?, Why::Ended)?;
    }
    Ok(())
}

async fn expect_end(bench: &Bench, handle: SessionHandle, meant: EndReason) -> Verdict {
    let row = bench.row(handle).await?;
    let kept = row.ended.as_ref().map(|ended| ended.reason);
    ensure!(kept == Some(meant), "the session is kept as ended by {kept:?}, not {meant:?}");
    let told = bench.told_end(handle).await?;
    ensure!(told == meant, "the feed tells {told:?}, not {meant:?}");
    let listed = bench.list(row.user.clone()).await?;
    ensure!(listed.is_empty(), "the session is still listed: {listed:?}");
    Ok(())
}

fn expect_refused(rotation: &Rotation, why: Why) -> Verdict {
    let decision = &rotation.decision;
    ensure!(
        *decision == Decision::Unauthorised(why),
        "the token was answered with {decision:?}, not {why:?}"
    );
    Ok(())
}

pub(super) async fn an_ended_session_is_no_theft(bench: &Bench) -> Verdict {
    const LINKS: [Link; 5] = [link(2, 1), link(1, 0), link(2, 7), link(9, 8), link(0, 0)];
    for reason in [EndReason::Logout, EndReason::Revoked, EndReason::Replaced, EndReason::Evicted] {
        let row = bench.rotated("alice").await?;
        bench.revoke(row.handle, reason).await?;
        let ended = bench.row(row.handle).await?;
        for link in LINKS {
            expect_refused(&bench.rotate(present(&row, link, Grace::STRICT, STRANGER)).await?, Why::Ended)?;
        }
        ensure!(bench.row(row.handle).await? == ended, "a token of an ended session changed its row");
    }
    let lifetime = Duration::from_millis(5);
    let mut short = bench.plain("bob");
    short.idle_lifetime = lifetime;
    let row = bench.make(short).await?;
    bench.pass(lifetime + MOMENT).await?;
    for link in LINKS {
        expect_refused(&bench.rotate(present(&row, link, Grace::STRICT, STRANGER)).await?, Why::Expired)?;
    }
    ensure!(bench.row(row.handle).await? == row, "a token of an expired session changed its row");
    Ok(())
}

pub(super) async fn ended_stays_ended(bench: &Bench) -> Verdict {
    for reason in [EndReason::Logout, EndReason::Revoked] {
        let row = bench.rotated("alice").await?;
        bench.revoke(row.handle, reason).await?;
        let ended = bench.row(row.handle).await?;
        bench.pass(MOMENT).await?;
        let late = |link: Link| bench.rotate(present(&row, link, PROMPT, OWNER));
        bench.confirm(vec![(row.handle, 2), (row.handle, 1)]).await?;
        ensure!(bench.row(row.handle).await? == ended, "a late confirmation changed an ended session");
        for link in [link(2, 1), link(1, 0), link(3, 2)] {
            late(link).await?;
            ensure!(bench.row(row.handle).await? == ended, "a late refresh changed an ended session");
        }
        let update = bench.update(row.handle, ended.version, Change::Authenticated).await?;
        ensure!(matches!(update, Changed::Gone), "a late change was answered with {update:?}");
        bench.revoke_all("alice".into(), None, EndReason::Revoked).await?;
        bench.revoke(row.handle, EndReason::Evicted).await?;
        ensure!(bench.row(row.handle).await? == ended, "a later end overwrote the first");
        ensure!(bench.told_end(row.handle).await? == reason, "the feed tells of another reason");
        let live = bench.list("alice".into()).await?;
        ensure!(live.is_empty(), "the ended session is listed: {live:?}");
    }
    Ok(())
}
