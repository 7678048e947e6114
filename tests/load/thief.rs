//! What a thief does, and its victim.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{World, browser::Browser, wire::Verdict};

/// How soon a refresh is tried again that brought no new token.
const RETRY: Duration = Duration::from_millis(100);

/// Steals from one victim after another, until the crowd is to end. The first theft is completed in any case.
pub(super) async fn steal(world: Arc<World>) {
    rob(&world).await;
    loop {
        tokio::select! {
            () = world.closing() => return,
            () = rob(&world) => {}
        }
    }
}

/// Copies the refresh token; one of the two uses it and goes on, and long after comes the other.
async fn rob(world: &Arc<World>) {
    let victim = Browser::new(world);
    victim.log_in().await;
    let thief = victim.thief();
    let is_thief_first = victim.draw(|rng| rng.bool());
    let (first, second) = if is_thief_first { (&thief, &victim) } else { (&victim, &thief) };
    let beyond_grace = world.site.grace.mul_f64(1.1);

    // So that it rotates, if need be when the grace of a rotation whose answer was lost is over; and uses what that made.
    sleep(beyond_grace).await;
    let stolen = first.refresh_token();
    let mut taken = [first.refresh().await; 2];
    while taken[0] == Verdict::Served && first.refresh_token() == stolen {
        sleep(RETRY).await;
        taken[0] = first.refresh().await;
    }
    taken[1] = first.refresh().await;
    sleep(beyond_grace).await;
    let found = [second.refresh().await, first.refresh().await];

    if taken.contains(&Verdict::Unavailable) || found.contains(&Verdict::Unavailable) {
        // The store was away for as long as anybody tries again, so that one of them has not come at all.
        return;
    }
    if found == [Verdict::LoggedOut; 2] {
        world.count(|counts| counts.thefts += 1);
    } else {
        world.count(|counts| counts.missed_thefts += 1);
        let order = if is_thief_first { "after the thief" } else { "before the thief" };
        second.complain(&format!("is the second, and was not told of the theft ({taken:?}, then {found:?})"));
        first.complain(&format!("refreshed the stolen token first, the victim {order}"));
    }
}
