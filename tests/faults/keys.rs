//! The operator changes the secret under load, by the three deployments of the guide.

use std::time::Duration;

use tests::load::Plan;

use crate::{
    bench::Bench,
    node::Settings,
    scene::{Outcome, Scene, form},
};

/// Secrets that follow one another.
const SECRETS: [&str; 2] =
    ["pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=", "4Jx0m7q3dV9sT1nYbC8kLw2eRf6uZhGa5PoXiQvDtEM="];

/// How long one node is ahead of the others.
const BESIDE: Duration = Duration::from_millis(400);

/// `old`, then `old,new`, then `new,old`, and `new` when nobody has a refresh token under the old one; node after node each time, so
/// that they are on different rings meanwhile.
pub(crate) fn changed(bench: &mut Bench) -> Option<Outcome> {
    let [first, _] = SECRETS;
    let settings = Settings { keys: first.to_owned(), ..Settings::on(&bench.place()?) };
    // What a thief copied under the old secret would be worthless in the end, and found out by nobody.
    let mut scene = Scene::with(&settings, Plan { thieves: 0, ..Plan::default() });
    let mut changes = 0;
    scene.strike_times(form(1, 20), |scene| {
        let (old, new) = (SECRETS[changes % 2], SECRETS[(changes + 1) % 2]);
        deploy(scene, &format!("{old},{new}"));
        deploy(scene, &format!("{new},{old}"));
        scene.crowd.renew();
        // What was sent with an old token before arrives within the grace.
        scene.crowd.work_for(settings.grace);
        deploy(scene, new);
        changes += 1;
    });
    Some(scene.end())
}

/// Restarts node after node with other keys; the first works on beside the others for a while.
fn deploy(scene: &mut Scene, keys: &str) {
    for node in 0..scene.nodes.len() {
        scene.nodes[node].restart_with(|settings| keys.clone_into(&mut settings.keys));
        scene.crowd.work_for(if node == 0 { BESIDE } else { Duration::ZERO });
    }
}
