//! `RoutePath`: a path that axum's router accepts and that a client can request.

use std::{collections::HashSet, fmt::Write as _};

use proc_macro2::Span;
use syn::LitStr;

use crate::errors::Errors;

/// `matchit` names the captures of a path `a` to `z` and panics beyond.
const MOST_CAPTURES: usize = 25;

/// A valid path of a route.
pub(crate) struct RoutePath {
    text: String,
    span: Span,
    captures: usize,
}

impl RoutePath {
    pub(crate) fn parse(literal: &LitStr, errors: &mut Errors) -> Option<Self> {
        let path = literal.value();
        match check(&path) {
            Ok(captures) => Some(Self { captures, span: literal.span(), text: path }),
            Err(mistake) => {
                errors.push(literal.span(), format!("{mistake}\nhelp: {}", help(&path)));
                None
            }
        }
    }

    /// A prefix of a group: no captures, no slash at its end.
    pub(crate) fn parse_prefix(literal: &LitStr, errors: &mut Errors) -> Option<Self> {
        let text = literal.value();
        let mistake = if text.contains(['{', '}']) {
            "a prefix can't have captures\nhelp: write them in the paths of the handlers".to_owned()
        } else if let Err(mistake) = check(&text) {
            format!("{mistake}\nhelp: {}", help(&text))
        } else if text == "/" {
            "`/` is no prefix\nhelp: list the handlers without a group".to_owned()
        } else if let Some(shorter) = text.strip_suffix('/') {
            format!("a prefix ends without `/`\nhelp: `\"{shorter}\"`")
        } else {
            return Some(Self { text, span: literal.span(), captures: 0 });
        };
        errors.push(literal.span(), mistake);
        None
    }

    /// A path that this crate knows to be valid.
    pub(crate) fn known(text: &str) -> Self {
        Self { text: text.to_owned(), span: Span::call_site(), captures: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn captures(&self) -> usize {
        self.captures
    }

    pub(crate) fn is_literal(&self) -> bool {
        !self.text.contains(['{', '}'])
    }
}

/// The number of captures, or what is wrong.
fn check(path: &str) -> Result<usize, String> {
    if path.is_empty() {
        return Err("the path is empty".into());
    }
    if !path.starts_with('/') {
        return Err("a path starts with `/`".into());
    }
    check_old_syntax(path)?;
    let Parsed { literal, captures } = parse(path)?;
    check_query(&literal)?;
    check_characters(&literal)?;
    check_percent_encoding(&literal)?;
    check_segments(path, &literal)?;
    check_duplicates(&captures)?;
    Ok(captures.len())
}

fn check_old_syntax(path: &str) -> Result<(), String> {
    match path.split('/').find(|segment| segment.starts_with([':', '*'])) {
        Some(segment) => Err(format!("`{segment}` is the capture syntax of axum 0.7")),
        None => Ok(()),
    }
}

/// A path taken apart: the text with `_` for each capture and each literal brace, and the names of the captures.
struct Parsed {
    literal: String,
    captures: Vec<String>,
}

fn parse(path: &str) -> Result<Parsed, String> {
    if path.matches('{').count() > MOST_CAPTURES {
        return Err(format!("more than {MOST_CAPTURES} captures"));
    }
    matchit::Router::new().insert(path, ()).map_err(|error| explain(path, &error))?;

    let mut parsed = Parsed { literal: String::new(), captures: Vec::new() };
    let mut rest = path;
    while let Some(at) = rest.find(['{', '}']) {
        parsed.literal.push_str(&rest[..at]);
        parsed.literal.push('_');
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            rest = &rest[2..];
            continue;
        }
        let end = rest.find('}').ok_or("unbalanced braces")?;
        let name = rest[1..end].trim_start_matches('*');
        if name.contains('{') || rest[end + 1..].starts_with('}') {
            return Err("a brace in the name of a capture".into());
        }
        parsed.captures.push(name.to_owned());
        rest = &rest[end + 1..];
    }
    parsed.literal.push_str(rest);
    Ok(parsed)
}

fn explain(path: &str, error: &matchit::InsertError) -> String {
    use matchit::InsertError::{InvalidCatchAll, InvalidParamSegment};
    match error {
        InvalidCatchAll => "a catch-all stands at the end of a path".into(),
        InvalidParamSegment => "a capture reaches to the end of its segment".into(),
        _ if path.contains("{}") || path.contains("{*}") => "a capture needs a name".into(),
        _ => "unbalanced braces".into(),
    }
}

fn check_query(literal: &str) -> Result<(), String> {
    match literal.find(['?', '#']) {
        Some(at) if literal[at..].starts_with('?') => {
            Err("a path has no query; read it with the `Query` extractor".into())
        }
        Some(_) => Err("a path has no fragment; browsers don't send it".into()),
        None => Ok(()),
    }
}

fn check_characters(literal: &str) -> Result<(), String> {
    match literal.chars().find(|c| !is_allowed(*c)) {
        Some(c) => Err(format!("`{}` can't stand in the path of a URI", c.escape_debug())),
        None => Ok(()),
    }
}

/// RFC 3986, section 3.3: what a path may hold.
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c)
}

fn check_percent_encoding(literal: &str) -> Result<(), String> {
    for (at, _) in literal.match_indices('%') {
        let digits: String = literal[at + 1..].chars().take(2).collect();
        if digits.len() != 2 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!("`%{digits}` is no percent-encoding"));
        }
    }
    Ok(())
}

fn check_segments(path: &str, literal: &str) -> Result<(), String> {
    if path.contains("//") {
        return Err("an empty segment, `//`".into());
    }
    match literal.split('/').find(|segment| is_dots(segment)) {
        Some(dots) => Err(format!("a client resolves `{dots}` before it sends the path")),
        None => Ok(()),
    }
}

fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn check_duplicates(captures: &[String]) -> Result<(), String> {
    let mut seen = HashSet::new();
    match captures.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(format!("two captures are named `{name}`")),
        None => Ok(()),
    }
}

/// The corrected path, where it can be told.
fn help(path: &str) -> String {
    let corrected = corrected(path);
    match check(&corrected) {
        Ok(_) => format!("`\"{corrected}\"`"),
        Err(mistake) if mistake.starts_with("two captures") => "give one of them another name".into(),
        Err(_) => "`{name}` captures one segment, `{*name}` at the end all of the rest; \
                   `{{` and `}}` are literal braces"
            .into(),
    }
}

fn corrected(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            _ if !is_dots(segment) => segments.push(corrected_segment(segment)),
            "." | "%2e" | "%2E" => {}
            _ => drop(segments.pop()),
        }
    }
    let slash_at_end = if path.len() > 1 && path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{slash_at_end}", segments.join("/"))
}

fn corrected_segment(segment: &str) -> String {
    if let Some(name) = segment.strip_prefix(':') {
        return format!("{{{name}}}");
    }
    if let Some(name) = segment.strip_prefix('*') {
        return format!("{{*{}}}", if name.is_empty() { "rest" } else { name });
    }
    if let Some(name) = segment.strip_prefix('<').and_then(|name| name.strip_suffix('>')) {
        return format!("{{{name}}}");
    }
    if segment.contains(['{', '}']) {
        return segment.to_owned();
    }
    percent_encoded(segment)
}

fn percent_encoded(segment: &str) -> String {
    let mut encoded = String::new();
    for (at, c) in segment.char_indices() {
        let is_encoding = c != '%' || check_percent_encoding(segment.get(at..at + 3).unwrap_or("%")).is_ok();
        if is_allowed(c) && is_encoding {
            encoded.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_is_itself_correct() {
        for (wrong, right) in [
            ("users/:id", "/users/{id}"),
            ("/files/*path", "/files/{*path}"),
            ("/a//b/", "/a/b/"),
            ("/a/../b/./c", "/b/c"),
            ("/café", "/caf%C3%A9"),
            ("/100%", "/100%25"),
            ("/a?b=c", "/a"),
            ("/<id>", "/{id}"),
            ("", "/"),
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
            assert_eq!(corrected(wrong), right);
            assert!(check(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn what_axum_accepts_and_a_client_can_send_is_accepted() {
        for (path, captures) in [
            ("/", 0),
            ("/a/", 0),
            ("/a-{b}", 1),
            ("/{a}/x/{*rest}", 2),
            ("/{{literal}}/{id}", 1),
            ("/a:b/~c;v=1", 0),
            ("/%E4%BD%A0", 0),
        ] {
            assert_eq!(check(path), Ok(captures), "{path}");
        }
    }

    #[test]
    fn more_captures_than_the_router_can_name_are_refused_without_a_panic() {
        let path = |captures: usize| (0..captures).map(|n| format!("/{{c{n}}}")).collect::<String>();
        assert_eq!(check(&path(MOST_CAPTURES)), Ok(MOST_CAPTURES));
        assert!(check(&path(MOST_CAPTURES + 1)).is_err());
    }

    #[test]
    fn no_path_makes_a_check_panic() {
        let pieces = ["/", "{", "}", "{{", "}}", "*", ":", "a", "%", "2", ".", "é", "?", "<", ">", " "];
        let mut seed = 1_usize;
        for _ in 0..50_000 {
            let mut path = String::new();
            for _ in 0..seed % 9 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                path.push_str(pieces[(seed >> 33) % pieces.len()]);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 1;
            if check(&path).is_ok() {
                assert!(matchit::Router::new().insert(path, ()).is_ok());
            } else {
                assert!(!help(&path).is_empty());
            }
        }
    }
}
