//! `routes!` and `route_group!`: the table of an application's handlers, and a part of one.

mod service;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, LitStr, Path, Token, bracketed,
    ext::IdentExt as _,
    parse::{ParseStream, Parser},
    token::Bracket,
};

use self::service::Service;
use crate::{errors::Errors, hash::Hash, path::RoutePath, written::as_written};

/// What a table has to have.
#[derive(Clone, Copy)]
pub(crate) enum Completeness {
    /// All that an application needs: `routes!`.
    Complete,
    /// Anything: `route_group!`.
    Partial,
}

pub(crate) fn expand(completeness: Completeness, input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let table = Table::parse(input, &mut errors);
    if errors.is_empty() {
        return table.expand(completeness);
    }
    let errors = errors.finish();
    let make = completeness.function();
    quote!({
        #errors
        ::session_runtime::__private::#make(&[], &[])
    })
}

/// How many constants make the checks of a table, at most.
const MAX_CHECKS: usize = 32;

#[derive(Default)]
struct Table(Vec<Entry>);

/// One entry of the table.
struct Entry {
    cfgs: Vec<Attribute>,
    prefix: String,
    what: What,
}

enum What {
    Handler(Path),
    /// Another table.
    Table(Path),
    Service(Box<Service>),
}

impl Table {
    fn parse(input: TokenStream, errors: &mut Errors) -> Self {
        let mut table = Self::default();
        let parser = |input: ParseStream<'_>| table.parse_group(input, "", &[], errors);
        if let Err(error) = parser.parse2(input) {
            errors.combine(error);
        }
        table
    }

    fn parse_group(
        &mut self,
        input: ParseStream<'_>,
        prefix: &str,
        cfgs: &[Attribute],
        errors: &mut Errors,
    ) -> syn::Result<()> {
        while !input.is_empty() {
            let own_cfgs = input.call(Attribute::parse_outer)?;
            refuse_other_attributes(&own_cfgs, errors);
            let cfgs = [cfgs, &own_cfgs].concat();
            if input.peek(LitStr) {
                self.parse_prefixed(input, prefix, &cfgs, errors)?;
            } else {
                let is_table = input.parse::<Option<Token![..]>>()?.is_some();
                let path = input.call(Path::parse_mod_style)?;
                refuse_service_without_prefix(&path, input)?;
                let what = if is_table { What::Table(path) } else { What::Handler(path) };
                self.0.push(Entry { cfgs, prefix: prefix.to_owned(), what });
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn parse_prefixed(
        &mut self,
        input: ParseStream<'_>,
        prefix: &str,
        cfgs: &[Attribute],
        errors: &mut Errors,
    ) -> syn::Result<()> {
        let literal: LitStr = input.parse()?;
        if !input.peek(Token![=>]) {
            let message = "a path stands in the attribute of its handler";
            let help = format!("list the handler by its name; a prefix is `\"{}\" => […]`", literal.value());
            return Err(syn::Error::new(literal.span(), format!("{message}\nhelp: {help}")));
        }
        input.parse::<Token![=>]>()?;
        let is_service = input.peek(Ident::peek_any);
        let own = if is_service {
            RoutePath::parse_service_prefix(&literal, errors)
        } else {
            RoutePath::parse_prefix(&literal, errors)
        };
        let prefix = format!("{prefix}{}", own.as_ref().map_or("", RoutePath::as_str));
        if is_service {
            let service = Service::parse(input, errors)?;
            self.0.push(Entry { cfgs: cfgs.to_vec(), prefix, what: What::Service(Box::new(service)) });
            return Ok(());
        }
        if !input.peek(Bracket) {
            let message = "a prefix stands before a list or a service";
            let help = format!("`\"{}\" => […]`", literal.value());
            return Err(input.error(format!("{message}\nhelp: {help}")));
        }
        let group;
        bracketed!(group in input);
        self.parse_group(&group, &prefix, cfgs, errors)
    }

    fn expand(&self, completeness: Completeness) -> TokenStream {
        let entries = || self.0.iter().enumerate();
        let total = self.0.len();
        let make = completeness.function();
        let unlisted = entries().map(|(position, entry)| entry.unlisted(position));
        let items = entries().map(|(position, entry)| entry.item(position));
        let infos = self.expand_infos();
        // The first error of each constant is shown, and each constant takes time.
        let checked_together = self.0.chunks(total.div_ceil(MAX_CHECKS).max(1));
        let checks = checked_together.scan(0, |position, entries| {
            let check = entries.iter().map(|entry| {
                *position += 1;
                entry.check(*position - 1)
            });
            Some(quote!(const _: () = { #(#check)* };))
        });
        let mounts = entries().map(|(position, entry)| entry.mount(position));
        quote!({
            // A name imported below is a type too if its handler has an attribute; if not, the type is `Unlisted`.
            #[allow(dead_code, non_camel_case_types)]
            mod __unlisted {
                #(#unlisted)*
            }
            #[allow(unused_imports)]
            use __unlisted::*;
            use ::session_runtime::__private;
            #(#items)*

            #infos
            const __FINDINGS: &[__private::Finding] =
                &__private::verdicts::<
                    #total,
                    { __private::capacity(__INFOS) },
                >(__INFOS, __private::Completeness::#completeness);
            #(#checks)*

            __private::#make(__INFOS, &[#(#mounts),*])
        })
    }

    /// The routes. Where each entry is one, they need not be counted and put together, which takes rustc time.
    fn expand_infos(&self) -> TokenStream {
        let cfgs = self.0.iter().map(|entry| &entry.cfgs);
        let routes = self.0.iter().enumerate().map(|(position, entry)| match &entry.what {
            What::Handler(handler) => {
                let (route, under) = (entry.route(handler, position), entry.under());
                Some(quote!(#route #under))
            }
            What::Table(_) | What::Service(_) => None,
        });
        if let Some(routes) = routes.collect::<Option<Vec<_>>>() {
            return quote!(const __INFOS: &[__private::RouteInfo] = &[#(#(#cfgs)* #routes),*];);
        }
        let parts = self.0.iter().enumerate().map(|(position, entry)| entry.part(position));
        quote! {
            const __PARTS: &[__private::Part] = &[#(#(#cfgs)* #parts),*];
            const __JOINED: [u8; __private::joined_len(__PARTS)] = __private::joined_prefixes(__PARTS);
            const __INFOS: &[__private::RouteInfo] =
                &__private::flatten::<{ __private::route_count(__PARTS) }>(__PARTS, &__JOINED);
        }
    }
}

impl Entry {
    fn unlisted(&self, position: usize) -> Option<TokenStream> {
        let What::Handler(_) = &self.what else { return None };
        let alias = self.alias(position);
        Some(quote!(pub(super) type #alias = ::session_runtime::__private::Unlisted;))
    }

    /// What the alias of the entry stands for.
    fn item(&self, position: usize) -> Option<TokenStream> {
        let cfgs = &self.cfgs;
        let alias = self.alias(position);
        match &self.what {
            What::Handler(handler) => {
                Some(quote_spanned!(self.span()=> #(#cfgs)* #[allow(deprecated)] use #handler as #alias;))
            }
            What::Table(_) => None,
            What::Service(service) => {
                let cfgs: Vec<_> = cfgs.iter().map(ToTokens::to_token_stream).collect();
                let described = service.describe(&alias, &cfgs);
                Some(quote!(#(#cfgs)* #[allow(non_camel_case_types)] enum #alias {} #described))
            }
        }
    }

    /// What the entry is in a table, where it may stand for several routes.
    fn part(&self, position: usize) -> TokenStream {
        let (alias, under) = (self.alias(position), self.under());
        let part = match &self.what {
            What::Handler(handler) => {
                let route = self.route(handler, position);
                quote_spanned!(self.span()=> Route(#route))
            }
            What::Table(table) => {
                let table = self.included(table);
                quote_spanned!(self.span()=> table(#table, #position))
            }
            What::Service(_) => quote_spanned!(self.span()=> service::<#alias>(#position)),
        };
        quote_spanned!(self.span()=> __private::Part::#part #under)
    }

    /// The route of a handler, without the prefix.
    fn route(&self, handler: &Path, position: usize) -> TokenStream {
        let alias = self.alias(position);
        let written = as_written(handler.to_token_stream());
        quote_spanned!(self.span()=> __private::RouteInfo::listed::<#alias>(#written, #position))
    }

    /// The call that puts a route or a part under the prefix; nothing where there is none.
    fn under(&self) -> Option<TokenStream> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_empty())?;
        let hash = Hash::of_text(prefix);
        Some(quote_spanned!(self.span()=> .under(#prefix, #hash)))
    }

    fn check(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        quote_spanned!(self.span()=> #(#cfgs)* __private::check(__FINDINGS, __INFOS, #position);)
    }

    fn mount(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        let alias = self.alias(position);
        let mount = match &self.what {
            What::Handler(_) => quote_spanned! {self.span()=>
                Handler(&__private::ListedHandler::<<#alias as __private::Endpoint>::Protection, _, _>(
                    #alias,
                    ::core::marker::PhantomData,
                ))
            },
            What::Table(table) => {
                let table = self.included(table);
                quote_spanned!(self.span()=> Several(|mounting| mounting.include(#table)))
            }
            What::Service(service) => {
                let mounted = service.mount(&alias);
                quote_spanned!(self.span()=> Several(|mounting| #mounted))
            }
        };
        quote_spanned!(self.span()=> #(#cfgs)* #[allow(deprecated)] __private::Mount::#mount)
    }

    fn included(&self, table: &Path) -> TokenStream {
        quote_spanned!(self.span()=> __private::Included(&#table).table())
    }

    /// The name by which the expansion knows the entry; an error about it points at the entry.
    fn alias(&self, position: usize) -> Ident {
        format_ident!("__entry_{position}", span = self.span().resolved_at(Span::call_site()))
    }

    /// The entry's name without the modules that lead to it: stable rustc marks one token.
    fn span(&self) -> Span {
        let path = match &self.what {
            What::Handler(path) | What::Table(path) => path,
            What::Service(service) => service.path(),
        };
        last_span(path)
    }
}

impl Completeness {
    fn function(self) -> Ident {
        match self {
            Self::Complete => format_ident!("routes"),
            Self::Partial => format_ident!("route_group"),
        }
    }
}

impl ToTokens for Completeness {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let name = match self {
            Self::Complete => "Complete",
            Self::Partial => "Partial",
        };
        format_ident!("{name}").to_tokens(tokens);
    }
}

fn last_span(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span())
}

fn refuse_other_attributes(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes.iter().filter(|attribute| !attribute.path().is_ident("cfg")) {
        if let Some(segment) = attribute.path().segments.last() {
            errors.push(segment.ident.span(), "only `#[cfg(…)]` can stand in a table");
        }
    }
}

fn refuse_service_without_prefix(path: &Path, input: ParseStream<'_>) -> syn::Result<()> {
    match path.get_ident() {
        Some(name) if service::is_keyword(name) && input.peek(syn::token::Paren) => {
            let message = "a service needs a prefix";
            let help = format!("`\"/prefix\" => {name}(…)`");
            Err(syn::Error::new(name.span(), format!("{message}\nhelp: {help}")))
        }
        _ => Ok(()),
    }
}
