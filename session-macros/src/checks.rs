//! What a route asks of a request beyond a session, and its part in the `Protection`.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Expr, Path};

use crate::{hook::Hook, written::as_written};

#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) requirements: Vec<Requirement>,
    /// Whether the requirements take the place of the application's.
    pub(crate) replaces_application: bool,
    pub(crate) max_auth_age: Option<Duration>,
    pub(crate) check_store: bool,
    pub(crate) dangerously_without_csrf: bool,
    /// The only transport that is looked at, as a variant of `Transport`.
    pub(crate) transport: Option<&'static str>,
    pub(crate) on_refused: Option<Hook>,
}

pub(crate) enum Requirement {
    /// An expression made from claims.
    Claims(Expr),
    /// The path of a function with `#[requirement]`.
    Function(Path),
}

impl Checks {
    /// The functions among the requirements.
    pub(crate) fn functions(&self) -> Functions<'_> {
        let paths = self.requirements.iter().filter_map(|requirement| match requirement {
            Requirement::Function(path) => Some(path),
            Requirement::Claims(_) => None,
        });
        Functions(paths.enumerate().map(|(position, path)| (alias(position, path), path)).collect())
    }

    /// Whether nothing is asked beyond a session.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.on_refused.is_none() && !self.has_options()
    }

    fn has_options(&self) -> bool {
        let Self {
            replaces_application, max_auth_age, check_store, dangerously_without_csrf, transport, ..
        } = self;
        let has_switch = *replaces_application || *check_store || *dangerously_without_csrf;
        has_switch || max_auth_age.is_some() || transport.is_some()
    }

    /// Nothing where the guard's usual options hold.
    pub(crate) fn expand_options(&self) -> Option<TokenStream> {
        if !self.has_options() {
            return None;
        }
        let Self {
            replaces_application, max_auth_age, check_store, dangerously_without_csrf, transport, ..
        } = self;
        let inherits = !replaces_application;
        let max_auth_age = expand_option(max_auth_age.map(|age| {
            let secs = age.as_secs();
            quote!(::core::time::Duration::from_secs(#secs))
        }));
        let transport = expand_option(transport.map(|name| {
            let name = format_ident!("{name}");
            quote!(::session_runtime::Transport::#name)
        }));
        Some(quote! {
            const OPTIONS: ::session_runtime::__private::GuardOptions = ::session_runtime::__private::GuardOptions {
                max_auth_age: #max_auth_age,
                check_store: #check_store,
                inherits: #inherits,
                dangerously_without_csrf: #dangerously_without_csrf,
                transport: #transport,
            };
        })
    }

    /// The field by which the table is told of the requirements; nothing where there are none.
    pub(crate) fn expand_written(&self) -> Option<TokenStream> {
        if self.requirements.is_empty() {
            return None;
        }
        let written = self.requirements.iter().map(|requirement| as_written(requirement.to_token_stream()));
        Some(quote!(requirements: &[#(#written),*],))
    }

    /// Those made from claims; nothing where there are none.
    pub(crate) fn expand_requirements(&self) -> Option<TokenStream> {
        let of_claims = self.requirements.iter().filter_map(|requirement| match requirement {
            Requirement::Claims(expression) => Some(expression),
            Requirement::Function(_) => None,
        });
        let of_claims: Vec<_> = of_claims.collect();
        if of_claims.is_empty() {
            return None;
        }
        Some(quote! {
            fn requirements() -> &'static [::session_runtime::__private::Requirement] {
                static LIST: ::std::sync::LazyLock<::std::vec::Vec<::session_runtime::__private::Requirement>> =
                    ::std::sync::LazyLock::new(|| ::std::vec![#(#of_claims),*]);
                &LIST
            }
        })
    }
}

fn expand_option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

impl ToTokens for Requirement {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Claims(expression) => expression.to_tokens(tokens),
            Self::Function(path) => path.to_tokens(tokens),
        }
    }
}

/// Functions among the requirements, each with the name by which the expansion knows it.
///
/// As tokens: the type that stands for all of them.
pub(crate) struct Functions<'a>(Vec<(Ident, &'a Path)>);

impl Functions<'_> {
    /// `endpoint` where each function has its alias.
    ///
    /// A name imported there is a type too if its function has the attribute; if not, the type is `NoRequirement`.
    pub(crate) fn in_scope(&self, endpoint: TokenStream, cfgs: &[TokenStream]) -> TokenStream {
        if self.0.is_empty() {
            return endpoint;
        }
        let unknown = self
            .0
            .iter()
            .map(|(alias, _)| quote!(pub(super) type #alias = ::session_runtime::__private::NoRequirement;));
        let imports = self.0.iter().map(
            |(alias, function)| quote_spanned!(alias.span()=> #[allow(deprecated)] use #function as #alias;),
        );
        let verdicts = self.0.iter().map(|(alias, function)| {
            let written = as_written(function.to_token_stream());
            let message =
                format!("`{written}` is no requirement\nhelp: put `#[requirement]` above the function");
            quote_spanned!(alias.span()=>
                const _: () = if !<#alias as ::session_runtime::__private::RequirementFn>::IS_ANNOTATED {
                    ::core::panic!(#message)
                };
            )
        });
        quote! {
            #(#cfgs)*
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
}

impl ToTokens for Functions<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let aliases = self.0.iter().rev();
        aliases.fold(quote!(()), |others, (first, _)| quote!((#first, #others))).to_tokens(tokens);
    }
}

/// An error about it points at the function.
fn alias(position: usize, function: &Path) -> Ident {
    let span = function.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span());
    format_ident!("__requirement_{position}", span = span.resolved_at(Span::call_site()))
}
