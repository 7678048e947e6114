//! From the entries of a table to its routes: tables are put into one another at compile time.

use std::marker::PhantomData;

use super::{
    Endpoint, PathSpec, RouteGroup, Routes, Table,
    hash::{Hash, Hashes},
    info::RouteInfo,
};

/// An entry of a table.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// A handler: [`RouteInfo::listed`].
    Route(RouteInfo),
    /// A service, or another table.
    Several {
        /// Their routes, as they are without this table.
        infos: &'static [RouteInfo],
        /// What is put before their paths.
        prefix: &'static str,
        /// Its hash.
        prefix_hash: Hash,
        /// The place of the entry.
        position: usize,
        /// Whether another table has checked them.
        is_included: bool,
    },
}

impl Part {
    /// The service that `E` describes.
    pub const fn service<E: Endpoint>(position: usize) -> Self {
        let infos = Service::<E>::INFOS;
        Self::Several { infos, prefix: "", prefix_hash: Hash::EMPTY, position, is_included: false }
    }

    /// Another table.
    pub const fn table<S>(table: &'static Table<S>, position: usize) -> Self {
        let infos = table.infos;
        Self::Several { infos, prefix: "", prefix_hash: Hash::EMPTY, position, is_included: true }
    }

    /// This entry under `prefix`.
    #[must_use]
    pub const fn under(self, prefix: &'static str, prefix_hash: Hash) -> Self {
        match self {
            Self::Route(info) => Self::Route(info.under(prefix, prefix_hash)),
            Self::Several { infos, position, is_included, .. } => {
                Self::Several { infos, prefix, prefix_hash, position, is_included }
            }
        }
    }
}

/// Something that a table includes. Only tables have [`table`](Included::<Routes<()>>::table).
#[doc(hidden)]
#[derive(Debug)]
pub struct Included<T: 'static>(pub &'static T);

impl<S> Included<Routes<S>> {
    /// What there is to include.
    pub const fn table(&self) -> &'static Table<S> {
        &self.0.0
    }
}

impl<S> Included<RouteGroup<S>> {
    /// What there is to include.
    pub const fn table(&self) -> &'static Table<S> {
        &self.0.0
    }
}

/// The paths of a service below its prefix.
pub(super) const SERVICE_PATHS: [&PathSpec; 3] = [
    PathSpec::ROOT,
    &PathSpec { text: "/", hashes: Hashes::SLASH, is_routed: true },
    &PathSpec { text: "/{*rest}", hashes: Hashes::SLASH_REST, is_routed: true },
];

struct Service<E>(PhantomData<E>);

impl<E: Endpoint> Service<E> {
    const INFOS: &'static [RouteInfo] = &{
        let [root, slash, rest] = SERVICE_PATHS;
        [
            RouteInfo::of_service::<E>(root),
            RouteInfo::of_service::<E>(slash),
            RouteInfo::of_service::<E>(rest),
        ]
    };
}

/// How many routes the entries of a table are.
#[doc(hidden)]
pub const fn route_count(parts: &[Part]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while at < parts.len() {
        count += match &parts[at] {
            Part::Route(_) => 1,
            Part::Several { infos, .. } => infos.len(),
        };
        at += 1;
    }
    count
}

/// How many bytes [`joined_prefixes`] makes.
#[doc(hidden)]
pub const fn joined_len(parts: &[Part]) -> usize {
    let mut len = 0;
    let mut at = 0;
    while at < parts.len() {
        if let Part::Several { infos, prefix, .. } = &parts[at] {
            let mut inner = 0;
            while inner < infos.len() {
                len += joined_len_of(prefix, &infos[inner]);
                inner += 1;
            }
        }
        at += 1;
    }
    len
}

/// What has to be put together of two prefixes: nothing where one of them is all there is.
const fn joined_len_of(prefix: &str, info: &RouteInfo) -> usize {
    if prefix.is_empty() || info.prefix.is_empty() { 0 } else { prefix.len() + info.prefix.len() }
}

/// The prefixes of included routes that have one of their own, one after another.
#[doc(hidden)]
pub const fn joined_prefixes<const LEN: usize>(parts: &[Part]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let mut len = 0;
    let mut at = 0;
    while at < parts.len() {
        if let Part::Several { infos, prefix, .. } = &parts[at] {
            let mut inner = 0;
            while inner < infos.len() {
                if joined_len_of(prefix, &infos[inner]) > 0 {
                    len = write(&mut bytes, len, prefix);
                    len = write(&mut bytes, len, infos[inner].prefix);
                }
                inner += 1;
            }
        }
        at += 1;
    }
    bytes
}

/// Writes `text` at `at`, and gives the place after it.
const fn write(bytes: &mut [u8], at: usize, text: &str) -> usize {
    let (_, rest) = bytes.split_at_mut(at);
    let (place, _) = rest.split_at_mut(text.len());
    place.copy_from_slice(text.as_bytes());
    at + text.len()
}

/// The routes of all entries, with their full paths. `joined` is what [`joined_prefixes`] made.
#[doc(hidden)]
pub const fn flatten<const N: usize>(parts: &[Part], joined: &'static [u8]) -> [RouteInfo; N] {
    let mut flat = Flat { infos: [RouteInfo::placeholder(); N], len: 0, joined };
    let mut at = 0;
    while at < parts.len() {
        flat.add(&parts[at]);
        at += 1;
    }
    flat.infos
}

struct Flat<const N: usize> {
    infos: [RouteInfo; N],
    len: usize,
    joined: &'static [u8],
}

impl<const N: usize> Flat<N> {
    const fn add(&mut self, part: &Part) {
        match part {
            Part::Route(info) => self.push(*info),
            Part::Several { infos, prefix, prefix_hash, position, is_included } => {
                let mut at = 0;
                while at < infos.len() {
                    let joined = self.join(prefix, &infos[at]);
                    let info = infos[at].below(prefix, *prefix_hash, joined);
                    self.push(info.of_entry(*position, *is_included));
                    at += 1;
                }
            }
        }
    }

    const fn push(&mut self, info: RouteInfo) {
        self.infos[self.len] = info;
        self.len += 1;
    }

    const fn join(&mut self, prefix: &'static str, info: &RouteInfo) -> &'static str {
        let len = joined_len_of(prefix, info);
        if len == 0 {
            return if prefix.is_empty() { info.prefix } else { prefix };
        }
        let (text, rest) = self.joined.split_at(len);
        self.joined = rest;
        match str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => panic!("two texts are a text"),
        }
    }
}
