//! `#[refresh_endpoint]`: the handler that rotates refresh tokens.

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::Handler,
    hook::Hook,
};

/// Where the browser SDK refreshes.
const DEFAULT_PATH: &str = "/auth/session/refresh";

const KEYS: [&str; 1] = ["on_theft"];

pub(crate) fn check(mut args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let on_theft = args.take_value("on_theft", "sound_the_alarm", errors);
    let route = Route::of_session_endpoint("refresh", &args, handler, errors);
    refuse_slash_at_end(&route, errors);
    args.refuse_rest("#[refresh_endpoint]", &KEYS, errors);
    Endpoint {
        on_theft: on_theft.and_then(|hook| Hook::named("on_theft", "sound_the_alarm", hook, errors)),
        ..Endpoint::new(Kind::Refresh, route.or_post(DEFAULT_PATH))
    }
}

/// The path is the refresh cookie's too, and a cookie for `/refresh/` isn't sent to `/refresh`.
fn refuse_slash_at_end(route: &Route, errors: &mut Errors) {
    let Route::At { path, .. } = route else { return };
    if let Some(shorter) = path.as_str().strip_suffix('/') {
        let right = if shorter.is_empty() { "/refresh" } else { shorter };
        let message = format!("the path of a refresh ends without `/`\nhelp: `\"{right}\"`");
        errors.push(path.span(), message);
    }
}
