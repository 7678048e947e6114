//! Refreshing, creating and revoking, on stores of different sizes.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use session_runtime::{NewSession, SessionHandle, Sessions};
use tokio::runtime::Runtime;

use crate::{
    Effort,
    population::{Population, user},
    rounds::{Times, Variant, interleave},
};

pub(crate) fn measure(effort: Effort, runtime: &Runtime, populations: &[Population; 3]) {
    let bench = Bench { effort, runtime, next_user: Cell::new(effort.populations.iter().sum()) };
    println!(
        "3. Operations a second on the memory store, by the number of its sessions; aim: the same at any size"
    );
    print!("{:<28}", "");
    populations.iter().for_each(|population| print!("{:>12}", population.sessions));
    println!("{:>26}", "time, most over fewest");

    bench.row("refresh, HS256", populations, |population, round| {
        bench.refresh(population, &population.hs256, round)
    });
    bench.row("refresh, EdDSA", populations, |population, round| {
        bench.refresh(population, &population.eddsa, round)
    });
    bench.row("create, HS256", populations, |population, _| bench.create(&population.hs256));
    bench.row("create, EdDSA", populations, |population, _| bench.create(&population.eddsa));
    bench.row("revoke", populations, |population, _| bench.revoke(&population.hs256));
    println!();
}

struct Bench<'a> {
    effort: Effort,
    runtime: &'a Runtime,
    next_user: Cell<usize>,
}

impl Bench<'_> {
    fn row(&self, name: &str, populations: &[Population; 3], batch: impl Fn(&Population, usize) -> Duration) {
        let variants = populations.each_ref().map(|population| {
            let batch = &batch;
            Variant::new(move |round| batch(population, round))
        });
        let times = interleave(self.effort.rounds, self.effort.batch, variants);
        let [fewest, .., most] = &times;
        print!("{name:<28}");
        times.iter().for_each(|times: &Times| print!("{:>12.0}", 1e9 / times.median()));
        println!("{:>26.2}", most.over(fewest));
    }

    /// Refreshes a batch of sessions, each of which rotates.
    fn refresh(&self, population: &Population, sessions: &Sessions, round: usize) -> Duration {
        population.let_time_pass();
        let mut tokens = population.refresh_tokens.borrow_mut();
        let batches = tokens.len() / self.effort.batch;
        let first = round % batches * self.effort.batch;
        let tokens = &mut tokens[first..first + self.effort.batch];
        self.runtime.block_on(async {
            let mut refreshed = Vec::with_capacity(tokens.len());
            let start = Instant::now();
            for token in &*tokens {
                refreshed.push(sessions.refresh(token).await.expect("the token is current"));
            }
            let elapsed = start.elapsed();
            for (token, refreshed) in tokens.iter_mut().zip(refreshed) {
                *token = refreshed.refresh().expect("the session rotated").expose().to_owned();
            }
            elapsed
        })
    }

    fn create(&self, sessions: &Sessions) -> Duration {
        self.create_batch(sessions).0
    }

    fn create_batch(&self, sessions: &Sessions) -> (Duration, Vec<SessionHandle>) {
        let users = self.next_user.get()..self.next_user.get() + self.effort.batch;
        self.next_user.set(users.end);
        let new: Vec<_> = users.map(|number| NewSession::new(user(number))).collect();
        self.runtime.block_on(async {
            let mut handles = Vec::with_capacity(new.len());
            let start = Instant::now();
            for new in &new {
                handles.push(sessions.create(new).await.expect("the memory store does not fail").handle());
            }
            (start.elapsed(), handles)
        })
    }

    fn revoke(&self, sessions: &Sessions) -> Duration {
        let (_, handles) = self.create_batch(sessions);
        self.runtime.block_on(async {
            let start = Instant::now();
            for handle in handles {
                assert!(sessions.revoke(handle).await.expect("the memory store does not fail"));
            }
            start.elapsed()
        })
    }
}
