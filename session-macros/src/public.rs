//! `#[public]`: a handler that anyone may call.

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::Handler,
};

pub(crate) fn check(args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let route = Route::of(&args, handler, errors);
    args.refuse_rest("public", &[], errors);
    Endpoint::new(Kind::Public, route)
}
