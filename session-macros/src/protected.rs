//! `#[protected]`: a handler behind a session.

use std::time::Duration;

use syn::{Expr, ExprArray, ExprLit, ExprPath, Lit, Path, spanned::Spanned};

use crate::{
    args::Args,
    checks::{Checks, Requirement},
    endpoint::{Endpoint, Kind, Route},
    errors::Errors,
    handler::{Handler, argument_of, last_segment_span},
    hook::Hook,
};

const KEYS: [&str; 8] = [
    "require",
    "require_only",
    "max_auth_age",
    "check",
    "csrf",
    "transport",
    "on_refused",
    // Of a handler only.
    "optional",
];

pub(crate) fn check(mut args: Args, handler: &Handler, errors: &mut Errors) -> Endpoint {
    let optional = args.take_flag("optional", errors);
    let keys = Keys::take(&mut args, errors);
    if optional.is_some() {
        refuse_with_optional("require", keys.require.as_ref(), errors);
        refuse_with_optional("require_only", keys.require_only.as_ref(), errors);
        refuse_with_optional("max_auth_age", keys.max_auth_age.as_ref(), errors);
    }
    let kind = if optional.is_some() { Kind::Optional } else { required_kind(handler, errors) };
    refuse_hook_without_use(handler, keys.on_refused.as_ref(), errors);
    let checks = keys.read(errors);
    let endpoint = Endpoint { checks, ..Endpoint::new(kind, Route::of(&args, handler, errors)) };
    args.refuse_rest("#[protected]", &KEYS, errors);
    endpoint
}

/// `protected_service(service, …)` in a table: what `#[protected]` is for handlers.
pub(crate) fn check_service(mut args: Args, errors: &mut Errors) -> Endpoint {
    let checks = Keys::take(&mut args, errors).read(errors);
    args.refuse_rest("protected_service", &KEYS[..7], errors);
    Endpoint { checks, ..Endpoint::new(Kind::Required, Route::Unlisted) }
}

/// What is asked beyond a session, as given.
struct Keys {
    require: Option<Expr>,
    require_only: Option<Expr>,
    max_auth_age: Option<Expr>,
    check: Option<Expr>,
    csrf: Option<Expr>,
    transport: Option<Expr>,
    on_refused: Option<Expr>,
}

impl Keys {
    fn take(args: &mut Args, errors: &mut Errors) -> Self {
        let mut take = |key, example| args.take_value(key, example, errors);
        Self {
            require: take("require", "[Role.includes(\"admin\")]"),
            require_only: take("require_only", "[Role.includes(\"admin\")]"),
            max_auth_age: take("max_auth_age", "\"15m\""),
            check: take("check", "store"),
            csrf: take("csrf", "dangerously_off"),
            transport: take("transport", "cookie"),
            on_refused: take("on_refused", "to_login_page"),
        }
    }

    fn read(self, errors: &mut Errors) -> Checks {
        let transport = self.transport.and_then(|way| transport_named(&way, errors));
        Checks {
            replaces_application: self.require_only.is_some(),
            requirements: requirements(self.require, self.require_only, errors),
            max_auth_age: self.max_auth_age.and_then(|age| duration(&age, errors)),
            check_store: self.check.is_some_and(|what| is_store(&what, errors)),
            dangerously_without_csrf: self.csrf.is_some_and(|csrf| is_csrf_off(&csrf, transport, errors)),
            transport,
            on_refused: self
                .on_refused
                .and_then(|hook| Hook::named("on_refused", "to_login_page", hook, errors)),
        }
    }
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

/// The requirements of the list that there is.
fn requirements(require: Option<Expr>, require_only: Option<Expr>, errors: &mut Errors) -> Vec<Requirement> {
    if let (Some(_), Some(only)) = (&require, &require_only) {
        let message = "`require_only` states all that is required, so `require` can't add to it";
        errors.push(only.span(), format!("{message}\nhelp: make one list of the two"));
    }
    let listed = require.map_or_else(Vec::new, |list| elements("require", list, errors));
    let only = require_only.map_or_else(Vec::new, |list| elements("require_only", list, errors));
    listed.into_iter().chain(only).filter_map(|element| requirement(element, errors)).collect()
}

fn requirement(element: Expr, errors: &mut Errors) -> Option<Requirement> {
    match element {
        Expr::Path(ExprPath { qself: None, path, .. }) => bare(path, errors).map(Requirement::Function),
        other => Some(Requirement::Claims(other)),
    }
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
