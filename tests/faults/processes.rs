//! A node's process is killed, and started again.

use crate::{
    bench::Bench,
    node::Settings,
    scene::{Outcome, Scene},
};

/// `kill -9` during refreshes, one node after the other.
pub(crate) fn killed(bench: &mut Bench) -> Option<Outcome> {
    let mut scene = Scene::start(&Settings::on(&bench.place()?));
    let mut struck = 0;
    scene.strike(|scene| {
        let node = struck % scene.nodes.len();
        scene.nodes[node].kill();
        scene.nodes[node].restart();
        struck += 1;
    });
    Some(scene.end())
}
