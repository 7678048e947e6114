//! The attributes and the route table of `session-runtime`, which re-exports and documents them.
//!
//! Depend on `session-runtime`: what these macros emit names its paths.

mod args;
mod attributes;
mod checks;
mod endpoint;
mod errors;
mod handler;
mod hash;
mod hook;
mod login_endpoint;
mod logout_endpoint;
mod path;
mod protected;
mod public;
mod refresh_endpoint;
mod requirement;
#[cfg(test)]
mod robustness;
mod routes;
mod suggest;
mod written;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;

use crate::{args::Args, endpoint::Endpoint, errors::Errors, handler::Handler};

/// Lets only requests with a valid session reach the handler.
#[proc_macro_attribute]
pub fn protected(args: TokenStream, item: TokenStream) -> TokenStream {
    emit("protected", protected::check, args, item)
}

/// Makes the handler the one that rotates refresh tokens.
#[proc_macro_attribute]
pub fn refresh_endpoint(args: TokenStream, item: TokenStream) -> TokenStream {
    emit("refresh_endpoint", refresh_endpoint::check, args, item)
}

/// Lets the handler create sessions.
#[proc_macro_attribute]
pub fn login_endpoint(args: TokenStream, item: TokenStream) -> TokenStream {
    emit("login_endpoint", login_endpoint::check, args, item)
}

/// Makes the handler the one that ends the caller's session.
#[proc_macro_attribute]
pub fn logout_endpoint(args: TokenStream, item: TokenStream) -> TokenStream {
    emit("logout_endpoint", logout_endpoint::check, args, item)
}

/// Lists the handler as open to everyone.
#[proc_macro_attribute]
pub fn public(args: TokenStream, item: TokenStream) -> TokenStream {
    emit("public", public::check, args, item)
}

/// Makes the function one that routes can require.
#[proc_macro_attribute]
pub fn requirement(args: TokenStream, item: TokenStream) -> TokenStream {
    requirement::expand(&args.into(), &item.into()).into()
}

/// The table of routes: annotated handlers, checked against each other by the compiler.
#[proc_macro]
pub fn routes(input: TokenStream) -> TokenStream {
    routes::expand(routes::Completeness::Complete, input.into()).into()
}

/// A part of a table, for `routes!` to include.
#[proc_macro]
pub fn route_group(input: TokenStream) -> TokenStream {
    routes::expand(routes::Completeness::Partial, input.into()).into()
}

type Check = fn(Args, &Handler, &mut Errors) -> Endpoint;

fn emit(attribute: &str, check: Check, args: TokenStream, item: TokenStream) -> TokenStream {
    emit2(attribute, check, args.into(), item.into()).into()
}

/// `emit` on the tokens of `proc_macro2`, which exist in tests too.
fn emit2(attribute: &str, check: Check, args: TokenStream2, item: TokenStream2) -> TokenStream2 {
    let mut errors = Errors::default();
    let args = Args::parse(args, &mut errors);
    let expansion = match Handler::parse(attribute, &item, &mut errors) {
        Some(handler) => {
            let endpoint = check(args, &handler, &mut errors);
            endpoint.unless(&errors).expand(&handler)
        }
        None => item,
    };
    let mut emitted = errors.finish();
    emitted.extend(expansion);
    emitted
}
