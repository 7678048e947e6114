//! The clocks of the nodes are ten minutes fast, slow, and set while they run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use session_runtime::Clock;
use tests::{
    load::Plan,
    servers::{find, or_skip},
};

use crate::{
    bench::Bench,
    node::{Node, Settings},
    scene::{Outcome, Scene, form},
};

/// As `libfaketime` takes them.
const FAST: &str = "+600s";
const SLOW: &str = "-600s";

/// By how much, at least.
const APART: Duration = Duration::from_secs(590);

/// How long a node may go by its own clock after that was set, until it hears the store's time again.
const SETTLED: Duration = Duration::from_millis(1500);

/// One node is ten minutes ahead, one ten minutes behind; then the other way round, by a jump of twenty minutes.
pub(crate) fn apart(bench: &mut Bench) -> Option<Outcome> {
    let library = or_skip(library(), "faketime")?;
    let place = bench.place()?;
    let clocks = [bench.file(), bench.file()];
    set(&clocks, [FAST, SLOW]);
    let right = Settings::on(&place);
    let [one, other] = clocks.each_ref().map(|clock| by_clock(&right, &library, clock));
    let mut scene = Scene::of(&[one, other, right], Plan::default());
    let mut is_turned = false;
    scene.strike_times(form(1, 20), |scene| {
        is_turned = !is_turned;
        set(&clocks, if is_turned { [SLOW, FAST] } else { [FAST, SLOW] });
        let now = Clock::system().now();
        let are_apart = |node: &Node| node.clock().since(now).max(now.since(node.clock())) > APART;
        assert!(scene.nodes[..2].iter().all(are_apart) && !are_apart(&scene.nodes[2]));
        scene.crowd.work_for(SETTLED);
    });
    Some(scene.end())
}

/// A node whose clock shows what a file says; how time passes stays as it is.
fn by_clock(settings: &Settings, library: &Path, clock: &Path) -> Settings {
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    Settings { environment, ..settings.clone() }
}

fn set(clocks: &[PathBuf; 2], to: [&str; 2]) {
    for (clock, to) in clocks.iter().zip(to) {
        fs::write(clock, to).expect("the folder is ours");
    }
}

/// The library that `faketime` preloads, which distributions keep in different places.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64"].map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let folders = folders.map(|folder| folder.path().join("faketime"));
    let places = ["/usr/lib/faketime", "/usr/lib64/faketime"].map(PathBuf::from).into_iter().chain(folders);
    find("libfaketime.so.1", places)
}
