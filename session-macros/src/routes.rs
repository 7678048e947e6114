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
use crate::{errors::Errors, hash::Hash, path::RoutePath};

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
        let parts = entries().map(|(position, entry)| entry.part(position));
        let findings = entries().map(|(position, entry)| entry.finding(position));
        let mounts = entries().map(|(position, entry)| entry.mount(position));
        quote!({
            // A name imported below is a type too if its handler has an attribute; if not, the type is `Unlisted`.
            #[allow(dead_code, non_camel_case_types)]
            mod __unlisted {
                #(#unlisted)*
            }
            #[allow(unused_imports)]
            use __unlisted::*;
            #(#items)*

            const __PARTS: &[::session_runtime::__private::Part] = &[#(#parts),*];
            const __JOINED: [u8; ::session_runtime::__private::joined_len(__PARTS)] =
                ::session_runtime::__private::joined_prefixes(__PARTS);
            const __INFOS: &[::session_runtime::__private::RouteInfo] =
                &::session_runtime::__private::flatten::<
                    { ::session_runtime::__private::route_count(__PARTS) },
                >(__PARTS, &__JOINED);
            const __FINDINGS: &[::session_runtime::__private::Finding] =
                &::session_runtime::__private::verdicts::<
                    #total,
                    { ::session_runtime::__private::capacity(__INFOS) },
                >(__INFOS, ::session_runtime::__private::Completeness::#completeness);
            #(#findings)*

            ::session_runtime::__private::#make(__INFOS, &[#(#mounts),*])
        })
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
                let cfgs = quote!(#(#cfgs)*);
                let described = service.describe(&alias, &cfgs);
                Some(quote!(#cfgs #[allow(non_camel_case_types)] enum #alias {} #described))
            }
        }
    }

    fn part(&self, position: usize) -> TokenStream {
        let Self { cfgs, prefix, .. } = self;
        let hash = Hash::of_text(prefix);
        let alias = self.alias(position);
        let make = match &self.what {
            What::Handler(handler) => {
                let written = handler.to_token_stream().to_string().replace(' ', "");
                quote_spanned!(self.span()=> handler::<#alias>(#prefix, #hash, #written, #position))
            }
            What::Table(table) => {
                let table = self.included(table);
                quote_spanned!(self.span()=> table(#table, #prefix, #hash, #position))
            }
            What::Service(_) => quote_spanned!(self.span()=> service::<#alias>(#prefix, #hash, #position)),
        };
        quote_spanned!(self.span()=> #(#cfgs)* ::session_runtime::__private::Part::#make)
    }

    /// The panic of a `const fn` would be shown with the runtime's source; here it shows the entry.
    fn finding(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        quote_spanned!(self.span()=>
            #(#cfgs)*
            const _: () = if let ::core::option::Option::Some(message) = __FINDINGS[#position].message(__INFOS)
            {
                ::core::panic!("{}", message.as_str())
            };
        )
    }

    fn mount(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        let alias = self.alias(position);
        let mounted = match &self.what {
            What::Handler(_) => quote_spanned!(self.span()=> {
                #[allow(deprecated)]
                let handler = #alias;
                mounting.mount::<#alias, _, _>(handler)
            }),
            What::Table(table) => {
                let table = self.included(table);
                quote_spanned!(self.span()=> mounting.include(#table))
            }
            What::Service(service) => service.mount(&alias),
        };
        quote_spanned!(self.span()=> #(#cfgs)* |mounting| #mounted)
    }

    fn included(&self, table: &Path) -> TokenStream {
        quote_spanned!(self.span()=> ::session_runtime::__private::Included(&#table).table())
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
