//! `#[login_endpoint]`: a handler that creates sessions.

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::Handler,
};

pub(crate) fn check(args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let route = Route::of_session_endpoint("login", &args, handler, errors);
    args.refuse_rest("#[login_endpoint]", &[], errors);
    Endpoint::new(Kind::Login, route)
}
