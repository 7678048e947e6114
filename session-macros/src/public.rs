//! `#[public]`: a handler that anyone may call.

use syn::{Expr, ExprLit, Lit, spanned::Spanned};

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::Handler,
};

const EXAMPLE: &str = "\"static files\"";

pub(crate) fn check(args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let route = Route::of(&args, handler, errors);
    args.refuse_rest("#[public]", &[], errors);
    Endpoint::new(Kind::Public, route)
}

/// `public_service(service, reason = "…")` in a table: what `#[public]` is for handlers.
pub(crate) fn check_service(mut args: Args, errors: &mut Errors) -> Endpoint {
    let reason = args.take_value("reason", EXAMPLE, errors);
    args.refuse_rest("public_service", &["reason"], errors);
    let reason = reason.and_then(|reason| text(&reason, errors));
    Endpoint { reason, ..Endpoint::new(Kind::Public, Route::Unlisted) }
}

fn text(reason: &Expr, errors: &mut Errors) -> Option<String> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = reason
        && !text.value().trim().is_empty()
    {
        return Some(text.value());
    }
    let message =
        format!("`reason` says in a string why everyone may call the service\nhelp: `reason = {EXAMPLE}`");
    errors.push(reason.span(), message);
    None
}
