//! The way to a store breaks.

use std::time::Duration;

use tests::{
    load::Plan,
    servers::{Proxy, Way},
};

use crate::{
    bench::Bench,
    outages::endure,
    scene::{Outcome, Scene},
};

/// How long each fault lasts.
const BREAKING: Duration = Duration::from_millis(300);

/// How late answers are: well within the grace.
const LATE: Duration = Duration::from_millis(100);

/// How often an answer is cut in its middle.
const ONE_IN: u32 = 5;

/// Longer than the time-out of the store.
const SILENCE: Duration = Duration::from_millis(900);

pub(crate) fn postgres_broken(bench: &mut Bench) -> Option<Outcome> {
    let server = bench.postgres()?;
    let proxy = Proxy::before(server.server().port());
    Some(strike(&server.url_at(proxy.port()), &[&proxy]))
}

pub(crate) fn redis_broken(bench: &mut Bench) -> Option<Outcome> {
    let server = bench.redis()?;
    let proxy = Proxy::before(server.server().port());
    Some(strike(&server.url_at(proxy.port()), &[&proxy]))
}

/// Its replicas go through the proxies too.
pub(crate) fn cluster_broken(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cluster = bench.cluster()?;
    let proxies: Vec<_> = cluster.nodes().iter().filter_map(|node| node.proxy()).collect();
    Some(strike(&place, &proxies))
}

/// Answers are late, then cut off in their middle, in every way; then nothing is said, and half the time the connections turn out to be
/// dead when something is.
fn strike(place: &str, proxies: &[&Proxy]) -> Outcome {
    let set = |way| proxies.iter().for_each(|proxy| proxy.set(way));
    let mut struck = 0;
    endure(place, Plan::default(), |scene: &mut Scene| {
        let breaks = [Way::Reset { one_in: ONE_IN }, Way::Truncate { one_in: ONE_IN }];
        for way in [Way::Delay(LATE)].into_iter().chain(breaks) {
            set(way);
            scene.crowd.work_for(BREAKING);
        }
        set(Way::Hold);
        scene.crowd.work_for(SILENCE);
        if struck % 2 == 0 {
            proxies.iter().for_each(|proxy| proxy.cut());
        }
        set(Way::Pass);
        struck += 1;
    })
    .felt()
}
