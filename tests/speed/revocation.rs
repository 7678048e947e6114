//! How long a session that one node has ended is still accepted on another.

use std::time::{Duration, Instant};

use session_runtime::{NewSession, Sessions, Tokens};
use tokio::time::sleep;

use crate::{
    Effort, callers, crowd,
    places::Place,
    report::{Aim, Report, quantile},
};

/// How many callers refresh meanwhile, where there is load.
const CALLERS: usize = 16;

/// Longer than any of the stores' intervals, so that an end falls anywhere in them.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    println!(
        "2. From the call of `revoke` on one node to the refusal on another, in milliseconds, {} times; aim: p99 at most 50",
        effort.revocations
    );
    println!("{:<46}{:>10}{:>12}{:>9}", "", "p50", "p99", "longest");
    for place in Place::each() {
        let (here, there) = (place.node().await, place.node().await);
        let idle = latencies(&here, &there, effort.revocations).await;
        row(place.name(), &idle, Aim::AtMost(50.0), report);
        let loaded =
            under_load(&place.node().await, effort, latencies(&here, &there, effort.revocations)).await;
        row(&format!("{}, while {CALLERS} others refresh", place.name()), &loaded, Aim::None, report);
    }
    println!();
}

fn row(name: &str, latencies: &[f64], aim: Aim, report: &mut Report) {
    let [half, most, longest] = [0.5, 0.99, 1.0].map(|part| quantile(latencies, part));
    println!("{name:<46}{half:>10.1}{most:>12.1}{longest:>9.1}");
    report.judge(&format!("{name}: p99 of a revocation"), most, aim);
}

async fn latencies(here: &Sessions, there: &Sessions, count: usize) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(count);
    for number in 0..count {
        let tokens = here.create(&NewSession::new(crowd::user(number))).await.expect("the store answers");
        let session = there.verify(tokens.access().expose()).expect("the session is live");
        let ended = session.ended();
        let refused = tokio::spawn(async move {
            ended.await;
            Instant::now()
        });
        sleep(crowd::pause(number, LONGEST_PAUSE)).await;
        let revoked = Instant::now();
        assert!(here.revoke(tokens.handle()).await.expect("the store answers"));
        let refused = refused.await.expect("waiting does not panic");
        assert!(there.verify(tokens.access().expose()).is_err());
        latencies.push(refused.duration_since(revoked).as_secs_f64() * 1e3);
    }
    latencies
}

/// Waits for something while others refresh, on a node of their own.
async fn under_load<T>(busy: &Sessions, effort: Effort, awaited: impl Future<Output = T>) -> T {
    let mut tokens: Vec<Tokens> = Vec::new();
    for number in 0..effort.in_use {
        let new = NewSession::new(crowd::user(number));
        tokens.push(busy.create(&new).await.expect("the store answers"));
    }
    let busy = busy.clone();
    let load = tokio::spawn(async move {
        loop {
            callers::refresh(&busy, &mut tokens, CALLERS, effort.moment).await;
        }
    });
    let answer = awaited.await;
    load.abort();
    answer
}
