//! What the compiler checks of a table: one constant computes the verdicts on all routes.
//!
//! axum 0.8 routes with `matchit` 0.8, which takes a path for a string of bytes, captures and catch-alls. Two paths
//! conflict when these strings are equal, or first differ at a capture against a catch-all; axum merges methods
//! only under one text. Each of these cases is one look into an open-addressing table of hashes; bytes are compared
//! only before an error, so that no collision makes one.

use super::{
    Method,
    hash::Wild,
    info::RouteInfo,
    kind::RouteKind,
    message::Message,
    part::SERVICE_PATHS,
    tokens::{Relation, Token, Tokens},
};

/// What is wrong with one route of a table.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Sound,
    /// The name is that of a function without an attribute.
    NotAnnotated,
    /// The attribute names no path.
    NoPath,
    /// Another route has this method and this path.
    Taken(usize),
    /// Another route's path differs in the names of captures only.
    OtherNames(usize),
    /// Another route has a catch-all where this one has a capture, or the reverse.
    Clash(usize),
    /// The handler is listed before.
    Twice(usize),
    /// The handler makes or needs sessions that nothing can refresh.
    NoRefresh,
    /// There is a refresh endpoint before.
    SecondRefresh(usize),
    /// The refresh cookie would be sent to this route.
    BelowRefresh(usize),
    /// The service takes everything below a path above the refresh endpoint's.
    AroundRefresh(usize),
}

/// What is wrong with an entry of a table, and with which of its routes.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    route: usize,
}

/// What a table has to have.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// A refresh endpoint, if its routes use sessions: `routes!`.
    Complete,
    /// Nothing: `route_group!`.
    Partial,
}

/// A size for the table in [`verdicts`]: it stays at most half full.
#[doc(hidden)]
pub const fn capacity(infos: &[RouteInfo]) -> usize {
    let mut entries = 1;
    let mut at = 0;
    while at < infos.len() {
        // One for the path, one for the handler, one for each capture.
        entries += 2 + infos[at].path.hashes.wilds.len();
        at += 1;
    }
    (entries * 2).next_power_of_two()
}

/// The findings on `infos`, by the positions of their entries in a table of `N` entries.
///
/// A finding is with the later of two routes. An included table has its own findings on what it holds.
///
/// rustc takes about a microsecond for each step of this, so the way of a sound route is a short one, with few calls.
#[doc(hidden)]
pub const fn verdicts<const N: usize, const CAPACITY: usize>(
    infos: &[RouteInfo],
    completeness: Completeness,
) -> [Finding; N] {
    let mut seen = Seen::<CAPACITY>::new();
    let mut findings = [Finding { verdict: Verdict::Sound, route: 0 }; N];
    let refresh = first_refresh(infos);
    let mut at = 0;
    while at < infos.len() {
        let info = &infos[at];
        let mut verdict = of_route(infos, at, refresh, completeness);
        if matches!(verdict, Verdict::Sound) && info.path.is_routed {
            verdict = seen.add(infos, at);
        }
        if !matches!(verdict, Verdict::Sound) {
            let is_first = matches!(findings[info.position].verdict, Verdict::Sound);
            if is_first && verdict.is_new(infos, at) {
                findings[info.position] = Finding { verdict, route: at };
            }
        }
        at += 1;
    }
    findings
}

/// Whether axum's router refuses to hold these valid routes together, each of a method, a prefix and a path; without a
/// method it is a service at the prefix. Leaks memory: for tests.
#[doc(hidden)]
pub fn conflict(routes: &[(Option<Method>, &'static str, &'static str)]) -> bool {
    let mut infos = Vec::new();
    for (position, (method, prefix, path)) in routes.iter().enumerate() {
        let mut push = |path| infos.push(RouteInfo::bare(*method, prefix, path, RouteKind::Public, position));
        match method {
            Some(_) => push(path),
            None => SERVICE_PATHS.iter().for_each(|path| push(path.text)),
        }
    }
    assert!(routes.len() <= 16 && capacity(&infos) <= 1024, "more routes than a test should need");
    let findings = verdicts::<16, 1024>(&infos, Completeness::Complete);
    findings.iter().any(|finding| finding.verdict != Verdict::Sound)
}

const fn first_refresh(infos: &[RouteInfo]) -> Option<usize> {
    let mut at = 0;
    while at < infos.len() {
        if matches!(infos[at].shown.kind, RouteKind::Refresh) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The verdict that needs no other route than the refresh endpoint.
const fn of_route(
    infos: &[RouteInfo],
    at: usize,
    refresh: Option<usize>,
    completeness: Completeness,
) -> Verdict {
    let info = &infos[at];
    if !info.spec.is_annotated {
        return Verdict::NotAnnotated;
    }
    if !info.spec.has_path && !info.is_service() {
        return Verdict::NoPath;
    }
    match refresh {
        None if info.shown.kind.needs_refresh() && matches!(completeness, Completeness::Complete) => {
            Verdict::NoRefresh
        }
        Some(first) if first != at && matches!(info.shown.kind, RouteKind::Refresh) => {
            Verdict::SecondRefresh(first)
        }
        Some(first) if first != at && gets_refresh_cookie(info, &infos[first]) => {
            Verdict::BelowRefresh(first)
        }
        Some(first) if info.is_service_rest() && is_below(&infos[first], info.prefix) => {
            Verdict::AroundRefresh(first)
        }
        _ => Verdict::Sound,
    }
}

/// RFC 6265, section 5.1.4, as far as the text of a path tells it. An equal path and method is a duplicate instead.
const fn gets_refresh_cookie(info: &RouteInfo, refresh: &RouteInfo) -> bool {
    let (prefix, path) = (info.prefix.as_bytes(), info.path.text.as_bytes());
    let (cookie_prefix, cookie_path) = (refresh.prefix.as_bytes(), refresh.path.text.as_bytes());
    let (len, cookie_len) = (prefix.len() + path.len(), cookie_prefix.len() + cookie_path.len());
    if len < cookie_len || !info.path.is_routed || !refresh.path.is_routed {
        return false;
    }
    // A refresh path has no captures. From the end, where paths differ sooner.
    let mut at = cookie_len;
    while at > 0 {
        at -= 1;
        let expected =
            if at < cookie_prefix.len() { cookie_prefix[at] } else { cookie_path[at - cookie_prefix.len()] };
        let found = if at < prefix.len() { prefix[at] } else { path[at - prefix.len()] };
        if found != expected {
            return false;
        }
    }
    if len == cookie_len { !info.shares_method_with(refresh) } else { info.byte(cookie_len) == b'/' }
}

/// Whether the path of `info` begins with the segments of `prefix`.
const fn is_below(info: &RouteInfo, prefix: &str) -> bool {
    let mut path = info.tokens();
    let mut above = Tokens::new(prefix, "");
    while let Some(expected) = above.next() {
        match path.next() {
            Some(token) if token.is(expected) => {}
            _ => return false,
        }
    }
    match path.next() {
        Some(token) => token.is(Token::SLASH),
        None => false,
    }
}

/// The routes looked at so far, by hash.
struct Seen<const CAPACITY: usize> {
    entries: [Option<Entry>; CAPACITY],
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    what: What,
    route: usize,
    /// The methods under this path; for a path only.
    methods: u16,
}

#[derive(Clone, Copy)]
enum What {
    Handler,
    Path,
    /// The tokens before a capture or catch-all.
    Capture,
    CatchAll,
}

impl<const CAPACITY: usize> Seen<CAPACITY> {
    const fn new() -> Self {
        Self { entries: [None; CAPACITY] }
    }

    const fn add(&mut self, infos: &[RouteInfo], route: usize) -> Verdict {
        let info = &infos[route];
        let mut verdict = self.add_handler(infos, route);
        let mut at = 0;
        while at < info.path.hashes.wilds.len() {
            verdict = verdict.or(self.add_wild(infos, route, info.path.hashes.wilds[at]));
            at += 1;
        }
        self.add_path(infos, route).or(verdict)
    }

    const fn add_handler(&mut self, infos: &[RouteInfo], route: usize) -> Verdict {
        let info = &infos[route];
        // Handlers of one path are told apart below.
        let hash = info.spec.path.hashes.text.value;
        let mut slot = Slot::new(hash, CAPACITY);
        while let Some(entry) = self.entries[slot.at] {
            if entry.is(hash, What::Handler) {
                let other = &infos[entry.route];
                // A service is there with several paths by one entry.
                if other.position != info.position && other.is_same_handler(info) {
                    return Verdict::Twice(entry.route);
                }
            }
            slot.advance();
        }
        self.entries[slot.at] = Some(Entry { hash, what: What::Handler, route, methods: 0 });
        Verdict::Sound
    }

    const fn add_wild(&mut self, infos: &[RouteInfo], route: usize, wild: Wild) -> Verdict {
        let (what, other) = match wild.is_catch_all {
            true => (What::CatchAll, What::Capture),
            false => (What::Capture, What::CatchAll),
        };
        let hash = wild.before.after(infos[route].prefix_hash).value;
        let mut slot = Slot::new(hash, CAPACITY);
        while let Some(entry) = self.entries[slot.at] {
            if entry.is(hash, what) {
                return Verdict::Sound;
            }
            if entry.is(hash, other) && matches!(infos[entry.route].relation(&infos[route]), Relation::Clash)
            {
                return Verdict::Clash(entry.route);
            }
            slot.advance();
        }
        self.entries[slot.at] = Some(Entry { hash, what, route, methods: 0 });
        Verdict::Sound
    }

    const fn add_path(&mut self, infos: &[RouteInfo], route: usize) -> Verdict {
        let info = &infos[route];
        let methods = info.methods();
        let hash = info.tokens_hash();
        let mut slot = Slot::new(hash, CAPACITY);
        while let Some(entry) = self.entries[slot.at] {
            if entry.is(hash, What::Path) {
                let first = &infos[entry.route];
                let is_other_text = first.text_hash() != info.text_hash();
                if is_other_text && matches!(first.relation(info), Relation::Same) {
                    return match first.is_service() || info.is_service() {
                        true => Verdict::Taken(entry.route),
                        false => Verdict::OtherNames(entry.route),
                    };
                }
                if entry.methods & methods != 0 && first.has_text_of(info) {
                    return Verdict::Taken(find_same(infos, route));
                }
                if !is_other_text {
                    self.entries[slot.at] = Some(Entry { methods: entry.methods | methods, ..entry });
                    return Verdict::Sound;
                }
            }
            slot.advance();
        }
        self.entries[slot.at] = Some(Entry { hash, what: What::Path, route, methods });
        Verdict::Sound
    }
}

impl Entry {
    const fn is(&self, hash: u64, what: What) -> bool {
        self.hash == hash && self.what as u8 == what as u8
    }
}

/// A place in the table; the next one where it is taken.
struct Slot {
    at: usize,
    mask: usize,
}

impl Slot {
    const fn new(hash: u64, capacity: usize) -> Self {
        let mask = capacity - 1;
        Self { at: (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask, mask }
    }

    const fn advance(&mut self) {
        self.at = (self.at + 1) & self.mask;
    }
}

/// The first route with the method and path of `route`. Runs once for an error, so it may search.
const fn find_same(infos: &[RouteInfo], route: usize) -> usize {
    let mut at = 0;
    while at < route {
        let shares_method = infos[at].shares_method_with(&infos[route]);
        if infos[at].path.is_routed && shares_method && infos[at].has_text_of(&infos[route]) {
            return at;
        }
        at += 1;
    }
    route
}

impl Verdict {
    const fn or(self, other: Self) -> Self {
        if matches!(self, Self::Sound) { other } else { self }
    }

    /// Whether this is not the business of an included table, which tells it where it stands.
    const fn is_new(self, infos: &[RouteInfo], route: usize) -> bool {
        let info = &infos[route];
        match self {
            Self::Sound => false,
            Self::NotAnnotated | Self::NoPath => !info.is_included,
            Self::NoRefresh => true,
            Self::Taken(other)
            | Self::OtherNames(other)
            | Self::Clash(other)
            | Self::Twice(other)
            | Self::SecondRefresh(other)
            | Self::BelowRefresh(other)
            | Self::AroundRefresh(other) => infos[other].position != info.position,
        }
    }

    const fn message(self, infos: &[RouteInfo], info: &RouteInfo) -> Message {
        let text = Message::new();
        match self {
            Self::Sound => text,
            Self::NotAnnotated => {
                let text = text
                    .text("`")
                    .text(info.handler())
                    .text("` has no attribute, so nothing says who may call it\n");
                text.text("help: put `#[protected(GET \"/path\")]` above it, or `#[public(GET \"/path\")]`")
            }
            Self::NoPath => {
                let text = text.text("the attribute of `").text(info.handler()).text("` names no path\n");
                text.text("help: `#[")
                    .text(info.attribute())
                    .text("(")
                    .text(info.method_name())
                    .text(" \"/path\")]`")
            }
            Self::Taken(other) => {
                let text = info.write_route(text.text("`")).text("` has two handlers: ");
                let text = info.write_handler(infos[other].write_handler(text).text(" and "));
                text.text("\nhelp: give one of them another path or method")
            }
            Self::OtherNames(other) => {
                let text = infos[other].write_path(info.write_path(text.text("`")).text("` and `"));
                let text = text.text("` are one path with other names: ");
                let text = info.write_handler(infos[other].write_handler(text).text(" and "));
                infos[other].write_path(text.text("\nhelp: write both as `")).text("`")
            }
            Self::Clash(other) => {
                let text = infos[other].write_path(info.write_path(text.text("`")).text("` and `"));
                let text = text.text("` have a capture and a catch-all in one place: ");
                let text = info.write_handler(infos[other].write_handler(text).text(" and "));
                text.text("\nhelp: put a literal segment before one of them")
            }
            Self::Twice(other) => {
                let text = info.write_handler(text).text(" is listed twice, as `");
                let text = info.write_route(infos[other].write_route(text).text("` and as `"));
                text.text("`\nhelp: remove one of them")
            }
            Self::NoRefresh => {
                let text = info.write_handler(text).text(" uses sessions, but no route refreshes them\n");
                let text = text.text("help: list a handler with `#[refresh_endpoint(POST \"/refresh\")]`");
                text.text("; a part of another table is a `route_group!`")
            }
            Self::SecondRefresh(other) => {
                let text = text.text("two refresh endpoints: ");
                let text = info.write_handler(infos[other].write_handler(text).text(" and "));
                text.text("\nhelp: keep one; its path is the path of the refresh cookie")
            }
            Self::BelowRefresh(other) => {
                let text = info.write_route(text.text("`")).text("` of ");
                let text =
                    info.write_handler(text).text(" would be sent the refresh token, whose cookie is for `");
                let text = infos[other].write_path(text).text("` of ");
                let text = infos[other].write_handler(text);
                infos[other].write_path(text.text("\nhelp: give it a path outside `")).text("`")
            }
            Self::AroundRefresh(other) => {
                let text = info.write_handler(text.text("the service ")).text(" takes all below `");
                let text = text
                    .text(info.prefix)
                    .text("`, even what is sent the refresh token, whose cookie is for `");
                let text = infos[other].write_path(text).text("` of ");
                let text = infos[other].write_handler(text);
                text.text("\nhelp: give one of them another path")
            }
        }
    }
}

/// Panics with the compile error of an entry, if it has one. rustc shows the error where this is called.
#[doc(hidden)]
#[track_caller]
pub const fn check(findings: &[Finding], infos: &[RouteInfo], entry: usize) {
    let Finding { verdict, route } = findings[entry];
    // The message is a large value, which would take rustc longer to lay out than all the rest.
    if !matches!(verdict, Verdict::Sound) {
        panic!("{}", verdict.message(infos, &infos[route]).as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::hash::Hashes;

    const CAPACITY: usize = 512;

    fn of(routes: &[(Method, &'static str, &'static str, RouteKind)]) -> Vec<Verdict> {
        let info =
            |(position, &(method, prefix, path, kind)): (usize, &(Method, &'static str, &'static str, _))| {
                RouteInfo::bare(Some(method), prefix, path, kind, position)
            };
        let infos: Vec<_> = routes.iter().enumerate().map(info).collect();
        assert!(capacity(&infos) <= CAPACITY);
        of_infos(&infos, Completeness::Complete)
    }

    fn of_infos(infos: &[RouteInfo], completeness: Completeness) -> Vec<Verdict> {
        let entries = infos.iter().map(|info| info.position + 1).max().unwrap_or(0);
        let findings = verdicts::<16, CAPACITY>(infos, completeness);
        findings[..entries].iter().map(|finding| finding.verdict).collect()
    }

    /// The routes of a service at `prefix`.
    fn service(prefix: &'static str, position: usize) -> [RouteInfo; 3] {
        SERVICE_PATHS.map(|path| RouteInfo::bare(None, prefix, path.text, RouteKind::Public, position))
    }

    fn public(paths: &[&'static str]) -> Vec<Verdict> {
        of(&paths.iter().map(|path| (Method::GET, "", *path, RouteKind::Public)).collect::<Vec<_>>())
    }

    #[test]
    fn paths_that_the_router_holds_together_are_sound() {
        let paths =
            ["/", "/a", "/a/", "/{x}", "/a/{x}", "/a/b", "/a/b/{*rest}", "/a/{x}/{y}", "/{{x}}", "/a-{x}"];
        assert_eq!(public(&paths), [Verdict::Sound; 10]);
    }

    #[test]
    fn a_capture_against_a_catch_all_clashes_in_either_order() {
        assert_eq!(public(&["/a/{x}", "/a/{*y}"])[1], Verdict::Clash(0));
        assert_eq!(public(&["/a/{*y}", "/a/{x}/b"])[1], Verdict::Clash(0));
    }

    #[test]
    fn captures_of_other_names_are_refused_even_for_another_method() {
        let routes =
            [(Method::GET, "", "/{x}", RouteKind::Public), (Method::POST, "", "/{y}", RouteKind::Public)];
        assert_eq!(of(&routes)[1], Verdict::OtherNames(0));
    }

    #[test]
    fn methods_share_a_path_once_each() {
        let at = |method| (method, "", "/a", RouteKind::Public);
        let routes = [at(Method::GET), at(Method::POST), at(Method::HEAD), at(Method::POST)];
        assert_eq!(of(&routes), [Verdict::Sound, Verdict::Sound, Verdict::Sound, Verdict::Taken(1)]);
    }

    #[test]
    fn a_prefix_is_part_of_the_path() {
        let routes = [
            (Method::GET, "/api", "/a", RouteKind::Public),
            (Method::GET, "", "/api/a", RouteKind::Public),
            (Method::GET, "", "/a", RouteKind::Public),
        ];
        assert_eq!(of(&routes), [Verdict::Sound, Verdict::Taken(0), Verdict::Sound]);
    }

    #[test]
    fn a_handler_is_listed_once() {
        let once = RouteInfo::bare(Some(Method::GET), "", "/a", RouteKind::Public, 0);
        let mut again = once.under("/api", Hashes::of("/api").text);
        again.position = 1;
        assert_eq!(of_infos(&[once, again], Completeness::Complete), [Verdict::Sound, Verdict::Twice(0)]);
    }

    #[test]
    fn nothing_but_the_refresh_endpoint_is_sent_the_refresh_cookie() {
        let routes = [
            (Method::GET, "/api/refresh", "/all", RouteKind::Public),
            (Method::POST, "/api", "/refresh", RouteKind::Refresh),
            (Method::GET, "/api", "/refresh", RouteKind::Public),
            (Method::GET, "/api", "/refreshed", RouteKind::Public),
            (Method::GET, "/api", "/{refresh}", RouteKind::Public),
            (Method::GET, "", "/refresh/x", RouteKind::Public),
        ];
        let below = Verdict::BelowRefresh(1);
        let sound = Verdict::Sound;
        assert_eq!(of(&routes), [below, sound, below, sound, sound, sound]);
    }

    #[test]
    fn sessions_need_one_refresh_endpoint() {
        let logins =
            [(Method::POST, "", "/login", RouteKind::Login), (Method::GET, "", "/", RouteKind::Public)];
        assert_eq!(of(&logins), [Verdict::NoRefresh, Verdict::Sound]);

        let refresh = |path| (Method::POST, "", path, RouteKind::Refresh);
        assert_eq!(of(&[refresh("/a"), refresh("/b")]), [Verdict::Sound, Verdict::SecondRefresh(0)]);
    }

    #[test]
    fn a_group_needs_no_refresh_endpoint() {
        let info = RouteInfo::bare(Some(Method::GET), "", "/me", RouteKind::Protected, 0);
        assert_eq!(of_infos(&[info], Completeness::Complete), [Verdict::NoRefresh]);
        assert_eq!(of_infos(&[info], Completeness::Partial), [Verdict::Sound]);
    }

    #[test]
    fn a_service_takes_its_prefix_and_all_below_it_for_every_method() {
        for (path, verdict) in [
            ("/assets", Verdict::Taken(0)),
            ("/assets/", Verdict::Taken(1)),
            ("/assets/{*rest}", Verdict::Taken(2)),
            ("/assets/{*path}", Verdict::Taken(2)),
            ("/assets/{id}", Verdict::Clash(2)),
            ("/assets/logo.svg", Verdict::Sound),
            ("/assetsx", Verdict::Sound),
            ("/{page}", Verdict::Sound),
        ] {
            let handler = RouteInfo::bare(Some(Method::GET), "", path, RouteKind::Public, 1);
            let mut infos = service("/assets", 0).to_vec();
            infos.push(handler);
            assert_eq!(of_infos(&infos, Completeness::Complete), [Verdict::Sound, verdict], "{path}");
            infos.rotate_right(1);
            let [service, _] = of_infos(&infos, Completeness::Complete)[..] else { panic!("two entries") };
            assert_eq!(service == Verdict::Sound, verdict == Verdict::Sound, "{path} before the service");
        }
    }

    #[test]
    fn no_service_stands_around_the_refresh_endpoint_or_below_it() {
        let refresh = RouteInfo::bare(Some(Method::POST), "/auth", "/refresh", RouteKind::Refresh, 1);
        for (prefix, verdict) in [
            ("/auth", Verdict::AroundRefresh(3)),
            ("/auth/refresh", Verdict::Taken(3)),
            ("/auth/refresh/x", Verdict::BelowRefresh(3)),
            ("/auth/ref", Verdict::Sound),
            ("/other", Verdict::Sound),
        ] {
            let mut infos = service(prefix, 0).to_vec();
            infos.push(refresh);
            let findings = of_infos(&infos, Completeness::Complete);
            let found = match verdict {
                // The later of the two is told.
                Verdict::Taken(_) => findings[1] == Verdict::Taken(0) || findings[0] != Verdict::Sound,
                _ => findings[0] == verdict,
            };
            assert!(found, "{prefix}: {findings:?}");
        }
    }

    #[test]
    fn what_an_included_table_was_told_already_is_not_told_again() {
        let of = |path, position| RouteInfo::bare(Some(Method::GET), "", path, RouteKind::Public, position);
        let infos = [of("/a", 0), of("/a", 0), of("/b", 1), of("/b", 2)];
        assert_eq!(
            of_infos(&infos, Completeness::Complete),
            [Verdict::Sound, Verdict::Sound, Verdict::Taken(2)]
        );
    }
}
