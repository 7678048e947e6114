//! A replica that misses the last writes takes the place of its primary.
//!
//! Who logs in within what is lost has to do so again, and a theft that is found then is forgotten. So nobody logs in, and there
//! are no thieves.

use std::{mem, time::Duration};

use tests::{
    load::Plan,
    servers::{Postgres, Proxy, Redis},
};

use crate::{
    bench::Bench,
    outages::{endure, endure_times},
    scene::{Outcome, Scene, form},
};

/// How long the replica misses what is written, at least and at most. It has to be less than three times the grace.
const MISSED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2200));

/// How many rotations it misses; in a cluster, of which it has a third, how many the replicas of all primaries would.
const ROTATIONS: usize = 5;
const ROTATIONS_IN_CLUSTER: usize = 15;

const NO_THIEVES: Plan = Plan { clients: 16, thieves: 0, rest: Duration::from_millis(100) };

pub(crate) fn postgres(bench: &mut Bench) -> Option<Outcome> {
    let primary = bench.postgres()?;
    let proxy = Proxy::before(primary.server().port());
    let place = primary.url_at(proxy.port());
    let mut standby = Some(stand_by(bench));
    let outcome = endure(&place, NO_THIEVES, |scene| {
        let standby = standby.take().unwrap_or_else(|| stand_by(bench));
        let primary = bench.postgres().expect("it was there before");
        standby.cut_off();
        primary.ask("CREATE TABLE lost ()");
        rotate(scene, ROTATIONS);
        primary.server_mut().kill();
        standby.promote();
        assert_eq!(standby.ask("SELECT to_regclass('lost') IS NULL"), "t", "nothing is lost");
        proxy.lead_to(standby.server().port());
        *primary = standby;
    });
    Some(outcome.rolled_forward())
}

/// Before the first strike, because clients that have logged in together rotate together, and soon.
fn stand_by(bench: &mut Bench) -> Postgres {
    let folder = bench.server_folder();
    bench.postgres().expect("it was there before").standby(folder)
}

pub(crate) fn redis(bench: &mut Bench) -> Option<Outcome> {
    let mut replica = Redis::start_in(bench.server_folder(), &[])?;
    let primary = bench.redis()?;
    let proxy = Proxy::before(primary.server().port());
    let outcome = endure(&primary.url_at(proxy.port()), NO_THIEVES, |scene| {
        replica.follow(primary);
        replica.promote();
        primary.ask(&["set", "lost", "1"]);
        rotate(scene, ROTATIONS);
        primary.server_mut().kill();
        assert_eq!(replica.ask(&["get", "lost"]), "", "nothing is lost");
        proxy.lead_to(replica.server().port());
        mem::swap(primary, &mut replica);
        // For the next time.
        replica.server_mut().restart();
    });
    Some(outcome.rolled_forward())
}

fn rotate(scene: &Scene, times: usize) {
    scene.work_until(times, |counts| counts.rotations, MISSED);
}

/// One primary after the other, two at least, because each has a third of the sessions only.
pub(crate) fn cluster(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cluster = bench.cluster()?;
    cluster.wait_until_whole();
    let mut struck = 0;
    let outcome = endure_times(form(2, 20), &place, NO_THIEVES, |scene| {
        let pairs = cluster.pairs();
        let (primary, replica) = pairs[struck % pairs.len()];
        let [primary, replica] = cluster.nodes_mut().get_disjoint_mut([primary, replica]).expect("two nodes");
        replica.cut_off();
        rotate(scene, ROTATIONS_IN_CLUSTER);
        primary.server_mut().kill();
        replica.take_over();
        primary.server_mut().restart();
        cluster.wait_until_whole();
        struck += 1;
    });
    Some(outcome.rolled_forward())
}
