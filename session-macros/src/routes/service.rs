//! `public_service(…)` and `protected_service(…)`: what a table mounts that is no handler.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Path, Token, ext::IdentExt as _, parenthesized, parse::ParseStream, token::Paren};

use super::last_span;
use crate::{
    args::Args, endpoint::Endpoint, errors::Errors, protected, public, suggest, written::as_written,
};

const KEYWORDS: [&str; 2] = ["public_service", "protected_service"];

pub(super) struct Service {
    keyword: Keyword,
    /// The function that makes it.
    path: Path,
    endpoint: Endpoint,
}

#[derive(Clone, Copy)]
enum Keyword {
    Public,
    Protected,
}

impl Service {
    pub(super) fn parse(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let keyword = Keyword::parse(&name)?;
        if !input.peek(Paren) {
            return Err(keyword.expected(&name));
        }
        let content;
        parenthesized!(content in input);
        if content.is_empty() {
            return Err(keyword.expected(&name));
        }
        let path = content.call(Path::parse_mod_style)?;
        if !content.is_empty() && !content.peek(Token![,]) {
            return Err(keyword.expected(&name));
        }
        content.parse::<Option<Token![,]>>()?;
        let args = Args::parse(content.parse()?, errors);
        if let Some(route) = &args.route {
            let message = "a service gets every method\nhelp: the prefix before `=>` is its path";
            errors.push(route.method.span(), message);
        }
        let endpoint = match keyword {
            Keyword::Public => {
                require_reason(&args, &name, &path, errors);
                public::check_service(args, errors)
            }
            Keyword::Protected => protected::check_service(args, errors),
        };
        Ok(Self { keyword, path, endpoint })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The description of the service, on the type `name`.
    pub(super) fn describe(&self, name: &Ident, cfgs: &[TokenStream]) -> TokenStream {
        let written = as_written(self.path.to_token_stream());
        let route = quote_spanned! {last_span(&self.path)=>
            ::session_runtime::__private::RouteSpec::unrouted(#written)
        };
        self.endpoint.describe(name, &route, cfgs)
    }

    pub(super) fn mount(&self, name: &Ident) -> TokenStream {
        let path = &self.path;
        match self.keyword {
            Keyword::Public => quote_spanned!(last_span(path)=> mounting.service(#path)),
            Keyword::Protected => {
                quote_spanned!(last_span(path)=> mounting.guarded_service::<<#name as __private::Endpoint>::Protection, _, _>(#path))
            }
        }
    }
}

impl Keyword {
    fn parse(name: &Ident) -> syn::Result<Self> {
        match name.to_string().as_str() {
            "public_service" => Ok(Self::Public),
            "protected_service" => Ok(Self::Protected),
            other => {
                let meant = suggest::nearest(other, &KEYWORDS);
                let help = meant.map_or_else(
                    || "`[…]`, `public_service(…)` or `protected_service(…)`".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                let message = format!("a prefix stands before a list or a service\nhelp: {help}");
                Err(syn::Error::new(name.span(), message))
            }
        }
    }

    fn expected(self, name: &Ident) -> syn::Error {
        let example = match self {
            Self::Public => "public_service(assets, reason = \"static files\")",
            Self::Protected => "protected_service(legacy)",
        };
        let message = "a service is named by the function that makes it of the state";
        syn::Error::new(
            name.span(),
            format!("{message}\nhelp: `{example}`, where the function is `fn(&App) -> Router`"),
        )
    }
}

fn require_reason(args: &Args, keyword: &Ident, path: &Path, errors: &mut Errors) {
    if !args.has("reason") {
        let message = "a service that is open to everyone needs a reason";
        let path = as_written(path.to_token_stream());
        let help = format!("`public_service({path}, reason = \"static files\")`");
        errors.push(keyword.span(), format!("{message}\nhelp: {help}"));
    }
}

pub(super) fn is_keyword(name: &Ident) -> bool {
    KEYWORDS.iter().any(|keyword| name == keyword)
}
