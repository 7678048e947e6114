//! Three copies of the example on one store, killed and started again at random under load.
//!
//! A few seconds for each store, or two minutes with `FAULTS=long`; `--nocapture` shows the counts. `CROWD_SEED` repeats the choices
//! of the clients.

use std::{
    env,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tests::{
    load::{Crowd, Plan, Site},
    servers::{Launch, Postgres, RedisCluster, Server, find, or_skip},
};

/// Of these tests alone.
const KEYS: &str = "4Jx0m7q3dV9sT1nYbC8kLw2eRf6uZhGa5PoXiQvDtEM=";

const COPIES: usize = 3;

#[test]
fn copies_killed_at_random_on_postgresql_lose_nothing() {
    let Some(server) = Postgres::start() else { return };
    lose_nothing("postgresql", &server.url());
}

#[test]
fn copies_killed_at_random_on_a_redis_cluster_lose_nothing() {
    let Some(cluster) = RedisCluster::start() else { return };
    lose_nothing("redis cluster", &cluster.url());
}

/// Kills copies for a while, one or two at once, before clients that may neither be logged out nor lose a session.
fn lose_nothing(name: &str, store: &str) {
    let Some(curl) = or_skip(find("curl", []), "curl") else { return };
    // One store after the other: each is load enough.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);

    let mut copies = start(store, &curl);
    let crowd = Crowd::start(site(&copies), Plan::default());
    let is_long = env::var("FAULTS").is_ok_and(|form| form == "long");
    let time = Duration::from_secs(if is_long { 120 } else { 5 });
    let (started, mut kills) = (Instant::now(), 0);
    while started.elapsed() < time {
        crowd.work_for(Duration::from_millis(fastrand::u64(100..800)));
        fastrand::shuffle(&mut copies);
        let struck = &mut copies[..fastrand::usize(1..COPIES)];
        struck.iter_mut().for_each(Server::kill);
        crowd.work_for(Duration::from_millis(fastrand::u64(0..300)));
        struck.iter_mut().for_each(Server::restart);
        crowd.recover(Instant::now());
        kills += struck.len();
    }

    let mut counts = crowd.finish();
    let logs: Vec<_> = copies.iter().map(Server::log).collect();
    counts.panics = logs.iter().map(|log| log.matches("panicked at").count()).sum();
    println!("{name}: {kills} kills within {:?}; {counts}", started.elapsed());
    if counts.is_harmful() {
        println!("{}", logs.join("\n"));
    }
    counts.assert_clean();
}

fn start(store: &str, curl: &Path) -> Vec<Server> {
    let copy = || {
        let (store, curl) = (store.to_owned(), curl.to_owned());
        Server::start(TempDir::new().unwrap(), move |_, port| {
            let mut server = Command::new(env!("CARGO_BIN_EXE_home_feed"));
            server.args(["--listen", &format!("127.0.0.1:{port}"), "--store", &store, "--lab", "false"]);
            server.args(["--access-lifetime", "2s", "--grace", "1s"]).env("SESSION_KEYS", KEYS);
            let mut probe = Command::new(&curl);
            probe.args(["-sf", "-m", "5", &format!("http://127.0.0.1:{port}/health")]);
            Launch { server, probe, stop: "KILL" }
        })
    };
    thread::scope(|scope| {
        let starting: Vec<_> = (0..COPIES).map(|_| scope.spawn(copy)).collect();
        starting.into_iter().map(|copy| copy.join().unwrap()).collect()
    })
}

fn site(copies: &[Server]) -> Site {
    Site {
        nodes: copies.iter().map(|copy| format!("http://127.0.0.1:{}", copy.port())).collect(),
        login: "/login",
        refresh: "/refresh",
        protected: "/getHomeFeed",
        account: |number| (["alice", "bob"][number % 2].to_owned(), "demo".to_owned()),
        grace: Duration::from_secs(1),
    }
}
