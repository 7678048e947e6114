//! The defence against cross-site requests. Cookies are sent along with a request whoever caused it, so a
//! request whose session came by cookie has to show that the application's own page, or no page at all,
//! caused it.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{HOST, ORIGIN, UPGRADE},
};

use super::{cookie::SameSite, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Headers that no HTML form can send, and that a script of another origin can send only after a CORS
/// preflight.
const CUSTOM_HEADERS: [HeaderName; 5] =
    [header::RID, X_REQUESTED_WITH, header::AUTH_MODE, header::ANTI_CSRF, header::FDI_VERSION];

/// How requests that another site's page caused are told from the application's own.
///
/// Asked only where the session came by cookie and the method is unsafe, that is, not `GET`, `HEAD`,
/// `OPTIONS` or `TRACE` (RFC 9110, section 9.2.1). So a handler of `GET` must not change anything. The opening of a WebSocket
/// is judged as in [`FetchMetadata`](Self::FetchMetadata) by every mode but [`None`](Self::None).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CsrfMode {
    /// By what the browser says of the request's origin; the default. Needs nothing of the client.
    ///
    /// `Sec-Fetch-Site: same-origin` or `none` passes, any other value only if the `Origin` is allow-listed.
    /// Without the header `Origin` decides: it must be the server's own or allow-listed. With neither, no
    /// browser made the request, and it passes only with a header that no HTML form can send: `rid`,
    /// `X-Requested-With`, `st-auth-mode`, `anti-csrf` or `fdi-version`.
    #[default]
    FetchMetadata,
    /// By the header `rid`, whatever its value, which no HTML form can send.
    ///
    /// Rests on the CORS settings alone: every origin that they allow to send `rid` with credentials is
    /// trusted.
    CustomHeader,
    /// By the header `anti-csrf`, which must hold the token that was sent to the page with the session's
    /// tokens.
    ///
    /// The client has to keep it; the `supertokens-website` library does.
    Token,
    /// Not at all. Every site can act in the name of the user, as far as [`SameSite`] lets it; refused
    /// together with [`SameSite::None`].
    None,
}

/// How cross-site requests are recognised, and which origins may make them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CsrfConfig {
    /// The defence: [`CsrfMode::FetchMetadata`].
    pub(crate) mode: CsrfMode,
    /// Other origins whose pages may use the session: none.
    ///
    /// Each of them can do all that the user can.
    pub(crate) allowed_origins: Vec<Origin>,
    /// The origins that this server has in the eyes of browsers: empty, which means the host that the request
    /// names.
    ///
    /// Needed behind a proxy that rewrites `Host`. It also makes the scheme count: a `Host` alone doesn't
    /// tell whether the browser used `http` or `https`.
    pub(crate) public_origins: Vec<Origin>,
}

impl CsrfConfig {
    /// Whether the pages of an origin, as browsers write it, may use the session.
    pub(crate) fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().ok().and_then(Parts::parse).is_some_and(|origin| self.lists(origin))
    }

    fn lists(&self, origin: Parts<'_>) -> bool {
        is_listed(&self.allowed_origins, origin)
    }

    /// Every setting that can't work together with `same_site`, with the reason; empty if all can.
    pub(crate) fn problems(&self, same_site: SameSite) -> Vec<String> {
        let undefended = self.mode == CsrfMode::None && same_site == SameSite::None;
        let problem = "`csrf` is `None` together with `same_site` `None`: every site could act for the user";
        undefended.then(|| problem.to_owned()).into_iter().collect()
    }
}

/// What a request's headers say about who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    /// Not another site's page, or nothing that needs a defence.
    Pass,
    /// Another site's page, or a request that can't show the contrary.
    Refuse,
    /// It depends on the header `anti-csrf`, to be compared with the session's token.
    NeedsToken,
}

/// Judges a request whose session came by cookie.
///
/// Reads only what a browser doesn't let pages forge, and never a forwarded header. `uri` counts for its
/// authority, which HTTP/2 has in the place of `Host`.
pub(crate) fn check(config: &CsrfConfig, method: &Method, headers: &HeaderMap, uri: &Uri) -> Verdict {
    if is_safe(method) {
        // Browsers let any page open a WebSocket, with cookies and without CORS, and no page can add a header to it.
        let passes = !opens_websocket(headers)
            || config.mode == CsrfMode::None
            || passes_fetch_metadata(config, headers, uri);
        return if passes { Verdict::Pass } else { Verdict::Refuse };
    }
    let passes = match config.mode {
        CsrfMode::FetchMetadata => passes_fetch_metadata(config, headers, uri),
        CsrfMode::CustomHeader => headers.contains_key(header::RID),
        CsrfMode::Token => return Verdict::NeedsToken,
        CsrfMode::None => true,
    };
    if passes { Verdict::Pass } else { Verdict::Refuse }
}

/// Judges a login, which another site's page must not cause either: its victim would go on in the attacker's account.
///
/// Unlike with [`check`] no cookie is at stake, so a client that is no browser needs no header to say so, and there is no
/// session yet that a token could belong to. So every mode but [`CsrfMode::None`] judges by what browsers say.
pub(crate) fn check_login(config: &CsrfConfig, method: &Method, headers: &HeaderMap, uri: &Uri) -> Verdict {
    let is_silent = !headers.contains_key(ORIGIN) && !headers.contains_key(SEC_FETCH_SITE);
    let passes = config.mode == CsrfMode::None
        || is_safe(method)
        || is_silent
        || passes_fetch_metadata(config, headers, uri);
    if passes { Verdict::Pass } else { Verdict::Refuse }
}

/// Scheme, host and port of a page or server (RFC 6454).
///
/// Written as browsers write it: `https://app.example.com`, `http://[::1]:3000`; no path, not even `/`. Upper
/// case and a port that the scheme implies are taken off. `null` is no origin: every sandboxed page of every
/// site has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parts(&self) -> Parts<'_> {
        Parts { scheme: &self.scheme, host: &self.host, port: self.port }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match port {
            Some(port) => write!(f, "{scheme}://{host}:{port}"),
            None => write!(f, "{scheme}://{host}"),
        }
    }
}

/// The text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no origin: `https://host` or `https://host:port` expected, no path, an IDN in its `xn--` form",
    .0.escape_debug()
)]
pub(crate) struct InvalidOrigin(String);

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let Parts { scheme, host, port } = Parts::parse(&lower).ok_or_else(|| InvalidOrigin(text.into()))?;
        Ok(Self { scheme: scheme.into(), host: host.into(), port })
    }
}

/// An [`Origin`] borrowed from where it is written; the port is `None` where the scheme implies it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = host_and_port(authority)?;
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_lower && is_scheme(scheme)).then(|| Self { scheme, host, port: explicit_port(scheme, port) })
    }

    /// Whether a request to `authority` comes from this origin, as far as an authority can tell.
    ///
    /// Behind a proxy that ends TLS the server doesn't know the scheme that the browser used, so the port
    /// that the origin's scheme implies stands in where the authority has none. So `http://host` passes for a
    /// page of `https://host`, but only in a browser too old for `Sec-Fetch-Site`. Configured public origins
    /// close this too.
    fn is_at(self, authority: &str) -> bool {
        let is_web = matches!(self.scheme, "http" | "https");
        is_web
            && host_and_port(authority).is_some_and(|(host, port)| {
                self.host.eq_ignore_ascii_case(host) && self.port == explicit_port(self.scheme, port)
            })
    }
}

/// What a request says in a header that browsers send once, in ASCII.
enum Said<'a> {
    Nothing,
    This(&'a str),
    /// More than once, or not in ASCII: no browser's doing.
    Nonsense,
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether the request is an opening handshake by a safe method (RFC 6455, section 4.1). The one of HTTP/2 is a `CONNECT`
/// (RFC 8441), which is unsafe by itself.
fn opens_websocket(headers: &HeaderMap) -> bool {
    let protocols =
        headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    protocols.map(<[u8]>::trim_ascii).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

fn passes_fetch_metadata(config: &CsrfConfig, headers: &HeaderMap, uri: &Uri) -> bool {
    let origin = match said(headers, &ORIGIN) {
        Said::Nonsense => return false,
        Said::Nothing => None,
        Said::This(text) => Some(Parts::parse(text)),
    };
    match (said(headers, &SEC_FETCH_SITE), origin) {
        (Said::Nonsense, _) => false,
        (Said::This("same-origin" | "none"), _) => true,
        (Said::This(_), origin) => origin.flatten().is_some_and(|origin| config.lists(origin)),
        (Said::Nothing, Some(origin)) => {
            origin.is_some_and(|origin| is_own(config, origin, headers, uri) || config.lists(origin))
        }
        (Said::Nothing, None) => CUSTOM_HEADERS.iter().any(|name| headers.contains_key(name)),
    }
}

fn is_own(config: &CsrfConfig, origin: Parts<'_>, headers: &HeaderMap, uri: &Uri) -> bool {
    if config.public_origins.is_empty() {
        authority(headers, uri).is_some_and(|authority| origin.is_at(authority))
    } else {
        is_listed(&config.public_origins, origin)
    }
}

fn is_listed(origins: &[Origin], origin: Parts<'_>) -> bool {
    origins.iter().any(|listed| listed.parts() == origin)
}

/// Where the request went. A target that says so itself overrides `Host` (RFC 9112, section 3.2.2; RFC 9113,
/// section 8.3.1).
fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => header::single(headers, &HOST)?.to_str().ok(),
    }
}

fn said<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Said<'a> {
    if !headers.contains_key(name) {
        return Said::Nothing;
    }
    match header::single(headers, name).map(|value| value.to_str()) {
        Some(Ok(text)) => Said::This(text),
        Some(Err(_)) | None => Said::Nonsense,
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_len = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_len);
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(port(digits)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host(host).then_some((host, port))
}

fn port(digits: &str) -> Option<u16> {
    let is_plain = digits.starts_with(|first: char| matches!(first, '1'..='9'));
    is_plain.then(|| digits.parse().ok())?
}

fn explicit_port(scheme: &str, port: Option<u16>) -> Option<u16> {
    port.filter(|&port| !matches!((scheme, port), ("http", 80) | ("https", 443)))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's own host in the product below, and the one other origin that it trusts.
    const HOST_NAME: &str = "app.example.com";
    const TRUSTED: &str = "https://partner.example";

    /// What the rule calls each value of `Sec-Fetch-Site`.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Site {
        Absent,
        Good,
        Other,
        Broken,
    }

    /// What it calls each value of `Origin`.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Sender {
        Absent,
        Own,
        /// Own by host and port, foreign by scheme, which only configured public origins tell.
        OwnButScheme,
        Trusted,
        Foreign,
        Broken,
    }

    const METHODS: [(&str, bool); 11] = [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("POST", false),
        ("PUT", false),
        ("PATCH", false),
        ("DELETE", false),
        ("CONNECT", false),
        ("PURGE", false),
        ("get", false),
    ];

    const SITES: [(&[&[u8]], Site); 13] = [
        (&[], Site::Absent),
        (&[b"same-origin"], Site::Good),
        (&[b"none"], Site::Good),
        (&[b"same-site"], Site::Other),
        (&[b"cross-site"], Site::Other),
        (&[b"junk"], Site::Other),
        (&[b""], Site::Other),
        (&[b"Same-Origin"], Site::Other),
        (&[b"same-origin, none"], Site::Other),
        (&[b"same-origin;x"], Site::Other),
        (&[b"same-origin\xff"], Site::Broken),
        (&[b"same-origin", b"same-origin"], Site::Broken),
        (&[b"cross-site", b"none"], Site::Broken),
    ];

    const ORIGINS: [(&[&[u8]], Sender); 29] = [
        (&[], Sender::Absent),
        (&[b"https://app.example.com"], Sender::Own),
        (&[b"https://app.example.com:443"], Sender::Own),
        (&[b"http://app.example.com"], Sender::OwnButScheme),
        (&[b"https://partner.example"], Sender::Trusted),
        (&[b"null"], Sender::Foreign),
        (&[b""], Sender::Foreign),
        (&[b"*"], Sender::Foreign),
        (&[b"https://app.example.com:8443"], Sender::Foreign),
        (&[b"https://app.example.com:80"], Sender::Foreign),
        (&[b"http://app.example.com:443"], Sender::Foreign),
        (&[b"ftp://app.example.com"], Sender::Foreign),
        (&[b"https://sub.app.example.com"], Sender::Foreign),
        (&[b"https://example.com"], Sender::Foreign),
        (&[b"https://evil-app.example.com"], Sender::Foreign),
        (&[b"https://evilapp.example.com"], Sender::Foreign),
        (&[b"https://app.example.com.evil.com"], Sender::Foreign),
        (&[b"https://app.example.computer"], Sender::Foreign),
        (&[b"https://app.example.com@evil.com"], Sender::Foreign),
        (&[b"https://evil.com#app.example.com"], Sender::Foreign),
        (&[b"https://app.example.com/"], Sender::Foreign),
        (&[b"https://APP.example.com"], Sender::Foreign),
        (&[b"app.example.com"], Sender::Foreign),
        (&[b"https://partner.example.evil.com"], Sender::Foreign),
        (&[b"http://partner.example"], Sender::Foreign),
        (&[b"https://partner.example:444"], Sender::Foreign),
        (&[b"https://app.example.com\xff"], Sender::Broken),
        (&[b"https://app.example.com", b"https://app.example.com"], Sender::Broken),
        (&[b"https://partner.example", b"null"], Sender::Broken),
    ];

    /// Headers a request may bring along, and whether a form can't send them.
    const EXTRAS: [(Option<&str>, bool); 10] = [
        (None, false),
        (Some("rid"), true),
        (Some("x-requested-with"), true),
        (Some("st-auth-mode"), true),
        (Some("anti-csrf"), true),
        (Some("fdi-version"), true),
        (Some("content-type"), false),
        (Some("x-forwarded-host"), false),
        (Some("x-http-method-override"), false),
        (Some("referer"), false),
    ];

    /// Which sites and origins, whether a custom header is there (if that matters), and whether the request
    /// passes.
    type Line = (&'static [Site], &'static [Sender], Option<bool>, bool);

    /// The rule of `FetchMetadata`, a line per sentence; the first that fits counts.
    const FETCH_METADATA: [Line; 8] = [
        (&[Site::Broken], EVERY_ORIGIN, None, false),
        (EVERY_SITE, &[Sender::Broken], None, false),
        (&[Site::Good], EVERY_ORIGIN, None, true),
        (&[Site::Other], &[Sender::Trusted], None, true),
        (&[Site::Other], EVERY_ORIGIN, None, false),
        (&[Site::Absent], &[Sender::Own, Sender::Trusted], None, true),
        (&[Site::Absent], &[Sender::Absent], Some(true), true),
        (EVERY_SITE, EVERY_ORIGIN, None, false),
    ];
    const EVERY_SITE: &[Site] = &[Site::Absent, Site::Good, Site::Other, Site::Broken];
    const EVERY_ORIGIN: &[Sender] = &[
        Sender::Absent,
        Sender::Own,
        Sender::OwnButScheme,
        Sender::Trusted,
        Sender::Foreign,
        Sender::Broken,
    ];

    fn by_the_table(site: Site, origin: Sender, custom: bool) -> bool {
        let line = FETCH_METADATA.iter().find(|(sites, origins, needs_custom, _)| {
            sites.contains(&site)
                && origins.contains(&origin)
                && needs_custom.is_none_or(|needed| needed == custom)
        });
        line.expect("the last line fits everything").3
    }

    fn config(mode: CsrfMode, public_origins: &[&str]) -> CsrfConfig {
        let origins = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        CsrfConfig { mode, allowed_origins: origins(&[TRUSTED]), public_origins: origins(public_origins) }
    }

    fn request(site: &[&[u8]], origin: &[&[u8]], extra: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(HOST_NAME));
        for value in site {
            headers.append(SEC_FETCH_SITE, HeaderValue::from_bytes(value).unwrap());
        }
        for value in origin {
            headers.append(ORIGIN, HeaderValue::from_bytes(value).unwrap());
        }
        if let Some(name) = extra {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("evil.com"));
        }
        headers
    }

    /// One request of the product, with how the tables above call its parts.
    struct Case {
        method: Method,
        safe: bool,
        headers: HeaderMap,
        site: Site,
        origin: Sender,
        extra: Option<&'static str>,
        custom: bool,
    }

    impl Case {
        fn is_judged(&self, config: &CsrfConfig, expected: Verdict) {
            let verdict = check(config, &self.method, &self.headers, &Uri::from_static("/x"));
            assert_eq!(verdict, expected, "{} {:?} {config:?}", self.method, self.headers);
        }
    }

    fn every_case() -> impl Iterator<Item = Case> {
        METHODS.into_iter().flat_map(|(method, safe)| {
            SITES.into_iter().flat_map(move |(site_values, site)| {
                ORIGINS.into_iter().flat_map(move |(origin_values, origin)| {
                    EXTRAS.into_iter().map(move |(extra, custom)| Case {
                        method: Method::from_bytes(method.as_bytes()).unwrap(),
                        safe,
                        headers: request(site_values, origin_values, extra),
                        site,
                        origin,
                        extra,
                        custom,
                    })
                })
            })
        })
    }

    fn verdict(passes: bool) -> Verdict {
        if passes { Verdict::Pass } else { Verdict::Refuse }
    }

    /// What other headers make of a request that opens a WebSocket, or doesn't.
    const UPGRADES: [(&[&[u8]], bool); 9] = [
        (&[b"websocket"], true),
        (&[b"WebSocket"], true),
        (&[b"h2c, websocket"], true),
        (&[b"h2c", b"\twebsocket "], true),
        (&[b""], false),
        (&[b"h2c"], false),
        (&[b"websocket/13"], false),
        (&[b"websockets"], false),
        (&[b"web socket"], false),
    ];

    /// Cases of a safe and an unsafe method with every such header; `true` for those that open a WebSocket.
    fn every_handshake() -> impl Iterator<Item = (Case, bool)> {
        let extras = [None, Some("rid"), Some("anti-csrf"), Some("referer")];
        let cases = every_case().filter(move |case| {
            [Method::GET, Method::POST].contains(&case.method) && extras.contains(&case.extra)
        });
        cases.flat_map(|case| {
            UPGRADES.into_iter().map(move |(upgrades, opens)| {
                let mut headers = case.headers.clone();
                for value in upgrades {
                    headers.append(UPGRADE, HeaderValue::from_bytes(value).unwrap());
                }
                (Case { method: case.method.clone(), headers, ..case }, case.safe && opens)
            })
        })
    }

    #[test]
    fn a_websocket_is_opened_by_the_table_whatever_else_the_mode_asks_for() {
        for mode in [CsrfMode::FetchMetadata, CsrfMode::CustomHeader, CsrfMode::Token, CsrfMode::None] {
            let config = config(mode, &["https://app.example.com"]);
            for (case, _) in every_handshake().filter(|(_, opens)| *opens) {
                let origin = if case.origin == Sender::OwnButScheme { Sender::Foreign } else { case.origin };
                let passes = mode == CsrfMode::None || by_the_table(case.site, origin, case.custom);
                case.is_judged(&config, verdict(passes));
            }
        }
    }

    #[test]
    fn a_request_that_opens_no_websocket_is_judged_as_if_it_asked_for_no_upgrade() {
        for mode in [CsrfMode::FetchMetadata, CsrfMode::CustomHeader, CsrfMode::Token, CsrfMode::None] {
            let config = config(mode, &[]);
            for (case, _) in every_handshake().filter(|(_, opens)| !opens) {
                let mut plain = case.headers.clone();
                plain.remove(UPGRADE);
                case.is_judged(&config, check(&config, &case.method, &plain, &Uri::from_static("/x")));
            }
        }
    }

    #[test]
    fn fetch_metadata_judges_every_request_as_the_table_says() {
        let by_host = config(CsrfMode::FetchMetadata, &[]);
        let by_origin = config(CsrfMode::FetchMetadata, &["https://app.example.com"]);
        for case in every_case() {
            for (config, other_scheme) in [(&by_host, Sender::Own), (&by_origin, Sender::Foreign)] {
                let origin = if case.origin == Sender::OwnButScheme { other_scheme } else { case.origin };
                let passes = case.safe || by_the_table(case.site, origin, case.custom);
                case.is_judged(config, verdict(passes));
            }
        }
    }

    #[test]
    fn custom_header_asks_for_rid_and_nothing_else() {
        let config = config(CsrfMode::CustomHeader, &[]);
        for case in every_case() {
            case.is_judged(&config, verdict(case.safe || case.extra == Some("rid")));
        }
    }

    #[test]
    fn token_asks_for_the_token_whatever_else_the_request_says() {
        let config = config(CsrfMode::Token, &[]);
        for case in every_case() {
            case.is_judged(&config, if case.safe { Verdict::Pass } else { Verdict::NeedsToken });
        }
    }

    #[test]
    fn none_passes_everything() {
        let config = config(CsrfMode::None, &[]);
        every_case().for_each(|case| case.is_judged(&config, Verdict::Pass));
    }

    /// A `POST` by a browser that sends no `Sec-Fetch-Site`.
    fn passes_from(origin: &str, hosts: &[&str], uri: &str, config: &CsrfConfig) -> bool {
        let mut headers = request(&[], &[origin.as_bytes()], None);
        headers.remove(HOST);
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        check(config, &Method::POST, &headers, &uri.parse().unwrap()) == Verdict::Pass
    }

    #[test]
    fn the_own_origin_is_that_of_the_host() {
        let config = config(CsrfMode::FetchMetadata, &[]);
        let from = |origin, host| passes_from(origin, &[host], "/x", &config);
        assert!(from("https://a.example", "a.example"));
        assert!(from("https://a.example", "A.Example"));
        assert!(from("https://a.example", "a.example:443"));
        assert!(from("http://a.example", "a.example:80"));
        assert!(from("http://localhost:3000", "localhost:3000"));
        assert!(from("http://127.0.0.1:3000", "127.0.0.1:3000"));
        assert!(from("http://[::1]:3000", "[::1]:3000"));
        assert!(from("http://[::1]", "[::1]"));
        assert!(!from("https://a.example", "a.example:80"));
        assert!(!from("https://a.example", "a.example:8443"));
        assert!(!from("https://a.example:8443", "a.example"));
        assert!(!from("http://localhost:3001", "localhost:3000"));
        assert!(!from("http://[::1]:3000", "[::2]:3000"));
        assert!(!from("capacitor://localhost", "localhost"));
    }

    #[test]
    fn a_host_that_makes_no_sense_is_nobodys_origin() {
        let config = config(CsrfMode::FetchMetadata, &[]);
        for hosts in [
            &[][..],
            &[""],
            &["a.example", "a.example"],
            &["user@a.example"],
            &["a.example:"],
            &["a.example:+443"],
            &["a.example:0443"],
            &["a.example:443:443"],
            &["a.example/"],
            &["a.example, b.example"],
            &["ä.example"],
        ] {
            assert!(!passes_from("https://a.example", hosts, "/x", &config), "{hosts:?}");
        }
    }

    #[test]
    fn the_authority_of_the_target_overrides_the_host() {
        let config = config(CsrfMode::FetchMetadata, &[]);
        assert!(passes_from("https://a.example", &[], "https://a.example/x", &config));
        assert!(passes_from("https://a.example", &["b.example"], "https://a.example/x", &config));
        assert!(!passes_from("https://b.example", &["b.example"], "https://a.example/x", &config));
        assert!(!passes_from("https://a.example", &["a.example"], "https://user@a.example/x", &config));
    }

    #[test]
    fn configured_public_origins_count_in_the_place_of_the_host() {
        let config = config(CsrfMode::FetchMetadata, &["https://shop.example:8443"]);
        assert!(passes_from("https://shop.example:8443", &["internal:3000"], "/x", &config));
        assert!(!passes_from("http://shop.example:8443", &["shop.example:8443"], "/x", &config));
        assert!(!passes_from("http://internal:3000", &["internal:3000"], "/x", &config));
    }

    #[test]
    fn an_origin_is_read_strictly_and_written_as_browsers_write_it() {
        for (text, written) in [
            ("https://a.example", "https://a.example"),
            ("HTTPS://A.Example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("https://a.example:80", "https://a.example:80"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1:65535", "http://127.0.0.1:65535"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), written);
        }
        for text in [
            "",
            "null",
            "*",
            "https://",
            "https://*.example",
            "a.example",
            "//a.example",
            "://a.example",
            "1http://a.example",
            "https://a.example/",
            "https://a.example?x",
            "https://user@a.example",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+80",
            "https://a.example:080",
            "https://[::1",
            "https://[::1]x",
            "https://[]",
            "https://[a.example]",
            "https://::1",
            "https://bücher.example",
            "https://a.example ",
            " https://a.example",
            "https://a.example https://b.example",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin(text.into())));
        }
    }

    #[test]
    fn no_defence_with_cookies_for_every_site_is_a_problem() {
        for mode in [CsrfMode::FetchMetadata, CsrfMode::CustomHeader, CsrfMode::Token, CsrfMode::None] {
            for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
                let expected = usize::from(mode == CsrfMode::None && same_site == SameSite::None);
                assert_eq!(config(mode, &[]).problems(same_site).len(), expected, "{mode:?} {same_site:?}");
            }
        }
    }
}
