//! What an attribute makes of a handler: the guarded function and the `Endpoint` that describes it.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Expr, ExprPath, Path, spanned::Spanned};

use crate::{
    args::{Args, RouteArgs},
    errors::Errors,
    handler::Handler,
    hash::Hashes,
    path::RoutePath,
    suggest,
};

pub(crate) const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// What an attribute says, checked.
pub(crate) struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    pub(crate) requirements: Vec<Expr>,
    /// The functions among the requirements.
    pub(crate) functions: Vec<Path>,
    pub(crate) options: Options,
    pub(crate) on_refused: Option<ExprPath>,
    pub(crate) on_theft: Option<ExprPath>,
}

/// What the guard looks at beyond the session, as far as the attribute says it.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) max_auth_age: Option<Duration>,
    pub(crate) check_store: bool,
    pub(crate) replaces_application: bool,
    pub(crate) dangerously_without_csrf: bool,
    pub(crate) transport: Option<&'static str>,
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
        Self {
            kind,
            route,
            requirements: Vec::new(),
            functions: Vec::new(),
            options: Options::default(),
            on_refused: None,
            on_theft: None,
        }
    }

    /// This endpoint, without its route if there are errors.
    pub(crate) fn unless(self, errors: &Errors) -> Self {
        if errors.is_empty() { self } else { Self { route: Route::Refused, ..self } }
    }

    pub(crate) fn expand(&self, handler: &Handler) -> TokenStream {
        let function = match self.kind.argument() {
            Some(argument) if handler.is_sound() => handler.guarded(&argument),
            _ => handler.verbatim(),
        };
        let endpoint = (!handler.is_method()).then(|| self.expand_endpoint(handler));
        quote!(#function #endpoint)
    }

    fn expand_endpoint(&self, handler: &Handler) -> TokenStream {
        let (name, visibility, cfgs) = (handler.name(), handler.visibility(), handler.cfgs());
        let endpoint = self.expand_impl(name, &cfgs);
        let endpoint = if self.functions.is_empty() { endpoint } else { self.in_scope(&endpoint, &cfgs) };
        quote! {
            #cfgs
            #[doc(hidden)]
            #[allow(non_camel_case_types, missing_docs, missing_debug_implementations, unreachable_pub, dead_code)]
            #visibility struct #name {}

            #endpoint
        }
    }

    fn expand_impl(&self, name: &Ident, cfgs: &TokenStream) -> TokenStream {
        let kind = self.kind;
        let functions =
            self.functions().rev().fold(quote!(()), |others, (first, _)| quote!((#first, #others)));
        let route = self.route.expand(name);
        let guard = self.options.expand();
        let requirements = self.expand_requirements();
        let hooks = [self.expand_on_refused(), self.expand_on_theft()];
        quote! {
            #cfgs
            #[automatically_derived]
            impl ::session_runtime::__private::Endpoint for #name {
                type Kind = ::session_runtime::__private::kind::#kind;
                type Functions = #functions;
                const ROUTE: ::core::option::Option<::session_runtime::__private::RouteSpec> = #route;
                #guard
                #requirements
                #(#hooks)*
            }
        }
    }

    /// `endpoint` where each function among the requirements has an alias.
    ///
    /// A name imported there is a type too if its function has the attribute; if not, the type is `NoRequirement`.
    fn in_scope(&self, endpoint: &TokenStream, cfgs: &TokenStream) -> TokenStream {
        let unknown = self
            .functions()
            .map(|(alias, _)| quote!(pub(super) type #alias = ::session_runtime::__private::NoRequirement;));
        let imports = self.functions().map(
            |(alias, function)| quote_spanned!(alias.span()=> #[allow(deprecated)] use #function as #alias;),
        );
        let verdicts = self.functions().map(|(alias, function)| {
            let written = function.to_token_stream().to_string().replace(' ', "");
            let message =
                format!("`{written}` is no requirement\nhelp: put `#[requirement]` above the function");
            quote_spanned!(alias.span()=>
                const _: () = if !<#alias as ::session_runtime::__private::RequirementFn>::IS_ANNOTATED {
                    ::core::panic!(#message)
                };
            )
        });
        quote! {
            #cfgs
            const _: () = {
                #[allow(dead_code, non_camel_case_types)]
                mod __no_requirements {
                    #(#unknown)*
                }
                #[allow(unused_imports)]
                use __no_requirements::*;
                #(#imports)*
                #(#verdicts)*
                #endpoint
            };
        }
    }

    /// The functions among the requirements, each with the name by which the expansion knows it; an error about it points at
    /// the function.
    fn functions(&self) -> impl DoubleEndedIterator<Item = (Ident, &Path)> {
        self.functions.iter().enumerate().map(|(position, function)| {
            let span = function.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span());
            (format_ident!("__requirement_{position}", span = span.resolved_at(Span::call_site())), function)
        })
    }

    fn expand_requirements(&self) -> Option<TokenStream> {
        let requirements = &self.requirements;
        if requirements.is_empty() {
            return None;
        }
        Some(quote! {
            fn requirements() -> &'static [::session_runtime::__private::Requirement] {
                static LIST: ::std::sync::LazyLock<::std::vec::Vec<::session_runtime::__private::Requirement>> =
                    ::std::sync::LazyLock::new(|| ::std::vec![#(#requirements),*]);
                &LIST
            }
        })
    }

    fn expand_on_refused(&self) -> Option<TokenStream> {
        let hook = expand_hook(self.on_refused.as_ref()?, &quote!(refusal_answer))?;
        Some(quote! {
            fn on_refused() -> ::core::option::Option<::session_runtime::__private::RefusalHook> {
                ::core::option::Option::Some(#hook)
            }
        })
    }

    fn expand_on_theft(&self) -> Option<TokenStream> {
        let hook = expand_hook(self.on_theft.as_ref()?, &quote!(theft_answer))?;
        Some(quote! {
            fn on_theft() -> ::core::option::Option<::session_runtime::__private::TheftHook> {
                ::core::option::Option::Some(#hook)
            }
        })
    }
}

/// The function that the key `key` names.
pub(crate) fn hook_function(key: &str, example: &str, hook: Expr, errors: &mut Errors) -> Option<ExprPath> {
    match hook {
        Expr::Path(path) => Some(path),
        other => {
            let message = format!("`{key}` names a function\nhelp: `{key} = {example}`");
            errors.push(other.span(), message);
            None
        }
    }
}

/// The call of the user's function `hook`, its answer understood by `answer`.
fn expand_hook(hook: &ExprPath, answer: &TokenStream) -> Option<TokenStream> {
    let name = hook.path.segments.last()?;
    let seen = Ident::new("seen", Span::mixed_site());
    // Where an error about the function's type points.
    let at_hook = name.ident.span().resolved_at(Span::mixed_site());
    let answer = quote_spanned!(at_hook=> ::session_runtime::__private::#answer(#hook(#seen)));
    Some(quote!(|#seen| #answer))
}

impl Options {
    fn expand(&self) -> Option<TokenStream> {
        let some = quote!(::core::option::Option::Some);
        let max_auth_age = self
            .max_auth_age
            .map(|age| age.as_secs())
            .map(|secs| quote!(max_auth_age: #some(::core::time::Duration::from_secs(#secs)),));
        let check_store = self.check_store.then(|| quote!(check_store: true,));
        let inherits = self.replaces_application.then(|| quote!(inherits: false,));
        let csrf = self.dangerously_without_csrf.then(|| quote!(dangerously_without_csrf: true,));
        let transport = self.transport.map(|name| {
            let name = format_ident!("{name}");
            quote!(transport: #some(::session_runtime::Transport::#name),)
        });
        let said: Vec<_> =
            [max_auth_age, check_store, inherits, csrf, transport].into_iter().flatten().collect();
        if said.is_empty() {
            return None;
        }
        Some(quote! {
            const GUARD: ::session_runtime::__private::GuardOptions = ::session_runtime::__private::GuardOptions {
                #(#said)*
                ..::session_runtime::__private::GuardOptions::DEFAULT
            };
        })
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
        let some = quote!(::core::option::Option::Some);
        let spec = quote!(::session_runtime::__private::RouteSpec);
        match self {
            Self::Unlisted => quote!(::core::option::Option::None),
            Self::Refused => quote!(#some(#spec::REFUSED)),
            Self::At { method, path } => {
                let method = format_ident!("{method}");
                let (text, hashes) = (path.as_str(), Hashes::of(path.as_str()));
                quote! {
                    #some(#spec {
                        method: ::session_runtime::__private::Method::#method,
                        path: #text,
                        hashes: #hashes,
                        handler: ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#handler)),
                        file: ::core::file!(),
                        line: ::core::line!(),
                        column: ::core::column!(),
                    })
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
