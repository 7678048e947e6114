//! What an honest client does.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    browser::{Browser, Call},
    wire::Verdict,
};

/// So many tabs share a cookie jar.
pub(super) const TABS: usize = 3;

/// How often a tab refreshes without being told to.
const BY_ITSELF: f64 = 0.2;

/// How often the whole browser goes to sleep after a refresh that it got no answer to, and for how many graces at most.
const FALLS_ASLEEP: f64 = 0.1;
const SLEEP: f64 = 4.0;

/// One tab, until the crowd is to end or the client is logged out.
pub(super) async fn browse(browser: Arc<Browser>) {
    while rest(&browser).await {
        if browser.draw(|rng| rng.f64() < BY_ITSELF) {
            refresh(&browser).await;
            continue;
        }
        match browser.call(Call::Protected).await {
            Verdict::LoggedOut => browser.be_logged_out().await,
            Verdict::Expired => refresh(&browser).await,
            Verdict::Served | Verdict::Unavailable | Verdict::Unanswered | Verdict::Wrong => {}
        }
    }
}

/// Refreshes until that is answered.
async fn refresh(browser: &Arc<Browser>) {
    loop {
        match browser.call(Call::Refresh).await {
            Verdict::LoggedOut => return browser.be_logged_out().await,
            Verdict::Unanswered if browser.draw(|rng| rng.f64() < FALLS_ASLEEP) => {
                let longest = browser.world().site.grace.mul_f64(SLEEP);
                browser.fall_asleep(browser.draw(|rng| longest.mul_f64(rng.f64())));
            }
            // What a client does with a 503, had it the time to wait for as long as `Retry-After` says.
            Verdict::Unanswered | Verdict::Unavailable => {}
            Verdict::Served | Verdict::Expired | Verdict::Wrong => return,
        }
        if !rest(browser).await {
            return;
        }
    }
}

/// Rests for a while; false if there is nothing more to do.
async fn rest(browser: &Browser) -> bool {
    let average = browser.world().plan.rest;
    sleep(average.mul_f64(browser.draw(|rng| 2.0 * rng.f64()))).await;
    while browser.is_asleep() && !browser.world().is_closing() {
        sleep(Duration::from_millis(10)).await;
    }
    !browser.is_out() && !browser.world().is_closing()
}
