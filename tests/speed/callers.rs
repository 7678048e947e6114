//! Who refreshes: as many callers at once as are asked for.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use session_runtime::{
    Sessions, Tokens,
    rotation::Grace,
    store::{Exchange, Fingerprint, SessionStore},
    token::Proof,
};
use tokio::task::JoinSet;

use crate::crowd::{SALT, Seat};

/// Refreshes sessions straight at the store, `callers` at once, for a while, and returns how many a second.
///
/// Only rotations count: grace is 0, so a token is due in the millisecond after the last one. Every caller has many sessions, and
/// seldom comes to one again so soon.
pub(crate) async fn rotate<S: SessionStore + Clone>(
    store: &S,
    seats: &mut Vec<Seat>,
    callers: usize,
    moment: Duration,
) -> f64 {
    let store = store.clone();
    let caller = move |seat: Seat| {
        let store = store.clone();
        async move {
            let proof = Proof::sealed([5; 32], &SALT.0);
            let by = [Fingerprint::default()];
            let exchange = Exchange::new(seat.handle, seat.link.into(), Grace::STRICT, by, proof);
            let rotation = store.rotate(exchange).await.expect("the store answers");
            let rule = rotation.decision.rule();
            assert!(matches!(rule, 4 | 5), "{:?}", rotation.decision);
            (Seat { link: rotation.row.expect("it is live").chain.link(), ..seat }, rule == 5)
        }
    };
    keep_busy(seats, callers, moment, caller).await
}

/// Refreshes sessions as an endpoint does, from the token's text to the new tokens' texts.
pub(crate) async fn refresh(
    sessions: &Sessions,
    tokens: &mut Vec<Tokens>,
    callers: usize,
    moment: Duration,
) -> f64 {
    let sessions = sessions.clone();
    let caller = move |tokens: Tokens| {
        let sessions = sessions.clone();
        async move {
            let presented = tokens.refresh().expect("there is one").expose();
            let new = sessions.refresh(presented).await.expect("the store answers");
            if new.refresh().is_some() { (new, true) } else { (tokens, false) }
        }
    };
    keep_busy(tokens, callers, moment, caller).await
}

/// Has each caller take its part of the things in turn, one at a time, and returns how many of the acts a second count.
pub(crate) async fn keep_busy<T, F, A>(things: &mut Vec<T>, callers: usize, moment: Duration, act: A) -> f64
where
    T: Send + 'static,
    A: Fn(T) -> F + Clone + Send + 'static,
    F: Future<Output = (T, bool)> + Send,
{
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for left in (1..=callers).rev() {
        let mut own = VecDeque::from(things.split_off(things.len() - things.len() / left));
        let act = act.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while started.elapsed() < moment {
                let thing = own.pop_front().expect("each has some");
                let (thing, counts) = act(thing).await;
                own.push_back(thing);
                count += u32::from(counts);
            }
            (own, count)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        let (own, count) = ended.expect("a caller does not panic");
        things.extend(own);
        done += count;
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}
