//! The arguments of an attribute, as written: `METHOD "/path", key = value, key`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::{
    Expr, LitStr, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

use crate::{endpoint::METHODS, errors::Errors, suggest};

#[derive(Default)]
pub(crate) struct Args {
    pub(crate) route: Option<RouteArgs>,
    keys: Vec<Key>,
}

/// `METHOD "/path"`.
pub(crate) struct RouteArgs {
    pub(crate) method: Ident,
    pub(crate) path: LitStr,
}

pub(crate) struct Key {
    name: Ident,
    value: Option<Expr>,
}

impl Args {
    /// Reads as much as can be read; what can't is in `errors`.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let parser = |input: ParseStream<'_>| {
            args.parse_list(input, errors);
            Ok(())
        };
        if let Err(error) = parser.parse2(tokens) {
            errors.combine(error);
        }
        args
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// Takes the key `name` out, which must have a value.
    pub(crate) fn take_value(&mut self, name: &str, example: &str, errors: &mut Errors) -> Option<Expr> {
        let key = self.take(name)?;
        if key.value.is_none() {
            errors.push(key.name.span(), format!("`{name}` needs a value\nhelp: `{name} = {example}`"));
        }
        key.value
    }

    /// Takes the key `name` out, which must stand alone.
    pub(crate) fn take_flag(&mut self, name: &str, errors: &mut Errors) -> Option<Span> {
        let key = self.take(name)?;
        if key.value.is_some() {
            errors.push(key.name.span(), format!("`{name}` takes no value\nhelp: `{name}`"));
        }
        Some(key.name.span())
    }

    /// Refuses the keys that nobody took.
    pub(crate) fn refuse_rest(self, owner: &str, known: &[&str], errors: &mut Errors) {
        for key in self.keys {
            let name = key.name.to_string();
            let help = match (known, suggest::nearest(&name, known)) {
                (_, Some(meant)) => format!("did you mean `{meant}`? `{owner}` has {}", list(known)),
                ([], None) => format!("`{owner}` has no keys"),
                (_, None) => format!("`{owner}` has {}", list(known)),
            };
            errors.push(key.name.span(), format!("unknown key `{name}`\nhelp: {help}"));
        }
    }

    fn take(&mut self, name: &str) -> Option<Key> {
        let at = self.keys.iter().position(|key| key.name == name)?;
        Some(self.keys.remove(at))
    }

    fn parse_list(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
        let mut first = true;
        while !input.is_empty() {
            let parsed = self.parse_one(input, first, errors);
            match (parsed, skip_to_comma(input)) {
                (Err(error), _) => errors.combine(error),
                (Ok(()), Some(stray)) => {
                    errors.push(stray.span(), format!("unexpected `{stray}`\nhelp: `,` divides arguments"));
                }
                (Ok(()), None) => {}
            }
            let _ = input.parse::<Token![,]>();
            first = false;
        }
    }

    fn parse_one(&mut self, input: ParseStream<'_>, first: bool, errors: &mut Errors) -> syn::Result<()> {
        if input.peek(LitStr) {
            return self.parse_path_without_method(&input.parse()?, errors);
        }
        let name = input.call(Ident::parse_any)?;
        if input.peek(LitStr) {
            return self.parse_route(name, input.parse()?, first, errors);
        }
        if is_method(&name) && (input.is_empty() || input.peek(Token![,])) {
            let message = format!("the path is missing\nhelp: `{name} \"/path\"`");
            return Err(syn::Error::new(name.span(), message));
        }
        self.parse_key(name, input)
    }

    fn parse_path_without_method(&mut self, path: &LitStr, errors: &mut Errors) -> syn::Result<()> {
        // After `GET,` the missing path is reported already.
        if errors.is_empty() {
            let message = format!("the method is missing\nhelp: `GET \"{}\"`", path.value());
            return Err(syn::Error::new(path.span(), message));
        }
        Ok(())
    }

    fn parse_route(
        &mut self,
        method: Ident,
        path: LitStr,
        first: bool,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        if self.route.is_some() {
            let message = "a second route\nhelp: one attribute makes one route; write a second handler";
            return Err(syn::Error::new(path.span(), message));
        }
        if !first {
            errors.push(method.span(), "method and path come first");
        }
        self.route = Some(RouteArgs { method, path });
        Ok(())
    }

    fn parse_key(&mut self, name: Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) if input.is_empty() || input.peek(Token![,]) => {
                return Err(syn::Error::new(name.span(), format!("`{name} =` needs a value")));
            }
            Some(_) => Some(input.parse()?),
            None => None,
        };
        if self.keys.iter().any(|key| key.name == name) {
            return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
        }
        self.keys.push(Key { name, value });
        Ok(())
    }
}

fn is_method(name: &Ident) -> bool {
    let name = name.to_string().to_uppercase();
    METHODS.iter().any(|method| *method == name)
}

/// Skips what stands before the next comma; gives the first token skipped.
fn skip_to_comma(input: ParseStream<'_>) -> Option<TokenTree> {
    let mut first = None;
    while !input.is_empty() && !input.peek(Token![,]) {
        first = first.or(input.parse::<TokenTree>().ok());
    }
    first
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cheap generator, so that a failing case can be had again.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }

    #[test]
    fn mutated_arguments_are_read_or_refused_without_a_panic() {
        let pieces = [
            "GET",
            "get",
            "\"/a/{b}\"",
            "\"x\"",
            ",",
            "=",
            "require",
            "[A]",
            "[",
            "]",
            "(",
            ")",
            "max_auth_age",
            "\"15m\"",
            "check",
            "store",
            "optional",
            "#",
            "::",
            "1e3",
            "'a",
            "|",
            "async",
            "r#type",
            "{}",
            "<",
        ];
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut read = 0;
        for _ in 0..20_000 {
            let text: String = (0..random.below(12))
                .map(|_| pieces[random.below(pieces.len())])
                .fold(String::new(), |text, piece| text + " " + piece);
            let Ok(tokens) = text.parse::<TokenStream>() else { continue };
            read += 1;
            let mut errors = Errors::default();
            let args = Args::parse(tokens.clone(), &mut errors);
            let nothing_lost = args.route.is_some() || !args.keys.is_empty() || tokens.is_empty();
            let only_commas = tokens.into_iter().all(|token| token.to_string() == ",");
            assert!(nothing_lost || only_commas || !errors.is_empty(), "silently dropped: {text}");
        }
        assert!(read > 5_000, "the pieces hardly ever make a token stream");
    }
}
