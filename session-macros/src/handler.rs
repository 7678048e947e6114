//! The annotated function, its body verbatim.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericArgument, Ident, PathArguments, ReturnType, Safety, Signature, Type, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    attributes::{self, Placed},
    errors::Errors,
    path::RoutePath,
};

pub(crate) struct Handler {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: Group,
    is_sound: bool,
}

impl Handler {
    /// The function in `item`, or an error and `None` when there is none.
    pub(crate) fn parse(attribute: &str, item: &TokenStream, errors: &mut Errors) -> Option<Self> {
        match syn::parse2::<Self>(item.clone()) {
            Ok(mut handler) => {
                handler.check(attribute, errors);
                return Some(handler);
            }
            Err(error) if looks_like_function(item) => errors.combine(error),
            Err(_) => errors.push(Span::call_site(), format!("`#[{attribute}]` goes on an `async fn`")),
        }
        None
    }

    pub(crate) fn name(&self) -> &Ident {
        &self.signature.ident
    }

    pub(crate) fn visibility(&self) -> &Visibility {
        &self.visibility
    }

    /// The `cfg` attributes, which go on every item that is emitted for this function.
    pub(crate) fn cfgs(&self) -> Vec<TokenStream> {
        Placed::new(&self.attributes).everywhere
    }

    /// The type of the first argument.
    pub(crate) fn first_type(&self) -> Option<&Type> {
        argument_types(&self.signature).next()
    }

    /// Whether this is a method, beside which no other item can stand.
    pub(crate) fn is_method(&self) -> bool {
        self.signature.receiver().is_some()
    }

    /// Whether the function can stand behind a guard; if not, that is in the errors already.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Refuses a `Path<…>` that can't hold what `path` captures, as far as its type shows it.
    pub(crate) fn check_captures(&self, path: &RoutePath, errors: &mut Errors) {
        for (ty, taken) in argument_types(&self.signature).filter_map(|ty| Some((ty, taken_captures(ty)?))) {
            let captures = path.captures();
            if taken == captures {
                continue;
            }
            let (has, takes) = (counted(captures, "capture"), counted(taken, "value"));
            let message = format!("`{}` has {has}, this takes {takes}", path.as_str());
            errors.push(last_segment_span(ty), format!("{message}\nhelp: {}", captures_help(captures)));
        }
    }

    /// The function as the user wrote it.
    pub(crate) fn verbatim(&self) -> TokenStream {
        let Self { attributes, visibility, signature, body, .. } = self;
        quote!(#(#attributes)* #visibility #signature #body)
    }

    /// A function of the same name that takes a guard with `protection` first and runs the user's function inside.
    pub(crate) fn guarded(&self, protection: &TokenStream, default_argument: &TokenStream) -> TokenStream {
        let Placed { everywhere, wrapper, inner } = Placed::new(&self.attributes);
        let Self { visibility, signature, body, .. } = self;
        let name = &signature.ident;
        let argument = self.first_type().map_or_else(|| default_argument.clone(), ToTokens::to_token_stream);
        let at_argument = self.first_type().map_or_else(Span::mixed_site, last_segment_span);

        let guard = Ident::new("__guard", Span::mixed_site());
        let types: Vec<_> = argument_types(&self.signature).skip(1).collect();
        let names: Vec<_> =
            (1..=types.len()).map(|n| format_ident!("__arg{n}", span = Span::mixed_site())).collect();
        let session = self.first_type().map(|_| quote!(#guard.argument,));

        let guard_type =
            quote_spanned!(at_argument=> ::session_runtime::__private::Guard<#protection, #argument>);
        // Where `respond` has its error too, which rustc then shows once.
        let response = quote_spanned! {output_span(&self.signature)=>
            ::session_runtime::__private::HandlerFuture
        };
        let respond = quote_spanned! {output_span(&self.signature)=>
            ::session_runtime::__private::respond(#guard.finish, #name(#session #(#names,)*))
        };
        quote! {
            #(#everywhere)*
            #(#wrapper)*
            #visibility fn #name(
                #guard: #guard_type,
                #(#names: #types,)*
            ) -> #response {
                #(#inner)*
                #signature #body
                #respond
            }
        }
    }

    fn check(&mut self, attribute: &str, errors: &mut Errors) {
        for second in attributes::take_ours(&mut self.attributes) {
            let message = format!("`#[{attribute}]` and `#[{second}]` on one handler");
            errors.push(second.span(), format!("{message}\nhelp: keep one of them"));
        }
        let mut unsound = Errors::default();
        self.check_signature(&mut unsound);
        if attribute != "public" {
            self.check_sessions(&mut unsound);
        }
        self.is_sound = unsound.is_empty();
        errors.append(unsound);
    }

    fn check_signature(&self, errors: &mut Errors) {
        let signature = &self.signature;
        if signature.asyncness.is_none() {
            let help = format!("`async fn {}`", signature.ident);
            errors.push(signature.fn_token.span, format!("a handler is an `async fn`\nhelp: {help}"));
        }
        if let Safety::Unsafe(token) = &signature.safety {
            errors.push(token.span, "a handler can't be `unsafe`");
        }
        if let Some(abi) = &signature.abi {
            errors.push(abi.extern_token.span, "a handler can't be `extern`");
        }
        if let Some(receiver) = signature.receiver() {
            let help = "move the function out of the `impl` and take what it needs with `State`";
            errors.push(receiver.self_token.span, format!("a handler has no `self`\nhelp: {help}"));
        }
        refuse_generics("a handler", signature, errors);
    }

    fn check_sessions(&self, errors: &mut Errors) {
        let Some(first) = self.first_type() else { return };
        let written = |ty: &Type| ty.to_token_stream().to_string().replace(' ', "");
        let shown = written(first);
        for second in argument_types(&self.signature).skip(1).filter(|ty| written(ty) == shown) {
            let message = format!("a second `{shown}`");
            let help = "the first argument is the request's one session";
            errors.push(last_segment_span(second), format!("{message}\nhelp: {help}"));
        }
    }
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: parse_body(input)?,
            is_sound: true,
        })
    }
}

/// The braces after a signature, and what stands in them.
pub(crate) fn parse_body(input: ParseStream<'_>) -> syn::Result<Group> {
    input.step(|cursor| {
        let body = cursor.token_tree().and_then(|(tree, rest)| Some((braces(tree)?, rest)));
        body.ok_or_else(|| cursor.error("expected a body in braces"))
    })
}

/// What a `macro_rules!` passes on as `$body:block` comes in a group without delimiters.
fn braces(tree: TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = tree else { return None };
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => {
            let mut inside = group.stream().into_iter();
            inside.next().filter(|_| inside.next().is_none()).and_then(braces)
        }
        Delimiter::Parenthesis | Delimiter::Bracket => None,
    }
}

/// Where an error about the type of the answer points.
pub(crate) fn output_span(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => last_segment_span(ty),
    }
    .resolved_at(Span::mixed_site())
}

/// The types of the arguments, without `self`.
pub(crate) fn argument_types(signature: &Signature) -> impl Iterator<Item = &Type> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(&*argument.ty),
        FnArg::Receiver(_) => None,
    })
}

/// Refuses what would have a type or a constant chosen by the caller.
pub(crate) fn refuse_generics(what: &str, signature: &Signature, errors: &mut Errors) {
    let generics = &signature.generics;
    let message = format!("{what} can't be generic\nhelp: write the types that this application uses");
    if let Some(parameter) = generics.params.first() {
        errors.push(parameter.span(), &message);
    } else if let Some(clause) = &generics.where_clause {
        errors.push(clause.where_token.span, &message);
    }
    let mut anonymous = AnonymousGenerics { errors, message: &message };
    signature.inputs.iter().for_each(|input| anonymous.visit_fn_arg(input));
}

/// `impl Trait` as an argument's type.
struct AnonymousGenerics<'a> {
    errors: &'a mut Errors,
    message: &'a str,
}

impl<'ast> Visit<'ast> for AnonymousGenerics<'_> {
    fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
        self.errors.push(ty.impl_token.span, self.message);
        visit::visit_type_impl_trait(self, ty);
    }
}

/// The span of the token that names a type: the last segment of its path.
pub(crate) fn last_segment_span(ty: &Type) -> Span {
    match ty {
        Type::Path(path) => {
            path.path.segments.last().map_or_else(|| ty.span(), |segment| segment.ident.span())
        }
        _ => ty.span(),
    }
}

/// The type `T` of `name<T, …>`, whatever path leads to it.
pub(crate) fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

fn looks_like_function(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| token.to_string() == "fn")
}

/// How many captures `Path<…>` takes, if `ty` is one and shows it.
fn taken_captures(ty: &Type) -> Option<usize> {
    if let Some(inner) = argument_of(ty, "Option").or_else(|| argument_of(ty, "Result")) {
        return taken_captures(inner);
    }
    match argument_of(ty, "Path")? {
        Type::Tuple(tuple) => Some(tuple.elems.len()),
        Type::Path(path) => path.path.get_ident().filter(|name| is_scalar(name)).map(|_| 1),
        _ => None,
    }
}

fn is_scalar(name: &Ident) -> bool {
    const SCALARS: [&str; 17] = [
        "String", "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    SCALARS.iter().any(|scalar| name == scalar)
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn captures_help(captures: usize) -> String {
    match captures {
        0 => "remove the argument, or capture with `{name}` in the path".into(),
        1 => "`Path<T>`".into(),
        _ => format!("`Path<({})>`", vec!["_"; captures].join(", ")),
    }
}
