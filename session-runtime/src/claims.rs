//! Typed claims of a session, and the requirements that routes state about them.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a claim",
    note = "help: `struct {Self};` and `impl session_runtime::Claim for {Self} {{ const KEY: &'static str = \"…\"; type Value = …; }}`"
)]
pub trait Claim: Sized {
    /// The name of the claim in the access token. A name that the token itself uses (`sub`, `exp`, `sessionHandle`, …) is
    /// refused when the claim is set.
    const KEY: &'static str;

    /// What the claim says.
    type Value: Serialize + DeserializeOwned;

    /// The claim must be present and equal to `value`.
    fn is(self, value: impl Into<Self::Value>) -> Requirement {
        Requirement::new::<Self>(Predicate::Is(to_value(&value.into())))
    }

    /// The claim, a collection, must be present and include `item`.
    fn includes(self, item: impl Into<<Self::Value as Collection>::Item>) -> Requirement
    where
        Self::Value: Collection,
    {
        Requirement::new::<Self>(Predicate::Includes(to_value(&item.into())))
    }

    /// The claim, a collection, must be present and not include `item`.
    fn excludes(self, item: impl Into<<Self::Value as Collection>::Item>) -> Requirement
    where
        Self::Value: Collection,
    {
        Requirement::new::<Self>(Predicate::Excludes(to_value(&item.into())))
    }
}

/// A claim's value that is a collection, so that a requirement can speak of what it includes.
#[diagnostic::on_unimplemented(
    message = "a claim whose value is `{Self}` can't include anything",
    note = "help: use `is(…)`, or make the claim's value a `Vec`, `BTreeSet` or `HashSet`"
)]
pub trait Collection {
    /// What the collection holds.
    type Item: Serialize;
}

impl<T: Serialize> Collection for Vec<T> {
    type Item = T;
}

impl<T: Serialize> Collection for BTreeSet<T> {
    type Item = T;
}

impl<T: Serialize> Collection for HashSet<T> {
    type Item = T;
}

/// What a route requires of a claim; made by the methods of [`Claim`].
#[derive(Clone, Debug)]
pub struct Requirement {
    key: &'static str,
    predicate: Predicate,
}

#[derive(Clone, Debug)]
enum Predicate {
    Is(Value),
    Includes(Value),
    Excludes(Value),
}

impl Requirement {
    fn new<C: Claim>(predicate: Predicate) -> Self {
        Self { key: C::KEY, predicate }
    }

    /// Whether `claims` meet the requirement; if not, why.
    pub(crate) fn check(&self, claims: &ClaimSet) -> Result<(), ClaimFailure> {
        let actual = claims.value(self.key);
        let includes = |item| actual.and_then(Value::as_array).is_some_and(|items| items.contains(item));
        let (met, expectation, expected) = match &self.predicate {
            Predicate::Is(value) => (actual == Some(value), "expectedValue", value),
            Predicate::Includes(item) => (includes(item), "expectedToInclude", item),
            Predicate::Excludes(item) => (actual.is_some() && !includes(item), "expectedToNotInclude", item),
        };
        if met {
            return Ok(());
        }
        let reason = match actual {
            Some(actual) => json!({ "message": "wrong value", expectation: expected, "actualValue": actual }),
            None => json!({ "message": "value does not exist", expectation: expected }),
        };
        Err(ClaimFailure { id: self.key, reason })
    }
}

/// One requirement that a session does not meet: an entry of `claimValidationErrors` in the 403 body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClaimFailure {
    id: &'static str,
    reason: Value,
}

impl ClaimFailure {
    const AUTHENTICATION: &'static str = "auth_time";

    /// The authentication is older than the `max_age_secs` seconds that the route accepts.
    pub(crate) fn authentication_too_old(max_age_secs: u64) -> Self {
        let reason = json!({ "message": "re-authentication required", "maxAge": max_age_secs });
        Self { id: Self::AUTHENTICATION, reason }
    }

    /// The key of the claim, or `auth_time` where the user has to authenticate again.
    pub fn id(&self) -> &str {
        self.id
    }

    /// Why: `message`, what was expected, and the actual value.
    pub fn reason(&self) -> &Value {
        &self.reason
    }

    /// The longest age of authentication that the route accepts, in seconds, where that is what failed.
    pub(crate) fn max_auth_age(&self) -> Option<u64> {
        (self.id == Self::AUTHENTICATION).then(|| self.reason["maxAge"].as_u64()).flatten()
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

/// The JSON form of a claim's value; `null`, which no requirement accepts, if its `Serialize` fails.
fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Role;
    impl Claim for Role {
        const KEY: &'static str = "role";
        type Value = Vec<String>;
    }

    #[derive(Clone, Copy)]
    struct Plan;
    impl Claim for Plan {
        const KEY: &'static str = "plan";
        type Value = String;
    }

    fn claims() -> ClaimSet {
        let mut claims = ClaimSet::default();
        claims.set(Role::KEY, json!(["user"]), Timestamp::from_millis(7));
        claims.set(Plan::KEY, json!("free"), Timestamp::from_millis(7));
        claims
    }

    #[test]
    fn a_failed_requirement_says_what_was_expected_and_what_is() {
        let failure = Role.includes("admin").check(&claims()).unwrap_err();
        assert_eq!(
            serde_json::to_value(&failure).unwrap(),
            json!({"id": "role", "reason": {"message": "wrong value", "expectedToInclude": "admin", "actualValue": ["user"]}})
        );
        let failure = Plan.is("pro").check(&ClaimSet::default()).unwrap_err();
        assert_eq!(failure.reason(), &json!({"message": "value does not exist", "expectedValue": "pro"}));
    }

    #[test]
    fn requirements_hold_exactly_when_the_claim_is_present_and_fits() {
        let claims = claims();
        assert!(Role.includes("user").check(&claims).is_ok());
        assert!(Role.excludes("admin").check(&claims).is_ok());
        assert!(Role.excludes("user").check(&claims).is_err());
        assert!(Role.excludes("admin").check(&ClaimSet::default()).is_err());
        assert!(Plan.is("free").check(&claims).is_ok());
        assert!(Plan.is("pro").check(&claims).is_err());
    }

    #[test]
    fn a_claim_reads_back_as_it_was_set() {
        assert_eq!(claims().get(Role), Some(vec!["user".to_owned()]));
        assert_eq!(claims().into_map()["plan"], json!({"v": "free", "t": 7}));
    }
}
