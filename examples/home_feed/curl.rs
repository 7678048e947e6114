//! What is printed at the start: where it listens, and the lines to try.

use std::{net::SocketAddr, time::Duration};

use crate::options::Options;

/// The greeting, with `curl` lines that fit the address and the lifetimes.
pub(crate) fn greeting(address: SocketAddr, secure: bool, options: &Options) -> String {
    let base = format!("http://{address}");
    let secure = if secure { "on (HTTPS only)" } else { "off, because this is a loopback address" };
    let access = humantime::format_duration(options.access_lifetime);
    let until_expired = seconds(options.access_lifetime);
    // A refresh within the grace after the login keeps the token, and so does one within the grace after its use.
    let past_grace = seconds(options.grace) + 1;
    format!(
        r#"home_feed listens on {base}
open it in a browser to see each token live and die, or try the lines below
cookies are Secure: {secure}
accounts: alice, bob (an admin); password: demo
an access token lives {access}; --access-lifetime 2s --grace 1s makes the wait below short

log in            curl -i -c jar {base}/login -H 'content-type: application/json' -d '{{"user":"alice","password":"demo"}}'
call the feed     curl -i -b jar {base}/getHomeFeed
it expires        sleep {until_expired}; curl -i -b jar {base}/getHomeFeed
a thief copies    cp jar stolen
refresh           sleep {past_grace}; curl -i -b jar -c jar -X POST {base}/refresh -H 'rid: session'
call again        curl -i -b jar {base}/getHomeFeed
the thief comes   sleep {past_grace}; curl -i -b stolen -X POST {base}/refresh -H 'rid: session'
both are out      curl -i -b jar {base}/getHomeFeed
log in again      curl -i -c jar {base}/login -H 'content-type: application/json' -d '{{"user":"bob","password":"demo"}}'
an admin's route  curl -i -b jar -X DELETE {base}/posts/1 -H 'rid: session'
the devices       curl -i -b jar {base}/sessions
log out           curl -i -b jar -c jar -X POST {base}/logout -H 'rid: session'

Ctrl-C stops
"#
    )
}

/// Whole seconds, rounded up: what `sleep` takes.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
