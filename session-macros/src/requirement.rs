//! `#[requirement]`: a function that routes can require.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, ReturnType, Signature, Type, Visibility,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::{
    attributes::Placed,
    errors::Errors,
    handler::{argument_types, last_segment_span, output_span, parse_body, refuse_generics},
};

/// The function and, beside it, the type of the same name that stands for it in `require = […]`.
pub(crate) fn expand(args: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    if let Some(first) = args.clone().into_iter().next() {
        errors.push(first.span(), "`#[requirement]` takes no arguments\nhelp: remove them");
    }
    let function = syn::parse2::<Function>(item.clone());
    let stand_in = match &function {
        Ok(function) => function.expand(&mut errors),
        Err(_) => {
            errors.push(Span::call_site(), "`#[requirement]` goes on a function");
            None
        }
    };
    let errors = errors.finish();
    quote!(#errors #item #stand_in)
}

struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
}

impl Function {
    /// `None` where no type can stand beside the function.
    fn expand(&self, errors: &mut Errors) -> Option<TokenStream> {
        let mut unsound = Errors::default();
        self.check(&mut unsound);
        let is_sound = unsound.is_empty();
        errors.append(unsound);
        if self.signature.receiver().is_some() {
            return None;
        }
        let (cfgs, visibility) = (Placed::new(&self.attributes).everywhere, &self.visibility);
        let name = &self.signature.ident;
        let text = name.unraw().to_string();
        let require = self.expand_require(&cfgs, is_sound);
        Some(quote! {
            #(#cfgs)*
            #[doc(hidden)]
            #[allow(non_camel_case_types, missing_docs, missing_debug_implementations, unreachable_pub, dead_code)]
            #visibility struct #name {}

            #(#cfgs)*
            #[automatically_derived]
            impl ::session_runtime::__private::RequirementFn for #name {
                const NAME: &'static str = #text;
            }

            #require
        })
    }

    fn expand_require(&self, cfgs: &[TokenStream], is_sound: bool) -> TokenStream {
        let name = &self.signature.ident;
        let arguments =
            Arguments { session: mixed("__session"), parts: mixed("__parts"), state: mixed("__state") };
        let Arguments { session, parts, state } = &arguments;
        let extractors = || argument_types(&self.signature).skip(1).filter(|_| is_sound);
        let bounds = extractors().map(|ty| quote!(#ty: ::session_runtime::__private::FromRequestParts<__S>));
        let asked = if is_sound { self.expand_call(&arguments) } else { arguments.expand_refusal() };
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl<__S> ::session_runtime::__private::Require<__S> for #name
            where
                __S: ::core::marker::Send + ::core::marker::Sync,
                #(#bounds,)*
            {
                #[allow(deprecated)]
                fn ask<'a>(
                    #session: &'a ::session_runtime::Session,
                    #parts: &'a mut ::session_runtime::__private::Parts,
                    #state: &'a __S,
                ) -> ::session_runtime::__private::AskFuture<'a> {
                    #asked
                }
            }
        }
    }

    fn expand_call(&self, Arguments { session, parts, state }: &Arguments) -> TokenStream {
        let name = &self.signature.ident;
        let subject = argument_types(&self.signature).next().and_then(referent).map(|subject| {
            quote_spanned!(last_segment_span(subject).resolved_at(Span::mixed_site())=>
                <#subject as ::session_runtime::__private::Asked>::of(#session)
            )
        });
        let extractors: Vec<_> = argument_types(&self.signature).skip(1).collect();
        let names: Vec<_> = (1..=extractors.len()).map(|n| mixed(&format!("__arg{n}"))).collect();
        let awaited = self.signature.asyncness.map(|_| quote!(.await));
        let said = Ident::new("__said", output_span(&self.signature));
        let answer = quote_spanned!(output_span(&self.signature)=>
            ::session_runtime::__private::RequirementAnswer::answer(#said)
        );
        quote! {
            ::std::boxed::Box::pin(async move {
                #(
                    let #names =
                        ::session_runtime::__private::extract::<#extractors, __S>(#parts, #state).await?;
                )*
                let #said = #name(#subject, #(#names,)*)#awaited;
                #answer
            })
        }
    }

    fn check(&self, errors: &mut Errors) {
        let signature = &self.signature;
        if let Some(receiver) = signature.receiver() {
            let help = "move the function out of the `impl` and take what it needs with `State`";
            errors.push(receiver.self_token.span, format!("a requirement has no `self`\nhelp: {help}"));
        }
        refuse_generics("a requirement", signature, errors);
        let help = format!("`fn {}(session: &Session, …)`, and extractors after it", signature.ident);
        let message = format!("a requirement takes `&Session` first\nhelp: {help}");
        match argument_types(&self.signature).next() {
            Some(first) if referent(first).is_none() => errors.push(last_segment_span(first), message),
            Some(_) => self.check_extractors(errors),
            None if signature.receiver().is_none() => errors.push(signature.ident.span(), message),
            None => {}
        }
        if let ReturnType::Default = signature.output {
            let message = "a requirement says whether it is met\nhelp: `-> bool`, or `-> Result<(), RequirementFailure>`";
            errors.push(signature.ident.span(), message);
        }
    }

    fn check_extractors(&self, errors: &mut Errors) {
        for extractor in argument_types(&self.signature).skip(1) {
            if let Type::Reference(reference) = extractor {
                let message = "an extractor gives a value, not a reference";
                let help = "`&Session` stands first, and all else is taken by value";
                errors.push(reference.and_token.span, format!("{message}\nhelp: {help}"));
            }
        }
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let function = Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
        };
        parse_body(input)?;
        Ok(function)
    }
}

/// The names of what a requirement is asked with.
struct Arguments {
    session: Ident,
    parts: Ident,
    state: Ident,
}

impl Arguments {
    /// For a function that is refused, so that the routes which name it add no errors to its own.
    fn expand_refusal(&self) -> TokenStream {
        let Self { session, parts, state } = self;
        quote! {
            <::session_runtime::__private::NoRequirement as ::session_runtime::__private::Require<__S>>::ask(
                #session,
                #parts,
                #state,
            )
        }
    }
}

/// `T` of `&T`.
fn referent(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_none() => Some(&reference.elem),
        Type::Group(group) => referent(&group.elem),
        _ => None,
    }
}

fn mixed(name: &str) -> Ident {
    format_ident!("{name}", span = Span::mixed_site())
}
