//! What the compiler checks of a table: one constant computes the verdicts on all routes.
//!
//! axum 0.8 routes with `matchit` 0.8, which takes a path for a string of bytes, captures and catch-alls. Two paths
//! conflict when these strings are equal, or first differ at a capture against a catch-all; axum merges methods
//! only under one text. Each of these cases is one look into an open-addressing table of hashes; bytes are compared
//! only before an error, so that no collision makes one.

use super::{
    Method, RouteInfo,
    hash::Wild,
    kind::RouteKind,
    message::Message,
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
}

/// A size for the table in [`verdicts`]: it stays at most half full.
#[doc(hidden)]
pub const fn capacity(infos: &[RouteInfo]) -> usize {
    let mut entries = 1;
    let mut at = 0;
    while at < infos.len() {
        // One for the path, one for the handler, one for each capture.
        entries += 2 + infos[at].hashes.wilds.len();
        at += 1;
    }
    (entries * 2).next_power_of_two()
}

/// The verdicts on `infos`, by the routes' positions in a table of `N`.
#[doc(hidden)]
pub const fn verdicts<const N: usize, const CAPACITY: usize>(infos: &[RouteInfo]) -> [Verdict; N] {
    let mut seen = Seen::<CAPACITY>::new();
    let mut verdicts = [Verdict::Sound; N];
    let refresh = first_refresh(infos);
    let mut at = 0;
    while at < infos.len() {
        let mut verdict = of_route(infos, at, refresh);
        if matches!(verdict, Verdict::Sound) && infos[at].is_routed {
            verdict = seen.add(infos, at);
        }
        verdicts[infos[at].position] = verdict;
        at += 1;
    }
    verdicts
}

/// Whether axum's router refuses one of these valid paths beside the other. Leaks memory: for tests.
#[doc(hidden)]
pub fn conflict(path: &'static str, other: &'static str) -> bool {
    let bare = |position, path| RouteInfo::bare(Method::GET, "", path, RouteKind::Public, position);
    let infos = [bare(0, path), bare(1, other)];
    !matches!(verdicts::<2, 128>(&infos), [Verdict::Sound, Verdict::Sound])
}

const fn first_refresh(infos: &[RouteInfo]) -> Option<usize> {
    let mut at = 0;
    while at < infos.len() {
        if matches!(infos[at].kind, RouteKind::Refresh) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The verdict that needs no other route than the refresh endpoint.
const fn of_route(infos: &[RouteInfo], at: usize, refresh: Option<usize>) -> Verdict {
    let info = &infos[at];
    if !info.is_annotated {
        return Verdict::NotAnnotated;
    }
    if !info.has_path {
        return Verdict::NoPath;
    }
    match refresh {
        None if info.kind.needs_refresh() => Verdict::NoRefresh,
        Some(first) if first != at && matches!(info.kind, RouteKind::Refresh) => {
            Verdict::SecondRefresh(first)
        }
        Some(first) if first != at && gets_refresh_cookie(info, &infos[first]) => {
            Verdict::BelowRefresh(first)
        }
        _ => Verdict::Sound,
    }
}

/// RFC 6265, section 5.1.4, as far as the text of a path tells it. An equal path and method is a duplicate instead.
const fn gets_refresh_cookie(info: &RouteInfo, refresh: &RouteInfo) -> bool {
    if !info.is_routed || !refresh.is_routed {
        return false;
    }
    let mut path = Tokens::new(info.prefix, info.path);
    let mut cookie = Tokens::new(refresh.prefix, refresh.path);
    while let Some(expected) = cookie.next() {
        match path.next() {
            Some(token) if token.is(expected) => {}
            _ => return false,
        }
    }
    match path.next() {
        Some(token) => token.is(Token::SLASH),
        None => !info.method.is(refresh.method),
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
        while at < info.hashes.wilds.len() {
            verdict = verdict.or(self.add_wild(infos, route, info.hashes.wilds[at]));
            at += 1;
        }
        self.add_path(infos, route).or(verdict)
    }

    const fn add_handler(&mut self, infos: &[RouteInfo], route: usize) -> Verdict {
        let info = &infos[route];
        let hash = info.handler_hash;
        let mut slot = Slot::new(hash, CAPACITY);
        while let Some(entry) = self.entries[slot.at] {
            if entry.is(hash, What::Handler) && infos[entry.route].is_same_handler(info) {
                return Verdict::Twice(entry.route);
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
        let method = info.method.bit();
        let hash = info.hashes.tokens.after(info.prefix_hash).value;
        let mut slot = Slot::new(hash, CAPACITY);
        while let Some(entry) = self.entries[slot.at] {
            if entry.is(hash, What::Path) {
                let first = &infos[entry.route];
                let is_other_text = first.text_hash() != info.text_hash();
                if is_other_text && matches!(first.relation(info), Relation::Same) {
                    return Verdict::OtherNames(entry.route);
                }
                if entry.methods & method != 0 && first.has_text_of(info) {
                    return Verdict::Taken(find_same(infos, route));
                }
                if !is_other_text {
                    self.entries[slot.at] = Some(Entry { methods: entry.methods | method, ..entry });
                    return Verdict::Sound;
                }
            }
            slot.advance();
        }
        self.entries[slot.at] = Some(Entry { hash, what: What::Path, route, methods: method });
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
        let same_method = infos[at].method.is(infos[route].method);
        if infos[at].is_routed && same_method && infos[at].has_text_of(&infos[route]) {
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

    /// The compile error for the route at `position`, if it has one.
    pub const fn message(self, infos: &[RouteInfo], position: usize) -> Option<Message> {
        if matches!(self, Self::Sound) {
            return None;
        }
        let info = find(infos, position);
        let text = Message::new();
        Some(match self {
            Self::Sound => return None,
            Self::NotAnnotated => {
                let text = text
                    .text("`")
                    .text(info.handler)
                    .text("` has no attribute, so nothing says who may call it\n");
                text.text("help: put `#[protected(GET \"/path\")]` above it, or `#[public(GET \"/path\")]`")
            }
            Self::NoPath => {
                let text = text.text("the attribute of `").text(info.handler).text("` names no path\n");
                text.text("help: `#[")
                    .text(info.attribute())
                    .text("(")
                    .text(info.method.as_str())
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
                text.text("help: list a handler with `#[refresh_endpoint(POST \"/refresh\")]`")
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
        })
    }
}

/// The info of the route at `position`: routes before it may be compiled out.
const fn find(infos: &[RouteInfo], position: usize) -> &RouteInfo {
    let mut at = 0;
    while infos[at].position != position {
        at += 1;
    }
    &infos[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 512;

    fn of(routes: &[(Method, &'static str, &'static str, RouteKind)]) -> Vec<Verdict> {
        let info =
            |(position, &(method, prefix, path, kind)): (usize, &(Method, &'static str, &'static str, _))| {
                RouteInfo::bare(method, prefix, path, kind, position)
            };
        let infos: Vec<_> = routes.iter().enumerate().map(info).collect();
        assert!(capacity(&infos) <= CAPACITY);
        verdicts::<16, CAPACITY>(&infos)[..infos.len()].to_vec()
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
}
