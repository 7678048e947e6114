//! A store whose server is killed, or stopped.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use tests::{load::Plan, servers::RedisCluster};

use crate::{
    bench::Bench,
    node::Settings,
    onlooker::Onlooker,
    scene::{Outcome, Scene, business, form},
};

/// How long a killed server stays away.
const AWAY: Duration = Duration::from_millis(700);

/// How much of what it was told Redis may not have on disk with `appendfsync everysec`; up to the other until clients rotate.
const UNSYNCED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

/// By how much an answer may be later than the time-out of the store.
const LATE: Duration = Duration::from_millis(1500);

/// How long it takes at most to get a lock that others want too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many tasks a node may have in the end: more than all clients can have requests under way, and it has for itself.
const MOST_TASKS: usize = 100;

/// Strikes a store once, or twenty times, while those who have a valid access token are served throughout.
pub(crate) fn endure(place: &str, plan: Plan, strike: impl FnMut(&mut Scene)) -> Outcome {
    endure_times(form(1, 20), place, plan, strike)
}

/// As [`endure`], so many times.
pub(crate) fn endure_times(times: usize, place: &str, plan: Plan, strike: impl FnMut(&mut Scene)) -> Outcome {
    let settings = Settings { access_lifetime: Duration::from_secs(3600), ..Settings::on(place) };
    let mut scene = Scene::with(&settings, plan);
    let onlooker = Onlooker::start(&scene);
    scene.strike_times(times, strike);
    onlooker.leave();
    let outcome = scene.end();
    let counts = &outcome.counts;
    assert_eq!(counts.protected_unavailable, 0, "{counts}");
    let bound = (settings.store_timeout + LATE).mul_f64(business());
    assert!(counts.slowest <= bound, "an answer came later than {bound:?}: {counts}");
    outcome
}

pub(crate) fn postgres_killed(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.postgres()?.server_mut();
    let outcome = endure(&place, Plan::default(), |scene| {
        server.kill();
        scene.crowd.work_for(AWAY);
        server.restart();
    });
    Some(outcome.felt())
}

/// As in a power failure, the server loses what it had not brought to the disk: the last second. So nobody may log in then, and
/// thieves do nothing else.
pub(crate) fn redis_killed(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.redis()?.server_mut();
    let plan = Plan { thieves: 0, ..Plan::default() };
    let outcome = endure(&place, plan, |scene| {
        let log = append_only_file(server.folder());
        let synced = fs::metadata(&log).expect("the server has one").len();
        scene.work_until(1, |counts| counts.rotations, UNSYNCED);
        server.kill();
        let log = fs::OpenOptions::new().write(true).open(log).expect("it is ours");
        log.set_len(synced).expect("it can be cut");
        scene.crowd.work_for(AWAY);
        server.restart();
    });
    Some(outcome.felt().rolled_forward())
}

/// The file that the server at work in a folder appends to.
fn append_only_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("appendonlydir")).expect("the server writes there");
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(".incr.aof"));
    files.sort_by_key(|file| fs::metadata(file).and_then(|data| data.modified()).ok());
    files.pop().expect("the server appends to a file")
}

/// One primary after the other is killed, and is back before its replica takes over.
pub(crate) fn cluster_killed(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cluster = bench.cluster()?;
    let mut struck = 0;
    let outcome = endure(&place, Plan::default(), |scene| {
        let pairs = cluster.pairs();
        let (primary, _) = pairs[struck % pairs.len()];
        let server = cluster.nodes_mut()[primary].server_mut();
        server.kill();
        scene.crowd.work_for(AWAY);
        server.restart();
        cluster.wait_until_whole();
        struck += 1;
    });
    Some(outcome.felt())
}

/// A process stops while it holds the lock that a writer needs, which is all that can stop a database in a file.
pub(crate) fn sqlite_stopped(bench: &mut Bench) -> Option<Outcome> {
    let file = bench.file();
    let outcome = endure(&format!("sqlite:{}", file.display()), Plan::default(), |scene| {
        let holder = Connection::open(&file).expect("the nodes have made it");
        holder.busy_timeout(PATIENCE).expect("it is open");
        holder.execute_batch("BEGIN IMMEDIATE").expect("the lock is to be had");
        stay_away(scene);
        holder.execute_batch("ROLLBACK").expect("it is a transaction");
    });
    Some(outcome.felt())
}

pub(crate) fn postgres_stopped(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.postgres()?.server();
    let outcome = endure(&place, Plan::default(), |scene| {
        server.freeze();
        stay_away(scene);
        server.thaw();
    });
    Some(outcome.felt())
}

pub(crate) fn redis_stopped(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.redis()?.server();
    let outcome = endure(&place, Plan::default(), |scene| {
        server.freeze();
        stay_away(scene);
        server.thaw();
    });
    Some(outcome.felt())
}

/// All servers stop together. When they go on, they don't serve before they have agreed that all of them are there.
pub(crate) fn cluster_stopped(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cluster: &RedisCluster = bench.cluster()?;
    let outcome = endure(&place, Plan::default(), |scene| {
        cluster.nodes().iter().for_each(|node| node.server().freeze());
        stay_away(scene);
        cluster.nodes().iter().for_each(|node| node.server().thaw());
        cluster.wait_until_whole();
    });
    Some(outcome.felt())
}

/// Waits while nothing answers, and asserts that the nodes don't gather tasks meanwhile.
fn stay_away(scene: &Scene) {
    scene.crowd.work_for(Duration::from_secs(form(3, 30)));
    let tasks: Vec<_> = scene.nodes.iter().map(|node| node.tasks()).collect();
    assert!(tasks.iter().all(|tasks| *tasks <= MOST_TASKS), "the nodes have {tasks:?} tasks");
}
