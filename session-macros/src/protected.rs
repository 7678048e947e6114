//! `#[protected]`: a handler behind a session.

use std::time::Duration;

use syn::{Expr, ExprArray, ExprLit, ExprPath, Lit, spanned::Spanned};

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::{Handler, argument_of, last_segment_span},
};

const KEYS: [&str; 4] = ["require", "max_auth_age", "check", "optional"];

pub(crate) fn check(mut args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let optional = args.take_flag("optional", errors);
    let require = args.take_value("require", "[Role.includes(\"admin\")]", errors);
    let max_auth_age = args.take_value("max_auth_age", "\"15m\"", errors);
    let check = args.take_value("check", "store", errors);

    if optional.is_some() {
        refuse_with_optional("require", require.as_ref(), errors);
        refuse_with_optional("max_auth_age", max_auth_age.as_ref(), errors);
    }
    let kind = if optional.is_some() { Kind::Optional } else { required_kind(handler, errors) };
    let endpoint = Endpoint {
        requirements: require.map_or_else(Vec::new, |list| requirements(list, errors)),
        max_auth_age: max_auth_age.and_then(|age| duration(&age, errors)),
        check_store: check.is_some_and(|what| is_store(&what, errors)),
        ..Endpoint::new(kind, Route::of(&args, handler, errors))
    };
    args.refuse_rest("protected", &KEYS, errors);
    endpoint
}

fn refuse_with_optional(key: &str, value: Option<&Expr>, errors: &mut Errors) {
    if let Some(value) = value {
        let message = format!("`{key}` needs a session, `optional` does without\nhelp: remove one of them");
        errors.push(value.span(), message);
    }
}

/// `Required`; where the handler takes an `Option`, an error and what was probably meant.
fn required_kind(handler: &Handler, errors: &mut Errors) -> Kind {
    let Some(first) = handler.first_type() else { return Kind::Required };
    let session = argument_of(first, "Result").unwrap_or(first);
    if argument_of(session, "Option").is_none() {
        return Kind::Required;
    }
    let message = "this handler is always called with a session";
    let help = "add `optional` to the attribute, or take `Session`";
    errors.push(last_segment_span(first), format!("{message}\nhelp: {help}"));
    Kind::Optional
}

fn requirements(list: Expr, errors: &mut Errors) -> Vec<Expr> {
    match list {
        Expr::Array(ExprArray { elems, .. }) if !elems.is_empty() => elems.into_iter().collect(),
        Expr::Array(empty) => {
            errors.push(empty.span(), "an empty list requires nothing\nhelp: remove `require`");
            Vec::new()
        }
        other => {
            let message = "`require` is a list\nhelp: `require = [Role.includes(\"admin\")]`";
            errors.push(other.span(), message);
            Vec::new()
        }
    }
}

fn is_store(what: &Expr, errors: &mut Errors) -> bool {
    let is_store = matches!(what, Expr::Path(ExprPath { path, .. }) if path.is_ident("store"));
    if !is_store {
        errors.push(what.span(), "only the store can be checked\nhelp: `check = store`");
    }
    is_store
}

fn duration(age: &Expr, errors: &mut Errors) -> Option<Duration> {
    let text = match age {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
        _ => String::new(),
    };
    let duration = parse_duration(&text);
    if duration.is_none() {
        let message = "a duration is a whole number above 0 and `s`, `m`, `h` or `d`";
        errors.push(age.span(), format!("{message}\nhelp: `max_auth_age = \"15m\"`"));
    }
    duration
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let secs_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let secs = number.parse::<u64>().ok().filter(|n| is_plain && *n > 0)?.checked_mul(secs_per_unit)?;
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        assert_eq!(parse_duration("1s"), Some(Duration::from_secs(1)));
        assert_eq!(parse_duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_secs(2_592_000)));
        for wrong in ["", "m", "0s", "-1s", "+1s", "1.5h", "15", "15 m", "15min", "1µ", "300000000000000000d"]
        {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
