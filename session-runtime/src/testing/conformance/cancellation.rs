//! Requests that go away: a future is dropped wherever it can be.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use super::{
    Verdict,
    bench::{Bench, OWNER, PROMPT, link, present},
};
use crate::{
    error::StoreError,
    store::{Change, EndReason, Row},
};

/// At more awaits than these nothing is dropped.
const MOST_POLLS: usize = 40;

pub(super) async fn dropped_operations_cross_nothing(bench: &Bench) -> Verdict {
    let witness = bench.rotated("witness").await?;
    for operation in Dropped::ALL {
        for polls in 0..MOST_POLLS {
            let row = match operation {
                Dropped::Rotate => bench.login("victim").await?,
                _ => bench.rotated("victim").await?,
            };
            // Several at once, so that a connection that one left is taken by the next.
            let (first, second) = (operation.of(bench, &row), operation.of(bench, &witness));
            let finished = AtMost { future: first, polls }.await.transpose()?.is_some();
            if operation == Dropped::Read {
                AtMost { future: second, polls }.await.transpose()?;
            }
            for seen in [&witness, &row] {
                let read = bench.row(seen.handle).await?;
                ensure!(
                    read.handle == seen.handle,
                    "asked for {}, the store answered {}",
                    seen.handle,
                    read.handle
                );
            }
            let listed = bench.list(witness.user.clone()).await?;
            ensure!(
                listed == [witness.clone()],
                "after a dropped {operation:?}, others were answered {listed:?}"
            );
            expect_whole(bench, operation, &row, finished).await?;
            bench.revoke(row.handle, EndReason::Revoked).await?;
            if finished {
                break;
            }
        }
    }
    Ok(())
}

/// The next operation finds the dropped one done, or not begun.
async fn expect_whole(bench: &Bench, operation: Dropped, row: &Row, finished: bool) -> Verdict {
    if operation == Dropped::Create {
        let made = bench.list("dropped".into()).await?;
        ensure!(!finished || !made.is_empty(), "a session that was made is not listed");
        for session in made {
            ensure!(bench.row(session.handle).await? == session, "a session is listed and can't be read");
            bench.revoke(session.handle, EndReason::Revoked).await?;
        }
        return Ok(());
    }
    let rotation = bench.rotate(present(row, row.chain.link(), PROMPT, OWNER)).await?;
    let rule = rotation.decision.rule();
    let ended = rotation.row.as_ref().and_then(|row| row.ended.as_deref()).map(|ended| ended.reason);
    match operation {
        Dropped::Revoke => {
            ensure!(!finished || ended == Some(EndReason::Logout), "a session that was ended is live");
            ensure!(ended.is_some() == (rule == 1), "the session ended as {ended:?}, and met rule {rule}");
        }
        Dropped::Rotate => {
            ensure!(
                rule == 8 || (rule == 5 && !finished),
                "after a dropped rotation, the token met rule {rule}"
            );
        }
        _ => ensure!(rule == 4, "after a dropped {operation:?}, the token met rule {rule}, not 4"),
    }
    if operation == Dropped::Update {
        let kept = bench.row(row.handle).await?;
        let done = (row.version.wrapping_add(1), Some("dropped"));
        let is = (kept.version, kept.data.as_deref());
        ensure!(is == done || (!finished && is == (row.version, None)), "a dropped change left {kept:?}");
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropped {
    Create,
    Rotate,
    Confirm,
    Read,
    Update,
    Revoke,
    List,
}

impl Dropped {
    const ALL: [Self; 7] =
        [Self::Create, Self::Rotate, Self::Confirm, Self::Read, Self::Update, Self::Revoke, Self::List];

    fn of<'a>(self, bench: &'a Bench, row: &Row) -> BoxFuture<'a, Result<(), StoreError>> {
        let handle = row.handle;
        match self {
            Self::Create => forget(bench.create(bench.plain("dropped"))),
            Self::Rotate => forget(bench.rotate(present(row, link(1, 0), PROMPT, OWNER))),
            Self::Confirm => bench.confirm(vec![(handle, 2)]),
            Self::Read => forget(bench.read(handle)),
            Self::Update => forget(bench.update(handle, row.version, Change::Data(Some("dropped".into())))),
            Self::Revoke => forget(bench.revoke(handle, EndReason::Logout)),
            Self::List => forget(bench.list(row.user.clone())),
        }
    }
}

fn forget<T: Send + 'static>(
    operation: BoxFuture<'_, Result<T, StoreError>>,
) -> BoxFuture<'_, Result<(), StoreError>> {
    Box::pin(async move { operation.await.map(drop) })
}

/// Polls a future so many times, and then drops it.
struct AtMost<F> {
    future: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for AtMost<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match Pin::new(&mut self.future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
