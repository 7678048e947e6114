//! `#[logout_endpoint]`: the handler that ends the caller's session.

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::Handler,
};

/// Where the browser SDK signs out.
const DEFAULT_PATH: &str = "/auth/signout";

pub(crate) fn check(args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let route = Route::of_session_endpoint("logout", &args, handler, errors).or_post(DEFAULT_PATH);
    args.refuse_rest("#[logout_endpoint]", &[], errors);
    Endpoint::new(Kind::Logout, route)
}
