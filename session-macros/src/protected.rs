//! `#[protected]`: a handler behind a session.

use std::time::Duration;

use syn::{Expr, ExprArray, ExprLit, ExprPath, Lit, Path, spanned::Spanned};

use crate::{
    args::Args,
    endpoint::{Endpoint, Kind, Options, Route, hook_function},
    errors::Errors,
    handler::{Handler, argument_of, last_segment_span},
};

const KEYS: [&str; 8] =
    ["require", "require_only", "max_auth_age", "check", "csrf", "transport", "on_refused", "optional"];

pub(crate) fn check(mut args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let optional = args.take_flag("optional", errors);
    let require = args.take_value("require", "[Role.includes(\"admin\")]", errors);
    let require_only = args.take_value("require_only", "[Role.includes(\"admin\")]", errors);
    let max_auth_age = args.take_value("max_auth_age", "\"15m\"", errors);
    let check = args.take_value("check", "store", errors);
    let csrf = args.take_value("csrf", "dangerously_off", errors);
    let transport = args.take_value("transport", "cookie", errors);
    let on_refused = args.take_value("on_refused", "to_login_page", errors);

    if optional.is_some() {
        refuse_with_optional("require", require.as_ref(), errors);
        refuse_with_optional("require_only", require_only.as_ref(), errors);
        refuse_with_optional("max_auth_age", max_auth_age.as_ref(), errors);
    }
    let kind = if optional.is_some() { Kind::Optional } else { required_kind(handler, errors) };
    refuse_hook_without_use(handler, on_refused.as_ref(), errors);
    let replaces_application = require_only.is_some();
    let (functions, requirements) = requirements(require, require_only, errors);
    let transport = transport.and_then(|way| transport_named(&way, errors));
    let endpoint = Endpoint {
        requirements,
        functions,
        options: Options {
            max_auth_age: max_auth_age.and_then(|age| duration(&age, errors)),
            check_store: check.is_some_and(|what| is_store(&what, errors)),
            replaces_application,
            dangerously_without_csrf: csrf.is_some_and(|csrf| is_csrf_off(&csrf, transport, errors)),
            transport,
        },
        on_refused: on_refused.and_then(|hook| hook_function("on_refused", "to_login_page", hook, errors)),
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

fn refuse_hook_without_use(handler: &Handler, hook: Option<&Expr>, errors: &mut Errors) {
    let answers_itself = handler.first_type().is_some_and(|first| argument_of(first, "Result").is_some());
    if let Some(hook) = hook.filter(|_| answers_itself) {
        let message = "this handler answers refusals itself, as it takes a `Result`";
        errors.push(hook.span(), format!("{message}\nhelp: remove `on_refused`, or take `Session`"));
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

/// The functions and the claims' requirements of the list that there is.
fn requirements(
    require: Option<Expr>,
    require_only: Option<Expr>,
    errors: &mut Errors,
) -> (Vec<Path>, Vec<Expr>) {
    if let (Some(_), Some(only)) = (&require, &require_only) {
        let message = "`require_only` states all that is required, so `require` can't add to it";
        errors.push(only.span(), format!("{message}\nhelp: make one list of the two"));
    }
    let listed = require.map_or_else(Vec::new, |list| elements("require", list, errors));
    let only = require_only.map_or_else(Vec::new, |list| elements("require_only", list, errors));
    let mut functions = Vec::new();
    let mut requirements = Vec::new();
    for requirement in listed.into_iter().chain(only) {
        match requirement {
            Expr::Path(ExprPath { qself: None, path, .. }) => functions.extend(bare(path, errors)),
            other => requirements.push(other),
        }
    }
    (functions, requirements)
}

fn elements(key: &str, list: Expr, errors: &mut Errors) -> Vec<Expr> {
    match list {
        Expr::Array(ExprArray { elems, .. }) if !elems.is_empty() || key == "require_only" => {
            elems.into_iter().collect()
        }
        Expr::Array(empty) => {
            let help = "remove `require`; or write `require_only = []` for a session and nothing more";
            errors.push(empty.span(), format!("an empty list requires nothing\nhelp: {help}"));
            Vec::new()
        }
        other => {
            let message = format!("`{key}` is a list\nhelp: `{key} = [Role.includes(\"admin\")]`");
            errors.push(other.span(), message);
            Vec::new()
        }
    }
}

/// The path of a function, which has no generic arguments.
fn bare(path: Path, errors: &mut Errors) -> Option<Path> {
    let generic = path.segments.iter().find(|segment| !segment.arguments.is_none());
    if let Some(segment) = generic {
        let message = "a requirement function is named by its path alone\nhelp: remove the generic arguments";
        errors.push(segment.ident.span(), message);
        return None;
    }
    Some(path)
}

fn transport_named(way: &Expr, errors: &mut Errors) -> Option<&'static str> {
    let is = |name: &str| matches!(way, Expr::Path(ExprPath { path, .. }) if path.is_ident(name));
    let transport = [("cookie", "Cookie"), ("header", "Header")].into_iter().find(|(name, _)| is(name));
    if transport.is_none() {
        let message = "tokens come by `cookie` or by `header`\nhelp: `transport = cookie`";
        errors.push(way.span(), message);
    }
    transport.map(|(_, variant)| variant)
}

fn is_csrf_off(csrf: &Expr, transport: Option<&str>, errors: &mut Errors) -> bool {
    let is_off = matches!(csrf, Expr::Path(ExprPath { path, .. }) if path.is_ident("dangerously_off"));
    if !is_off {
        let message = "the defence against cross-site requests is on, or `dangerously_off`";
        errors.push(csrf.span(), format!("{message}\nhelp: remove `csrf`, or `csrf = dangerously_off`"));
    } else if transport == Some("Header") {
        let message = "no other site can send tokens in headers, so there is no defence to switch off";
        errors.push(csrf.span(), format!("{message}\nhelp: remove `csrf`"));
    }
    is_off
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
