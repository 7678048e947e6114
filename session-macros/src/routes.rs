//! `routes!`: the table of an application's handlers.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, LitStr, Path, Token, bracketed,
    parse::{ParseStream, Parser},
};

use crate::{errors::Errors, hash::Hash, path::RoutePath};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let table = Table::parse(input, &mut errors);
    if errors.is_empty() {
        return table.expand();
    }
    let errors = errors.finish();
    quote!({
        #errors
        ::session_runtime::__private::routes(&[], &[])
    })
}

#[derive(Default)]
struct Table(Vec<Listed>);

/// One handler of the table.
struct Listed {
    cfgs: Vec<Attribute>,
    prefix: String,
    handler: Path,
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
                refuse_table(input)?;
                let handler = input.call(Path::parse_mod_style)?;
                self.0.push(Listed { cfgs, prefix: prefix.to_owned(), handler });
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
        let own = RoutePath::parse_prefix(&literal, errors);
        let prefix = format!("{prefix}{}", own.as_ref().map_or("", RoutePath::as_str));
        let group;
        bracketed!(group in input);
        self.parse_group(&group, &prefix, cfgs, errors)
    }

    fn expand(&self) -> TokenStream {
        let listed = || self.0.iter().enumerate();
        let total = self.0.len();
        let unlisted = listed().map(|(position, listed)| {
            let alias = listed.alias(position);
            quote!(pub(super) type #alias = ::session_runtime::__private::Unlisted;)
        });
        let imports = listed().map(|(position, listed)| listed.import(position));
        let infos = listed().map(|(position, listed)| listed.info(position));
        let verdicts = listed().map(|(position, listed)| listed.verdict(position));
        let mounts = listed().map(|(position, listed)| listed.mount(position));
        quote!({
            // A name imported below is a type too if its handler has an attribute; if not, the type is `Unlisted`.
            #[allow(dead_code, non_camel_case_types)]
            mod __unlisted {
                #(#unlisted)*
            }
            #[allow(unused_imports)]
            use __unlisted::*;
            #(#imports)*

            const __INFOS: &[::session_runtime::__private::RouteInfo] = &[#(#infos),*];
            const __VERDICTS: [::session_runtime::__private::Verdict; #total] =
                ::session_runtime::__private::verdicts::<
                    #total,
                    { ::session_runtime::__private::capacity(__INFOS) },
                >(__INFOS);
            #(#verdicts)*

            ::session_runtime::__private::routes(__INFOS, &[#(#mounts),*])
        })
    }
}

impl Listed {
    fn import(&self, position: usize) -> TokenStream {
        let Self { cfgs, handler, .. } = self;
        let alias = self.alias(position);
        quote_spanned!(self.span()=> #(#cfgs)* #[allow(deprecated)] use #handler as #alias;)
    }

    fn info(&self, position: usize) -> TokenStream {
        let Self { cfgs, prefix, handler } = self;
        let hash = Hash::of_text(prefix);
        let written = handler.to_token_stream().to_string().replace(' ', "");
        let alias = self.alias(position);
        quote_spanned!(self.span()=>
            #(#cfgs)*
            ::session_runtime::__private::RouteInfo::of::<#alias>(#prefix, #hash, #written, #position)
        )
    }

    /// The panic of a `const fn` would be shown with the runtime's source; here it shows the handler.
    fn verdict(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        quote_spanned!(self.span()=>
            #(#cfgs)*
            const _: () = if let ::core::option::Option::Some(message) =
                __VERDICTS[#position].message(__INFOS, #position)
            {
                ::core::panic!("{}", message.as_str())
            };
        )
    }

    fn mount(&self, position: usize) -> TokenStream {
        let cfgs = &self.cfgs;
        let alias = self.alias(position);
        quote_spanned!(self.span()=>
            #(#cfgs)*
            |mounting| {
                #[allow(deprecated)]
                let handler = #alias;
                mounting.mount::<#alias, _, _>(handler)
            }
        )
    }

    /// The name by which the expansion knows the handler; an error about it points at the handler.
    fn alias(&self, position: usize) -> Ident {
        format_ident!("__handler_{position}", span = self.span().resolved_at(Span::call_site()))
    }

    /// The handler's name without the modules that lead to it: stable rustc marks one token.
    fn span(&self) -> Span {
        self.handler.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span())
    }
}

fn refuse_other_attributes(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes.iter().filter(|attribute| !attribute.path().is_ident("cfg")) {
        if let Some(segment) = attribute.path().segments.last() {
            errors.push(segment.ident.span(), "only `#[cfg(…)]` can stand in a table");
        }
    }
}

fn refuse_table(input: ParseStream<'_>) -> syn::Result<()> {
    if input.peek(Token![..]) {
        let message =
            "a table can't include another table\nhelp: list the handlers of the other module by their paths";
        return Err(input.error(message));
    }
    Ok(())
}
