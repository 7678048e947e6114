//! Tokens as a person would write them, whatever their layout in the source.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

pub(crate) fn as_written(tokens: TokenStream) -> String {
    let mut text = String::new();
    let mut last = Last::Start;
    for token in tokens {
        if last.is_apart_from(&token) {
            text.push(' ');
        }
        last = last.then(&token);
        match token {
            TokenTree::Group(group) => text.push_str(&write_group(&group)),
            other => text.push_str(&other.to_string()),
        }
    }
    text
}

fn write_group(group: &Group) -> String {
    let inner = as_written(group.stream());
    match group.delimiter() {
        Delimiter::Parenthesis => format!("({inner})"),
        Delimiter::Bracket => format!("[{inner}]"),
        Delimiter::Brace if inner.is_empty() => "{}".into(),
        Delimiter::Brace => format!("{{ {inner} }}"),
        Delimiter::None => inner,
    }
}

/// What the last token means for a space after it.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Start,
    /// A name, a literal or a group.
    Operand,
    /// What belongs to the token that follows: a prefix, a dot, the first half of an operator.
    Bound,
    Operator,
}

impl Last {
    fn is_apart_from(self, next: &TokenTree) -> bool {
        match (self, next) {
            (Self::Start | Self::Bound, _) => false,
            (Self::Operand, TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
            (Self::Operand, TokenTree::Punct(punct)) => !".,;:?!<>|".contains(punct.as_char()),
            (Self::Operator, TokenTree::Punct(punct)) => !",;".contains(punct.as_char()),
            (Self::Operand | Self::Operator, _) => true,
        }
    }

    fn then(self, token: &TokenTree) -> Self {
        let TokenTree::Punct(punct) = token else { return Self::Operand };
        let begins = matches!(self, Self::Start | Self::Operator);
        match punct.as_char() {
            '.' | '<' | '\'' => Self::Bound,
            '>' | '?' => Self::Operand,
            _ if punct.spacing() == Spacing::Joint => Self::Bound,
            // The second half of `::`.
            ':' if self == Self::Bound => Self::Bound,
            '&' | '*' | '-' | '!' | '|' if begins => Self::Bound,
            _ => Self::Operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_the_source_makes_no_difference() {
        for (source, written) in [
            ("Role\n    . includes ( \"admin\" )", "Role.includes(\"admin\")"),
            ("crate :: claims::Level . at_least ( 3 , )", "crate::claims::Level.at_least(3,)"),
            ("in_role::< Admin >( & ROLES , - 1 )", "in_role::<Admin>(&ROLES, -1)"),
            ("Age.is(|age| * age + 1)", "Age.is(|age| *age + 1)"),
            ("Flag { on : true }", "Flag { on: true }"),
            ("! seen ( [ 1 , 2 ] ) ?", "!seen([1, 2])?"),
        ] {
            assert_eq!(as_written(source.parse().unwrap()), written);
        }
    }
}
