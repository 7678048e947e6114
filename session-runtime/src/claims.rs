//! Typed claims of a session, the requirements that routes state about them, and where they are fetched from.

mod requirement;
mod source;

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher, Hash},
    time::Duration,
};

use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use self::requirement::Expectation;
pub(crate) use self::source::{ClaimSource, ClaimSources};
pub use self::{
    requirement::{ClaimFailure, Requirement, all, any, not},
    source::ClaimRequest,
};
use crate::clock::Timestamp;

/// A claim: a named, typed statement about a session, carried in its access token.
///
/// Whatever is put there can be read by the client and stays as it is until the next token, so claims are for what may be
/// a little old: a role, a plan, a theme. The value is stored with the time at which it was fetched, in the form that the
/// claim validators of the official browser SDK read: `"role": {"v": "admin", "t": 1700000000000}`.
///
/// ```
/// use session_runtime::Claim;
///
/// #[derive(Clone, Copy)]
/// struct Role;
///
/// impl Claim for Role {
///     const KEY: &'static str = "role";
///     type Value = Vec<String>;
/// }
///
/// let admins_only = Role.includes("admin");
/// # let _ = admins_only;
/// ```
///
/// The methods make [`Requirement`]s. Each is met only if the claim is there, is of its type and not older than
/// [`MAX_AGE`](Self::MAX_AGE). Values are read as what the claim's type says and then compared, so the order of a set does not
/// matter. An expected value that can't be written as JSON meets nothing. [`any`], [`all`] and [`not`] combine them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a claim",
    note = "help: `struct {Self};` and `impl session_runtime::Claim for {Self} {{ const KEY: &'static str = \"…\"; type Value = …; }}`"
)]
pub trait Claim: Sized {
    /// The name of the claim in the access token. A name that the token itself uses (`sub`, `exp`, `sessionHandle`, …) is
    /// refused when the claim is set.
    const KEY: &'static str;

    /// How old the claim may be where a route requires it. Default: as old as it likes.
    ///
    /// An older one is fetched again before the check, if it has a
    /// [source](crate::SessionsBuilder::claim_source); without one it meets no requirement until it is set again.
    const MAX_AGE: Option<Duration> = None;

    /// What the claim says.
    type Value: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The claim must be present and equal to `value`.
    fn is(self, value: impl Into<Self::Value>) -> Requirement
    where
        Self::Value: PartialEq,
    {
        Requirement::of::<Self, _>(Expectation::Value, value.into(), |actual, value| actual == value)
    }

    /// The claim must be present and `true`.
    #[expect(
        clippy::wrong_self_convention,
        reason = "like the others, it takes the claim's name, a value without content"
    )]
    fn is_true(self) -> Requirement
    where
        Self: Claim<Value = bool>,
    {
        self.is(true)
    }

    /// The claim, a collection, must be present and include `item`.
    fn includes(self, item: impl Into<<Self::Value as Collection>::Item>) -> Requirement
    where
        Self::Value: Collection,
    {
        Requirement::of::<Self, _>(Expectation::Includes, item.into(), Self::Value::holds)
    }

    /// The claim, a collection, must be present and include one of `items` or more. It never includes one of none.
    fn includes_any<I: Into<<Self::Value as Collection>::Item>>(
        self,
        items: impl IntoIterator<Item = I>,
    ) -> Requirement
    where
        Self::Value: Collection,
    {
        let items: Vec<<Self::Value as Collection>::Item> = items.into_iter().map(Into::into).collect();
        Requirement::of::<Self, _>(Expectation::IncludesAny, items, |actual, items| {
            items.iter().any(|item| actual.holds(item))
        })
    }

    /// The claim, a collection, must be present and include every one of `items`.
    fn includes_all<I: Into<<Self::Value as Collection>::Item>>(
        self,
        items: impl IntoIterator<Item = I>,
    ) -> Requirement
    where
        Self::Value: Collection,
    {
        let items: Vec<<Self::Value as Collection>::Item> = items.into_iter().map(Into::into).collect();
        Requirement::of::<Self, _>(Expectation::Includes, items, |actual, items| {
            items.iter().all(|item| actual.holds(item))
        })
    }

    /// The claim, a collection, must be present and not include `item`.
    fn excludes(self, item: impl Into<<Self::Value as Collection>::Item>) -> Requirement
    where
        Self::Value: Collection,
    {
        Requirement::of::<Self, _>(Expectation::Excludes, item.into(), |actual, item| !actual.holds(item))
    }
}

/// A claim's value that is a collection, so that a requirement can speak of what it includes.
#[diagnostic::on_unimplemented(
    message = "a claim whose value is `{Self}` can't include anything",
    note = "help: use `is(…)`, or make the claim's value a `Vec`, `BTreeSet` or `HashSet`"
)]
pub trait Collection {
    /// What the collection holds.
    type Item: Serialize + Send + Sync + 'static;

    /// Whether the collection includes an item.
    fn holds(&self, item: &Self::Item) -> bool;
}

impl<T: Serialize + PartialEq + Send + Sync + 'static> Collection for Vec<T> {
    type Item = T;

    fn holds(&self, item: &T) -> bool {
        self.contains(item)
    }
}

impl<T: Serialize + Ord + Send + Sync + 'static> Collection for BTreeSet<T> {
    type Item = T;

    fn holds(&self, item: &T) -> bool {
        self.contains(item)
    }
}

impl<T: Serialize + Eq + Hash + Send + Sync + 'static, S: BuildHasher> Collection for HashSet<T, S> {
    type Item = T;

    fn holds(&self, item: &T) -> bool {
        self.contains(item)
    }
}

/// The claims of one session by key, each `{"v": value, "t": fetched at, in milliseconds}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimSet(Map<String, Value>);

impl ClaimSet {
    /// The value of a claim, if it is there and of its type.
    pub fn get<C: Claim>(&self, _: C) -> Option<C::Value> {
        self.value(C::KEY).and_then(|value| C::Value::deserialize(value).ok())
    }

    /// The value under a key, if it is there.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key)?.get("v")
    }

    /// The value under a key, and when it was fetched.
    pub(crate) fn dated(&self, key: &str) -> Option<(&Value, Timestamp)> {
        let entry = self.0.get(key)?;
        let fetched = entry.get("t").and_then(Value::as_u64).unwrap_or_default();
        Some((entry.get("v")?, Timestamp::from_millis(fetched)))
    }

    /// Whether there is no claim.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn set(&mut self, key: &str, value: Value, now: Timestamp) {
        self.0.insert(key.to_owned(), json!({ "v": value, "t": now.as_millis() }));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(crate) fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    pub(crate) fn to_json(&self) -> Box<str> {
        Value::from(self.0.clone()).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Role;
    impl Claim for Role {
        const KEY: &'static str = "role";
        type Value = Vec<String>;
    }

    #[test]
    fn a_claim_reads_back_as_it_was_set() {
        let mut claims = ClaimSet::default();
        claims.set(Role::KEY, json!(["user"]), Timestamp::from_millis(7));
        assert_eq!(claims.get(Role), Some(vec!["user".to_owned()]));
        assert_eq!(claims.into_map()["role"], json!({"v": ["user"], "t": 7}));
    }
}
