//! The feed of revocations is cut, and restored.

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use tests::load::{Plan, Visitor};

use crate::{
    bench::Bench,
    node::Settings,
    scene::{Outcome, Scene, form},
};

/// Beyond this, a node that hears nothing counts as behind.
const BOUND: Duration = Duration::from_secs(1);

/// How soon a node that can hear knows of an end, on a machine that is busy.
const SOON: Duration = Duration::from_secs(2);

/// One node hears of every end, one is cut off and serves on, one is cut off and closes.
const HEARS: usize = 0;
const SERVES_ON: usize = 1;
const CLOSES: usize = 2;

/// Two nodes hear nothing for longer than the bound, and each does what its policy says; when they hear again, they know all that
/// ended meanwhile. Then the store ends the connections by which nodes hear of news, and none is missed.
pub(crate) fn cut(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cut = bench.file();
    let hears =
        Settings { feed_bound: BOUND, access_lifetime: Duration::from_secs(60), ..Settings::on(&place) };
    let serves_on = Settings { feed_switch: Some(cut.clone()), ..hears.clone() };
    let closes = Settings { fail_closed: true, ..serves_on.clone() };
    let mut scene = Scene::of(&[hears, serves_on, closes], Plan::default());
    scene.strike_times(form(1, 20), |scene| {
        let (gone, stays) = (scene.crowd.visitor(), scene.crowd.visitor());
        let all_served = |visitor: &Visitor| (0..3).all(|node| visitor.get(node, "/me") == StatusCode::OK);
        assert!(all_served(&gone) && all_served(&stays), "before the cut");

        fs::write(&cut, "").expect("the folder is ours");
        let since = Instant::now();
        assert_eq!(gone.post(HEARS, "/logout"), StatusCode::OK);
        assert_eq!(gone.get(HEARS, "/me"), StatusCode::UNAUTHORIZED);
        until("the bound takes effect", BOUND + SOON, || {
            stays.get(CLOSES, "/me") == StatusCode::SERVICE_UNAVAILABLE
        });
        assert!(since.elapsed() > BOUND / 2, "it closed after {:?}", since.elapsed());
        assert_eq!(stays.get(HEARS, "/me"), StatusCode::OK);
        assert_eq!(stays.get(SERVES_ON, "/me"), StatusCode::OK);
        assert_eq!(gone.get(SERVES_ON, "/me"), StatusCode::OK, "who can't hear of the end serves on");
        assert_eq!(
            gone.get(SERVES_ON, "/checked"),
            StatusCode::UNAUTHORIZED,
            "`check = store` asks the store"
        );

        fs::remove_file(&cut).expect("it was made before");
        for node in [SERVES_ON, CLOSES] {
            until("what ended is caught up on", SOON, || gone.get(node, "/me") == StatusCode::UNAUTHORIZED);
            until("others are served", SOON, || stays.get(node, "/me") == StatusCode::OK);
        }

        bench.kill_listeners();
        assert_eq!(stays.post(HEARS, "/logout"), StatusCode::OK);
        for node in [SERVES_ON, CLOSES] {
            until("no news is missed", SOON, || stays.get(node, "/me") == StatusCode::UNAUTHORIZED);
        }
    });
    Some(scene.end())
}

/// Waits until something holds.
fn until(what: &str, patience: Duration, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
    }
}
