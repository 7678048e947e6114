//! The two session cookies: reading them off a request, setting and removing them (RFC 6265bis).

use std::{iter, time::Duration};

use ::cookie::{
    Cookie,
    time::{self, OffsetDateTime},
};
use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memchr;

use super::{TransportError, ascii};

/// The most that browsers keep of one cookie: name and value together (RFC 6265bis, section 5.6).
pub(crate) const MAX_BYTES: usize = 4096;

/// The most that browsers keep of one attribute's value (RFC 6265bis, section 5.6).
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// The longest that browsers keep a cookie (RFC 6265bis, section 5.5).
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Which requests from other sites carry the session cookies (RFC 6265bis, section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// None, not even when the user follows a link: the visitor arrives logged out and is logged in on the
    /// next click.
    Strict,
    /// Only those by which the user navigates here with a safe method, such as a followed link; the default.
    #[default]
    Lax,
    /// All. Needed when the application's page and this server are different sites. The cookies must be
    /// `Secure`, and only the defence against cross-site requests ([`CsrfMode`](super::CsrfMode)) stands
    /// between another site's page and the user's session.
    None,
}

impl From<SameSite> for ::cookie::SameSite {
    fn from(same_site: SameSite) -> Self {
        match same_site {
            SameSite::Strict => Self::Strict,
            SameSite::Lax => Self::Lax,
            SameSite::None => Self::None,
        }
    }
}

/// How the session cookies are called and which requests carry them.
#[derive(Clone, Debug)]
pub(crate) struct CookieConfig {
    /// Name of the cookie that holds the access token: `sAccessToken`.
    pub(crate) access_name: String,
    /// Name of the cookie that holds the refresh token: `sRefreshToken`.
    pub(crate) refresh_name: String,
    /// Which hosts get the cookies: this domain and everything below it, or, by default, only the host that
    /// set them.
    ///
    /// Every host below the domain sees the tokens and can overwrite the cookies.
    pub(crate) domain: Option<String>,
    /// Below which path requests carry the access token: `/`.
    pub(crate) access_path: String,
    /// Below which path requests carry the refresh token: that of the refresh endpoint, as browsers see it.
    pub(crate) refresh_path: String,
    /// Which requests from other sites carry the cookies: [`SameSite::Lax`].
    pub(crate) same_site: SameSite,
    /// Whether the cookies travel over HTTPS only: `true`. Browsers make an exception for `localhost`.
    ///
    /// Without it anyone on the network reads the tokens.
    pub(crate) secure: bool,
    /// Domains that the cookies had in earlier deployments, `None` for none: empty.
    ///
    /// A browser keeps a cookie of another domain beside ours and sends both. This is how it gets rid of the
    /// old one.
    pub(crate) older_domains: Vec<Option<String>>,
    /// Paths that either cookie had in earlier deployments: empty. As with the domains.
    pub(crate) older_paths: Vec<String>,
}

impl CookieConfig {
    /// The defaults, with the one setting that has none.
    pub(crate) fn new(refresh_path: impl Into<String>) -> Self {
        Self {
            access_name: "sAccessToken".into(),
            refresh_name: "sRefreshToken".into(),
            domain: None,
            access_path: "/".into(),
            refresh_path: refresh_path.into(),
            same_site: SameSite::default(),
            secure: true,
            older_domains: Vec::new(),
            older_paths: Vec::new(),
        }
    }

    /// Every setting that can't work, by the name of its method in the builder, with the reason; empty if all can.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_scope("cookie_names", "access_path", self.access_scope(), &mut problems);
        self.check_scope("cookie_names", "refresh_path", self.refresh_scope(), &mut problems);
        if self.access_name == self.refresh_name {
            problems.push(format!("`cookie_names` are both `{}`", self.access_name));
        }
        if self.refresh_path.len() > 1 && self.refresh_path.ends_with('/') {
            let path = &self.refresh_path;
            problems.push(format!(
                "`refresh_path` `{path}` ends with `/`, so browsers send the cookie only to paths below it"
            ));
        }
        if self.same_site == SameSite::None && !self.secure {
            problems.push("`same_site` is `None` together with `dangerous_insecure_cookies`, browsers refuse such a cookie".into());
        }
        let older_domains =
            self.older_domains.iter().flatten().map(|domain| ("older_cookie_domains", domain));
        for (setting, domain) in
            self.domain.iter().map(|domain| ("cookie_domain", domain)).chain(older_domains)
        {
            problems
                .extend(domain_fault(domain).map(|fault| format!("`{setting}` `{}` {fault}", shown(domain))));
        }
        for path in &self.older_paths {
            problems.extend(
                path_fault(path).map(|fault| format!("`older_cookie_paths` `{}` {fault}", shown(path))),
            );
        }
        problems
    }

    /// `Set-Cookie` for an access token.
    ///
    /// The cookie outlives its token by far: its presence tells a client that there may be a session to
    /// refresh. Unless `persistent`, it ends with the browser session.
    ///
    /// # Errors
    ///
    /// If browsers would drop the cookie; see [`TransportError`].
    pub(crate) fn access(&self, token: &str, persistent: bool) -> Result<HeaderValue, TransportError> {
        self.set(self.access_scope(), token, persistent.then_some(MAX_AGE))
    }

    /// `Set-Cookie` for a refresh token that can be used for `lifetime` more, or until the browser session
    /// ends.
    ///
    /// Whole seconds, rounded up, at least one and at most the 400 days that browsers allow.
    ///
    /// # Errors
    ///
    /// If browsers would drop the cookie; see [`TransportError`].
    pub(crate) fn refresh(
        &self,
        token: &str,
        lifetime: Option<Duration>,
    ) -> Result<HeaderValue, TransportError> {
        self.set(self.refresh_scope(), token, lifetime)
    }

    /// `Set-Cookie` that removes the access token.
    ///
    /// # Errors
    ///
    /// If a setting that [`problems`](Self::problems) names gets in the way. The same for all removals.
    pub(crate) fn remove_access(&self) -> Result<HeaderValue, TransportError> {
        self.remove(self.access_scope())
    }

    /// `Set-Cookie` that removes the refresh token.
    pub(crate) fn remove_refresh(&self) -> Result<HeaderValue, TransportError> {
        self.remove(self.refresh_scope())
    }

    /// One `Set-Cookie` for each combination of older and present domains and paths, but for the present
    /// cookies' own.
    pub(crate) fn remove_older(&self) -> Result<Vec<HeaderValue>, TransportError> {
        let scopes = [self.access_scope(), self.refresh_scope()];
        scopes
            .into_iter()
            .flat_map(|scope| self.older_scopes(scope))
            .map(|scope| self.remove(scope))
            .collect()
    }

    fn access_scope(&self) -> Scope<'_> {
        Scope { name: &self.access_name, domain: self.domain.as_deref(), path: &self.access_path }
    }

    fn refresh_scope(&self) -> Scope<'_> {
        Scope { name: &self.refresh_name, domain: self.domain.as_deref(), path: &self.refresh_path }
    }

    fn older_scopes<'a>(&'a self, present: Scope<'a>) -> impl Iterator<Item = Scope<'a>> {
        let paths = move || self.older_paths.iter().map(String::as_str).chain([present.path]);
        let domains = self.older_domains.iter().map(Option::as_deref).chain([present.domain]);
        domains
            .flat_map(move |domain| paths().map(move |path| Scope { domain, path, ..present }))
            .filter(move |scope| !scope.is_same_cookie(present))
    }

    fn set(
        &self,
        scope: Scope<'_>,
        token: &str,
        lifetime: Option<Duration>,
    ) -> Result<HeaderValue, TransportError> {
        scope.check_value(token)?;
        let mut cookie = self.cookie(scope, token);
        cookie.set_max_age(lifetime.map(whole_seconds));
        let mut value = HeaderValue::try_from(cookie.to_string())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn remove(&self, scope: Scope<'_>) -> Result<HeaderValue, TransportError> {
        let mut cookie = self.cookie(scope, "");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        Ok(HeaderValue::try_from(cookie.to_string())?)
    }

    fn cookie<'a>(&self, scope: Scope<'a>, value: &'a str) -> Cookie<'a> {
        let cookie = Cookie::build((scope.name, value))
            .path(scope.path)
            .http_only(true)
            .same_site(self.same_site.into())
            .secure(self.secure);
        match scope.domain {
            Some(domain) => cookie.domain(domain).build(),
            None => cookie.build(),
        }
    }

    fn check_scope(
        &self,
        name_setting: &str,
        path_setting: &str,
        scope: Scope<'_>,
        problems: &mut Vec<String>,
    ) {
        let Scope { name, domain, path } = scope;
        let mut problem = |setting: &str, text: &str, fault: &str| {
            problems.push(format!("`{setting}` `{}` {fault}", shown(text)));
        };
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            problem(
                name_setting,
                name,
                "is no RFC 6265 cookie name: letters, digits and `!#$%&'*+-.^_`|~` expected",
            );
        }
        if has_prefix(name, "__Host-") && !(self.secure && domain.is_none() && path == "/") {
            problem(
                name_setting,
                name,
                "begins with `__Host-`, which needs `Secure`, no `cookie_domain` and the path `/`",
            );
        }
        if (has_prefix(name, "__Secure-") || has_prefix(name, "__Http-")) && !self.secure {
            problem(name_setting, name, "has a prefix that needs `Secure`");
        }
        if let Some(fault) = path_fault(path) {
            problem(path_setting, path, fault);
        }
    }
}

/// The values of the cookies called `name`, in the order of the request; those that are not ASCII are passed over.
///
/// Exactly that name, case and all. Space and tab around a cookie are dropped and nothing else is: no quotes
/// are taken off and nothing is decoded, for then two texts would stand for one cookie. Whatever has no `=` is
/// passed over too.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    raw_values(headers, name).filter_map(ascii)
}

/// The same, of whatever bytes they are.
pub(crate) fn raw_values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| split(header.as_bytes()))
        .filter_map(move |cookie| trim(cookie).strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The pieces of one `Cookie` header.
fn split(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(header);
    iter::from_fn(move || {
        let bytes = rest?;
        let Some(end) = memchr(b';', bytes) else { return rest.take() };
        rest = Some(&bytes[end + 1..]);
        Some(&bytes[..end])
    })
}

/// What makes one cookie: a browser replaces a cookie only by one that agrees in all three.
#[derive(Clone, Copy)]
struct Scope<'a> {
    name: &'a str,
    domain: Option<&'a str>,
    path: &'a str,
}

impl Scope<'_> {
    fn is_same_cookie(self, other: Scope<'_>) -> bool {
        let same_domain = match (self.domain, other.domain) {
            (Some(one), Some(two)) => without_dot(one).eq_ignore_ascii_case(without_dot(two)),
            (one, two) => one == two,
        };
        same_domain && self.name == other.name && self.path == other.path
    }

    fn check_value(self, value: &str) -> Result<(), TransportError> {
        let bytes = self.name.len() + value.len();
        if !value.bytes().all(is_cookie_octet) {
            return Err(TransportError::CookieValue { name: self.name.into() });
        }
        if bytes > MAX_BYTES {
            return Err(TransportError::CookieTooLarge { name: self.name.into(), bytes });
        }
        Ok(())
    }
}

/// A `Max-Age` of zero would be a removal.
fn whole_seconds(lifetime: Duration) -> time::Duration {
    let lifetime = lifetime.clamp(Duration::from_secs(1), MAX_AGE);
    let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
    time::Duration::seconds(seconds.cast_signed())
}

fn domain_fault(domain: &str) -> Option<&'static str> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if domain.len() > MAX_ATTRIBUTE_BYTES {
        return Some("is longer than the 1024 bytes that browsers read");
    }
    (!without_dot(domain).split('.').all(is_label)).then_some(
        "is no domain: names joined by dots expected, no scheme, port or path, and an IDN in its `xn--` form",
    )
}

fn path_fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("is not absolute, it must begin with `/`");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b'?' | b'#')) {
        return Some(
            "has a character that no cookie path can have: space, control, non-ASCII, `;`, `?` or `#`",
        );
    }
    (path.len() > MAX_ATTRIBUTE_BYTES).then_some("is longer than the 1024 bytes that browsers read")
}

/// A setting as it can be printed on one line.
fn shown(text: &str) -> std::str::EscapeDebug<'_> {
    text.escape_debug()
}

/// Browsers ignore one leading dot (RFC 6265bis, section 5.6.3).
fn without_dot(domain: &str) -> &str {
    domain.strip_prefix('.').unwrap_or(domain)
}

/// Browsers compare the prefix without regard to case (RFC 6265bis, section 4.1.3).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `cookie-octet` of RFC 6265, section 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use cookie_store::CookieStore;
    use url::Url;

    use super::*;

    fn read(lines: &[&[u8]], name: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        values(&headers, name).map(str::to_owned).collect()
    }

    fn config() -> CookieConfig {
        CookieConfig::new("/auth/refresh")
    }

    fn text(value: Result<HeaderValue, TransportError>) -> String {
        value.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn cookies_are_read_in_order_from_all_headers() {
        assert_eq!(read(&[b"a=1; t=2;t=3 ;\tt=4\t", b"t=5"], "t"), ["2", "3", "4", "5"]);
        assert_eq!(read(&[b"a=1"], "t"), [""; 0]);
        assert_eq!(read(&[], "t"), [""; 0]);
        assert_eq!(read(&[b""], "t"), [""; 0]);
    }

    #[test]
    fn a_value_is_taken_byte_for_byte() {
        assert_eq!(read(&[b"t=\"quoted\""], "t"), ["\"quoted\""]);
        assert_eq!(read(&[b"t=a=b=c"], "t"), ["a=b=c"]);
        assert_eq!(read(&[b"t=%41"], "t"), ["%41"]);
        assert_eq!(read(&[b"t="], "t"), [""]);
        assert_eq!(read(&[b"t= 1"], "t"), [" 1"]);
        assert_eq!(read(&[b"t=\"a; t=b\""], "t"), ["\"a", "b\""]);
    }

    #[test]
    fn only_the_exact_name_counts() {
        let none = [""; 0];
        for line in [
            &b"T=1"[..],
            b"tt=1",
            b"xt=1",
            b"t =1",
            b"t",
            b"=t=1",
            b"=1",
            b"\"t\"=1",
            b"$Version=1",
            b"t\xc2\xa0=1",
            b"\xc2\xa0t=1",
            b"\xe2\x80\x83t=1",
            b"\xe3\x80\x80t=1",
            b"\xa0t=1",
            b"\x85t=1",
        ] {
            assert_eq!(read(&[line], "t"), none, "{line:?}");
        }
        assert_eq!(read(&[b"$Version=1; t=2; $Path=/"], "t"), ["2"]);
    }

    #[test]
    fn a_prefix_can_not_be_forged_with_unicode_spaces() {
        for space in ["\u{85}", "\u{a0}", "\u{1680}", "\u{2000}", "\u{2028}", "\u{3000}", "\u{feff}"] {
            let line = format!("{space}__Host-t=evil; __Host-t{space}=evil; __Host-t=good");
            assert_eq!(read(&[line.as_bytes()], "__Host-t"), ["good"], "{space:?}");
        }
    }

    #[test]
    fn a_broken_value_does_not_hide_the_others() {
        assert_eq!(read(&[b"a=\xff\xfe; t=1; t=\xff; t=\xc3\xbc; t=2", b"\xff"], "t"), ["1", "2"]);
    }

    #[test]
    fn a_cookie_is_set_with_every_attribute() {
        assert_eq!(
            text(config().access("tok", true)),
            "sAccessToken=tok; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=34560000"
        );
        let config = CookieConfig {
            domain: Some(".example.com".into()),
            same_site: SameSite::Strict,
            secure: false,
            ..config()
        };
        assert_eq!(
            text(config.refresh("tok", Some(Duration::from_secs(60)))),
            "sRefreshToken=tok; HttpOnly; SameSite=Strict; Path=/auth/refresh; Domain=example.com; Max-Age=60"
        );
    }

    #[test]
    fn a_session_that_is_not_remembered_sets_session_cookies() {
        for cookie in [text(config().access("tok", false)), text(config().refresh("tok", None))] {
            assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"), "{cookie}");
        }
    }

    #[test]
    fn a_lifetime_never_becomes_a_removal_and_never_exceeds_what_browsers_allow() {
        let max_age = |lifetime| {
            let cookie = text(config().refresh("tok", Some(lifetime)));
            cookie.rsplit_once("Max-Age=").unwrap().1.to_owned()
        };
        assert_eq!(max_age(Duration::ZERO), "1");
        assert_eq!(max_age(Duration::from_millis(1)), "1");
        assert_eq!(max_age(Duration::from_millis(59_001)), "60");
        assert_eq!(max_age(Duration::from_secs(60)), "60");
        assert_eq!(max_age(Duration::MAX), "34560000");
    }

    #[test]
    fn a_removal_repeats_path_domain_and_attributes() {
        let config = CookieConfig { domain: Some("example.com".into()), ..config() };
        let past = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(
            text(config.remove_access()),
            format!("sAccessToken=; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; {past}")
        );
        assert_eq!(
            text(config.remove_refresh()),
            format!(
                "sRefreshToken=; HttpOnly; SameSite=Lax; Secure; Path=/auth/refresh; Domain=example.com; {past}"
            )
        );
    }

    #[test]
    fn name_and_value_of_4096_bytes_fit_and_one_more_is_an_error() {
        let room = MAX_BYTES - "sAccessToken".len();
        assert!(config().access(&"x".repeat(room), true).is_ok());
        assert!(matches!(
            config().access(&"x".repeat(room + 1), true),
            Err(TransportError::CookieTooLarge { bytes: 4097, .. })
        ));
    }

    #[test]
    fn a_value_that_no_cookie_carries_is_an_error() {
        for value in ["a;b", "a b", "a,b", "a\"b", "a\\b", "a\nb", "ü", "\0"] {
            assert!(
                matches!(config().access(value, true), Err(TransportError::CookieValue { .. })),
                "{value:?}"
            );
        }
    }

    #[test]
    fn settings_that_break_a_header_are_an_error_and_no_panic() {
        let config = CookieConfig { domain: Some("a\nb".into()), ..config() };
        assert!(matches!(config.access("tok", true), Err(TransportError::HeaderValue(_))));
        assert!(matches!(config.remove_access(), Err(TransportError::HeaderValue(_))));
    }

    #[test]
    fn a_token_in_a_cookie_is_not_shown() {
        let shown = format!("{:?}{:?}", config().access("tok", true), config().refresh("tok", None));
        assert!(!shown.contains("tok"), "{shown}");
    }

    #[test]
    fn older_domains_and_paths_are_removed_but_never_the_present_ones() {
        let config = CookieConfig {
            domain: Some("example.com".into()),
            older_domains: vec![None, Some(".Example.com".into())],
            older_paths: vec!["/".into()],
            ..config()
        };
        let removed: Vec<_> =
            config.remove_older().unwrap().into_iter().map(|value| text(Ok(value))).collect();
        let scope = |cookie: &str| {
            let part =
                |key: &str| cookie.split("; ").find_map(|part| part.strip_prefix(key)).map(str::to_owned);
            (part("sAccessToken").is_some(), part("Domain="), part("Path=").unwrap())
        };
        let access: Vec<_> = removed.iter().map(|cookie| scope(cookie)).filter(|scope| scope.0).collect();
        assert!(!access.is_empty() && access.iter().all(|(_, domain, path)| domain.is_none() && path == "/"));
        let refresh: Vec<_> = removed.iter().map(|cookie| scope(cookie)).filter(|scope| !scope.0).collect();
        let expected =
            [(None, "/"), (None, "/auth/refresh"), (Some("Example.com"), "/"), (Some("example.com"), "/")];
        let found: Vec<_> =
            refresh.iter().map(|(_, domain, path)| (domain.as_deref(), path.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(config().problems(), [""; 0]);
    }

    #[test]
    fn settings_that_work_have_no_problem() {
        for config in [
            CookieConfig { domain: Some(".example.com".into()), ..config() },
            CookieConfig { domain: Some("xn--bcher-kva.example".into()), ..config() },
            CookieConfig { same_site: SameSite::None, ..config() },
            CookieConfig { secure: false, ..config() },
            CookieConfig { access_name: "__Host-access".into(), ..config() },
            CookieConfig { access_name: "__Secure-access".into(), ..config() },
            CookieConfig { access_path: "/app/".into(), ..config() },
            CookieConfig { older_domains: vec![None, Some("old.example".into())], ..config() },
            CookieConfig::new("/"),
        ] {
            assert_eq!(config.problems(), [""; 0], "{config:?}");
        }
    }

    #[test]
    fn each_setting_that_can_not_work_is_named() {
        let cases = [
            (CookieConfig { access_name: "a b".into(), ..config() }, "`cookie_names`"),
            (CookieConfig { access_name: "a=b".into(), ..config() }, "`cookie_names`"),
            (CookieConfig { access_name: String::new(), ..config() }, "`cookie_names`"),
            (CookieConfig { refresh_name: "ü".into(), ..config() }, "`cookie_names`"),
            (CookieConfig { refresh_name: "a;b".into(), ..config() }, "`cookie_names`"),
            (CookieConfig { access_name: "sRefreshToken".into(), ..config() }, "both"),
            (CookieConfig { refresh_name: "__Host-r".into(), ..config() }, "`cookie_names`"),
            (CookieConfig { access_name: "__host-a".into(), secure: false, ..config() }, "`cookie_names`"),
            (
                CookieConfig { access_name: "__Host-a".into(), domain: Some("a.example".into()), ..config() },
                "`cookie_names`",
            ),
            (
                CookieConfig { access_name: "__Host-a".into(), access_path: "/a".into(), ..config() },
                "`cookie_names`",
            ),
            (CookieConfig { refresh_name: "__SECURE-r".into(), secure: false, ..config() }, "`cookie_names`"),
            (CookieConfig { refresh_name: "__Http-r".into(), secure: false, ..config() }, "`cookie_names`"),
            (CookieConfig { same_site: SameSite::None, secure: false, ..config() }, "`same_site`"),
            (CookieConfig { domain: Some(String::new()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("https://example.com".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("example.com:443".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("example.com; Path=/x".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("a..b".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("bücher.example".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("a\r\nb".into()), ..config() }, "`cookie_domain`"),
            (CookieConfig { domain: Some("a".repeat(1025)), ..config() }, "`cookie_domain`"),
            (CookieConfig { older_domains: vec![Some("a b".into())], ..config() }, "`older_cookie_domains`"),
            (CookieConfig { older_paths: vec!["old".into()], ..config() }, "`older_cookie_paths`"),
            (CookieConfig { access_path: "app".into(), ..config() }, "`access_path`"),
            (CookieConfig { access_path: "/a;b".into(), ..config() }, "`access_path`"),
            (CookieConfig { access_path: "/a\tb".into(), ..config() }, "`access_path`"),
            (CookieConfig { access_path: format!("/{}", "a".repeat(1024)), ..config() }, "`access_path`"),
            (CookieConfig::new(""), "`refresh_path`"),
            (CookieConfig::new("auth/refresh"), "`refresh_path`"),
            (CookieConfig::new("/refresh/"), "`refresh_path`"),
            (CookieConfig::new("/refresh?x"), "`refresh_path`"),
        ];
        for (config, setting) in cases {
            let problems = config.problems();
            assert_eq!(problems.len(), 1, "{config:?}: {problems:?}");
            assert!(problems[0].contains(setting), "{config:?}: {problems:?}");
        }
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let config = CookieConfig {
            access_name: "a b".into(),
            domain: Some("a b".into()),
            same_site: SameSite::None,
            secure: false,
            ..CookieConfig::new("refresh")
        };
        assert_eq!(config.problems().len(), 4);
    }

    #[test]
    fn what_was_set_and_removed_is_gone_from_a_cookie_jar() {
        for domain in [None, Some("example.com"), Some(".app.example.com")] {
            for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
                for (secure, persistent) in [(true, true), (true, false), (false, true), (false, false)] {
                    let config =
                        CookieConfig { domain: domain.map(Into::into), same_site, secure, ..config() };
                    let mut jar = Jar::default();
                    jar.store(config.access("a1", persistent));
                    jar.store(config.refresh("r1", persistent.then_some(Duration::from_secs(60))));
                    assert_eq!(jar.sent_to("/auth/refresh"), ["sAccessToken=a1", "sRefreshToken=r1"]);
                    assert_eq!(jar.sent_to("/auth"), ["sAccessToken=a1"]);
                    jar.store(config.remove_access());
                    assert_eq!(jar.sent_to("/auth/refresh"), ["sRefreshToken=r1"]);
                    jar.store(config.remove_refresh());
                    assert_eq!(jar.len(), 0, "{config:?}");
                }
            }
        }
    }

    #[test]
    fn cookies_of_older_deployments_are_gone_from_a_cookie_jar() {
        let old = CookieConfig { refresh_path: "/".into(), ..config() };
        let new = CookieConfig {
            domain: Some("example.com".into()),
            older_domains: vec![None],
            older_paths: vec!["/".into()],
            ..config()
        };
        let mut jar = Jar::default();
        jar.store(old.access("a1", true));
        jar.store(old.refresh("r1", None));
        jar.store(new.access("a2", true));
        jar.store(new.refresh("r2", None));
        assert_eq!(jar.len(), 4);
        new.remove_older().unwrap().into_iter().for_each(|value| jar.store(Ok(value)));
        assert_eq!(jar.sent_to("/auth/refresh"), ["sAccessToken=a2", "sRefreshToken=r2"]);
        assert_eq!(jar.len(), 2);
    }

    /// A browser's cookies for `https://app.example.com`.
    #[derive(Default)]
    struct Jar(CookieStore);

    impl Jar {
        /// A removal that finds nothing to remove is refused by the jar; that is no concern of ours.
        fn store(&mut self, value: Result<HeaderValue, TransportError>) {
            let _ = self.0.parse(&text(value), &Self::url("/auth/refresh"));
        }

        fn sent_to(&self, path: &str) -> Vec<String> {
            let sent = self.0.get_request_values(&Self::url(path));
            let mut sent: Vec<_> = sent.map(|(name, value)| format!("{name}={value}")).collect();
            sent.sort();
            sent
        }

        fn len(&self) -> usize {
            self.0.iter_unexpired().count()
        }

        fn url(path: &str) -> Url {
            format!("https://app.example.com{path}").parse().unwrap()
        }
    }
}
