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
    scene::{Outcome, Scene, business, form},
};

/// Beyond this, a node that hears nothing counts as behind.
const BOUND: Duration = Duration::from_secs(1);

/// How soon a node that can hear knows of an end, on a machine that does nothing else.
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
        let becomes = |visitor: &Visitor, node: usize, status: StatusCode| {
            until(&format!("node {node} answers {status}"), SOON, || visitor.get(node, "/me") == status);
        };
        for node in [HEARS, SERVES_ON, CLOSES] {
            becomes(&gone, node, StatusCode::OK);
            becomes(&stays, node, StatusCode::OK);
        }

        fs::write(&cut, "").expect("the folder is ours");
        let since = Instant::now();
        log_out(&gone);
        until("the bound takes effect", BOUND + SOON, || {
            stays.get(CLOSES, "/me") == StatusCode::SERVICE_UNAVAILABLE
        });
        // What it knew was half as old by then.
        assert!(since.elapsed() > BOUND / 3, "it closed after {:?}", since.elapsed());
        assert_eq!(gone.get(HEARS, "/me"), StatusCode::UNAUTHORIZED);
        assert_eq!(stays.get(HEARS, "/me"), StatusCode::OK);
        assert_eq!(gone.get(SERVES_ON, "/me"), StatusCode::OK, "it can't know of the end");
        assert_eq!(stays.get(SERVES_ON, "/me"), StatusCode::OK);
        until("`check = store` asks it", SOON, || {
            gone.get(SERVES_ON, "/checked") == StatusCode::UNAUTHORIZED
        });

        fs::remove_file(&cut).expect("it was made before");
        for node in [SERVES_ON, CLOSES] {
            becomes(&gone, node, StatusCode::UNAUTHORIZED);
            becomes(&stays, node, StatusCode::OK);
        }

        bench.kill_listeners();
        log_out(&stays);
        for node in [SERVES_ON, CLOSES] {
            becomes(&stays, node, StatusCode::UNAUTHORIZED);
        }
    });
    Some(scene.end())
}

/// Ends a session where its end is heard of at once. Of a logout whose answer was a 503, the session may have ended or not.
fn log_out(visitor: &Visitor) {
    until("the logout", SOON, || {
        matches!(visitor.post(HEARS, "/logout"), StatusCode::OK | StatusCode::UNAUTHORIZED)
    });
}

/// Waits until something holds, for longer where the machine is busy.
fn until(what: &str, patience: Duration, holds: impl Fn() -> bool) {
    let (started, patience) = (Instant::now(), patience.mul_f64(business()));
    while !holds() {
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
    }
}
