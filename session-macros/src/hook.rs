//! A function that a key names, for the guard to call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Expr, ExprPath, spanned::Spanned};

use crate::{errors::Errors, written::as_written};

pub(crate) struct Hook(ExprPath);

impl Hook {
    /// The function that the value of `key` names.
    pub(crate) fn named(key: &str, example: &str, value: Expr, errors: &mut Errors) -> Option<Self> {
        match value {
            Expr::Path(path) => Some(Self(path)),
            other => {
                let message = format!("`{key}` names a function\nhelp: `{key} = {example}`");
                errors.push(other.span(), message);
                None
            }
        }
    }

    /// The field by which the table is told of the function.
    pub(crate) fn expand_written(&self, field: &str) -> TokenStream {
        let field = Ident::new(field, Span::call_site());
        let written = as_written(self.0.to_token_stream());
        quote!(#field: ::core::option::Option::Some(#written),)
    }

    /// The method by which the guard finds the function, whose answer is understood by `answer` of the runtime.
    pub(crate) fn expand(&self, method: &str, hook: &str, answer: &str) -> TokenStream {
        let [method, hook] = [method, hook].map(|name| Ident::new(name, Span::call_site()));
        let call = self.call(answer);
        quote! {
            fn #method() -> ::core::option::Option<::session_runtime::__private::#hook> {
                ::core::option::Option::Some(#call)
            }
        }
    }

    fn call(&self, answer: &str) -> TokenStream {
        let Self(function) = self;
        let (seen, answer) = (Ident::new("seen", Span::mixed_site()), Ident::new(answer, Span::call_site()));
        let call = quote_spanned!(self.span()=> ::session_runtime::__private::#answer(#function(#seen)));
        quote!(|#seen| #call)
    }

    /// Where an error about the function's type points.
    fn span(&self) -> Span {
        let name = self.0.path.segments.last();
        name.map_or_else(|| self.0.span(), |name| name.ident.span()).resolved_at(Span::mixed_site())
    }
}
