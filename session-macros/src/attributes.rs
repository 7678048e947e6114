//! Which of the emitted items each of the user's other attributes belongs to.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Ident, Meta, Path, Token, punctuated::Punctuated};

const OURS: [&str; 5] = ["protected", "refresh_endpoint", "login_endpoint", "logout_endpoint", "public"];

/// The user's attributes by the item that they go on.
#[derive(Default)]
pub(crate) struct Placed {
    /// `cfg`: the item is there or not, with all that belongs to it.
    pub(crate) everywhere: Vec<TokenStream>,
    /// What concerns those who name the handler: documentation, `deprecated`, `must_use`, `debug_handler`.
    pub(crate) wrapper: Vec<TokenStream>,
    /// What concerns the body: lints, `tracing::instrument` and all the rest.
    pub(crate) inner: Vec<TokenStream>,
}

impl Placed {
    pub(crate) fn new(attributes: &[Attribute]) -> Self {
        let mut placed = Self::default();
        for attribute in attributes {
            placed.place(&attribute.meta, &|meta| quote!(#[#meta]));
        }
        placed
    }

    fn place(&mut self, meta: &Meta, write: &dyn Fn(TokenStream) -> TokenStream) {
        match name(meta.path()).as_str() {
            "cfg" => self.everywhere.push(write(quote!(#meta))),
            "cfg_attr" => self.place_conditional(meta, write),
            "doc" | "deprecated" | "must_use" | "debug_handler" => self.wrapper.push(write(quote!(#meta))),
            "allow" | "expect" => {
                self.wrapper.extend(allowed(meta).map(write));
                self.inner.push(write(quote!(#meta)));
            }
            _ => self.inner.push(write(quote!(#meta))),
        }
    }

    /// Each attribute of a `cfg_attr` goes where it would go alone.
    fn place_conditional(&mut self, meta: &Meta, write: &dyn Fn(TokenStream) -> TokenStream) {
        let parts = meta
            .require_list()
            .and_then(|list| list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated));
        let Ok(parts) = parts else { return self.inner.push(write(quote!(#meta))) };
        let mut parts = parts.iter();
        let condition = parts.next();
        for part in parts {
            self.place(part, &|meta| write(quote!(cfg_attr(#condition, #meta))));
        }
    }
}

/// Takes the attributes of this crate out of the list.
pub(crate) fn take_ours(attributes: &mut Vec<Attribute>) -> Vec<Ident> {
    let mut taken = Vec::new();
    attributes.retain(|attribute| match attribute.path().segments.last() {
        Some(segment) if OURS.iter().any(|ours| segment.ident == ours) => {
            taken.push(segment.ident.clone());
            false
        }
        _ => true,
    });
    taken
}

/// The wrapper has the user's argument types too, so what the user allows is allowed there. An expectation is met
/// once, by the user's function.
fn allowed(meta: &Meta) -> Option<TokenStream> {
    let lints = &meta.require_list().ok()?.tokens;
    Some(quote!(allow(#lints)))
}

fn name(path: &Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}
