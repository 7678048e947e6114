//! What an attribute makes of a handler: the guarded function and the `Endpoint` that describes it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

use crate::{
    args::{Args, RouteArgs},
    checks::Checks,
    errors::Errors,
    handler::Handler,
    hash::Hashes,
    hook::Hook,
    path::RoutePath,
    suggest,
};

pub(crate) const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// What an attribute says, checked.
pub(crate) struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    pub(crate) checks: Checks,
    pub(crate) on_theft: Option<Hook>,
    /// Why a service is open to everyone.
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Required,
    Optional,
    Login,
    Refresh,
    Logout,
    Public,
}

pub(crate) enum Route {
    At {
        method: &'static str,
        path: RoutePath,
    },
    /// The handler is mounted by hand.
    Unlisted,
    /// Something was wrong and is reported; the table has nothing to add.
    Refused,
}

impl Endpoint {
    pub(crate) fn new(kind: Kind, route: Route) -> Self {
        Self { kind, route, checks: Checks::default(), on_theft: None, reason: None }
    }

    /// This endpoint, without its route if there are errors.
    pub(crate) fn unless(self, errors: &Errors) -> Self {
        if errors.is_empty() { self } else { Self { route: Route::Refused, ..self } }
    }

    pub(crate) fn expand(&self, handler: &Handler) -> TokenStream {
        let mut expansion = match self.kind.argument() {
            Some(argument) if handler.is_sound() => {
                handler.guarded(&self.protection(handler.name()), &argument)
            }
            _ => handler.verbatim(),
        };
        if !handler.is_method() {
            expansion.extend(Self::expand_stand_in(handler));
            expansion.extend(self.describe(
                handler.name(),
                &self.route.expand(handler.name()),
                &handler.cfgs(),
            ));
        }
        expansion
    }

    /// The type that stands for the handler.
    fn expand_stand_in(handler: &Handler) -> TokenStream {
        let (name, visibility, cfgs) = (handler.name(), handler.visibility(), handler.cfgs());
        quote! {
            #(#cfgs)*
            #[doc(hidden)]
            #[allow(non_camel_case_types, missing_docs, missing_debug_implementations, unreachable_pub, dead_code)]
            #visibility struct #name {}
        }
    }

    /// The description of this endpoint, on the type `name`.
    pub(crate) fn describe(&self, name: &Ident, route: &TokenStream, cfgs: &[TokenStream]) -> TokenStream {
        let spec = self.expand_spec(route);
        let protection = self.protection(name);
        let own_protection = self.has_own_protection().then(|| self.expand_protection(name, cfgs));
        let described = quote! {
            #(#cfgs)*
            #[automatically_derived]
            impl ::session_runtime::__private::Endpoint for #name {
                type Protection = #protection;
                const SPEC: &'static ::session_runtime::__private::RouteSpec = &#spec;
            }

            #own_protection
        };
        self.checks.functions().in_scope(described, cfgs)
    }

    /// What the table is told, beginning with the route.
    fn expand_spec(&self, route: &TokenStream) -> TokenStream {
        let requirements = self.checks.expand_written();
        let on_refused = self.checks.on_refused.as_ref().map(|hook| hook.expand_written("on_refused"));
        let on_theft = self.on_theft.as_ref().map(|hook| hook.expand_written("on_theft"));
        let reason =
            self.reason.as_ref().map(|reason| quote!(reason: ::core::option::Option::Some(#reason),));
        let remarks = [requirements, on_refused, on_theft, reason];
        if remarks.iter().all(Option::is_none) {
            return route.clone();
        }
        let type_name = quote!(::session_runtime::__private::Remarks);
        quote!(#route.with(const { &#type_name { #(#remarks)* ..*#type_name::NONE } }))
    }

    /// What stands before the handler of the type `name`: that type, or what all of the kind have in common.
    pub(crate) fn protection(&self, name: &Ident) -> TokenStream {
        if self.has_own_protection() {
            return name.to_token_stream();
        }
        let kind = self.kind;
        quote!(::session_runtime::__private::kind::#kind)
    }

    /// A login or a refresh has one, by which its guard knows where in the table it stands.
    fn has_own_protection(&self) -> bool {
        matches!(self.kind, Kind::Login | Kind::Refresh) || !self.checks.is_empty()
    }

    fn expand_protection(&self, name: &Ident, cfgs: &[TokenStream]) -> TokenStream {
        let kind = self.kind;
        let functions = self.checks.functions();
        let options = self.checks.expand_options();
        let requirements = self.checks.expand_requirements();
        let on_refused = self.checks.on_refused.as_ref();
        let on_refused = on_refused.map(|hook| hook.expand("on_refused", "RefusalHook", "refusal_answer"));
        let on_theft = self.on_theft.as_ref();
        let on_theft = on_theft.map(|hook| hook.expand("on_theft", "TheftHook", "theft_answer"));
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            impl ::session_runtime::__private::Protection for #name {
                type Kind = ::session_runtime::__private::kind::#kind;
                type Functions = #functions;
                #options
                #requirements
                #on_refused
                #on_theft
            }
        }
    }
}

impl Kind {
    /// The session that stands for the first argument of a handler without arguments; `None` where there is no guard.
    fn argument(self) -> Option<TokenStream> {
        match self {
            Self::Required | Self::Refresh | Self::Logout => Some(quote!(::session_runtime::Session)),
            Self::Optional => Some(quote!(::core::option::Option<::session_runtime::Session>)),
            Self::Login => Some(quote!(::session_runtime::Login)),
            Self::Public => None,
        }
    }
}

impl ToTokens for Kind {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let name = match self {
            Self::Required => "Required",
            Self::Optional => "Optional",
            Self::Login => "Login",
            Self::Refresh => "Refresh",
            Self::Logout => "Logout",
            Self::Public => "Public",
        };
        format_ident!("{name}").to_tokens(tokens);
    }
}

impl Route {
    /// The route of a handler of the application's own.
    pub(crate) fn of(args: &Args, handler: &Handler, errors: &mut Errors) -> Self {
        let Some(RouteArgs { method, path }) = &args.route else { return Self::Unlisted };
        let method = check_method(method, errors);
        let path = RoutePath::parse(path, errors);
        if let Some(path) = &path {
            handler.check_captures(path, errors);
        }
        match (method, path) {
            (Some(method), Some(path)) => Self::At { method, path },
            _ => Self::Refused,
        }
    }

    /// The route of a login, refresh or logout: `POST`, and a path without captures.
    pub(crate) fn of_session_endpoint(
        what: &str,
        args: &Args,
        handler: &Handler,
        errors: &mut Errors,
    ) -> Self {
        let route = Self::of(args, handler, errors);
        let (Self::At { method, path }, Some(written)) = (&route, &args.route) else { return route };
        if *method != "POST" {
            let help = format!("`POST \"{}\"`", path.as_str());
            errors.push(written.method.span(), format!("a {what} is a `POST`\nhelp: {help}"));
        }
        if !path.is_literal() {
            let message = format!("the path of a {what} has no captures\nhelp: write it out literally");
            errors.push(path.span(), message);
        }
        route
    }

    /// This route, or `POST` to `path` where the attribute names none.
    pub(crate) fn or_post(self, path: &str) -> Self {
        match self {
            Self::Unlisted => Self::At { method: "POST", path: RoutePath::known(path) },
            route => route,
        }
    }

    fn expand(&self, handler: &Ident) -> TokenStream {
        let name = format!("::{handler}");
        match self {
            Self::Unlisted => quote! {
                ::session_runtime::__private::RouteSpec::unrouted(::core::concat!(::core::module_path!(), #name))
            },
            Self::Refused => quote!(::session_runtime::__private::RouteSpec::refused()),
            Self::At { method, path } => {
                let method = format_ident!("{method}");
                let (text, hashes) = (path.as_str(), Hashes::of(path.as_str()));
                quote! {
                    ::session_runtime::__private::RouteSpec::here(
                        ::session_runtime::__private::Method::#method,
                        #text,
                        #hashes,
                        ::core::concat!(::core::module_path!(), #name),
                    )
                }
            }
        }
    }
}

fn check_method(written: &Ident, errors: &mut Errors) -> Option<&'static str> {
    let name = written.to_string();
    let upper = name.to_uppercase();
    let known = METHODS.iter().copied().find(|method| *method == upper);
    if known.is_none_or(|method| method != name) {
        let message = match (known, suggest::nearest(&name, &METHODS)) {
            (Some(meant), _) => format!("a method is written in capitals\nhelp: `{meant}`"),
            (None, Some(near)) => {
                format!("unknown method `{name}`\nhelp: did you mean `{near}`? {}", methods())
            }
            (None, None) => format!("unknown method `{name}`\nhelp: {}", methods()),
        };
        errors.push(written.span(), message);
        return None;
    }
    known
}

fn methods() -> String {
    format!("axum routes {}", METHODS.map(|method| format!("`{method}`")).join(", "))
}
