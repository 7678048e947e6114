//! What a route requires of claims, and how it says what is missing.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use super::{Claim, ClaimSet};
use crate::clock::Timestamp;

/// What a route requires of a session's claims: made by the methods of [`Claim`], combined by [`any`], [`all`] and [`not`].
///
/// A claim that is missing, older than its [`MAX_AGE`](Claim::MAX_AGE) or not of its type tells nothing: it meets no
/// requirement, and does not meet the opposite of one either.
#[derive(Clone, Debug)]
pub struct Requirement(Arc<Node>);

#[derive(Debug)]
enum Node {
    Claim(ClaimRequirement),
    Any(Vec<Requirement>),
    All(Vec<Requirement>),
    Not(Requirement),
}

/// At least one of `requirements` must be met. Of none, none ever is.
///
/// ```
/// # use session_runtime::{Claim, Session, any, not, protected};
/// # struct Role; impl Claim for Role { const KEY: &'static str = "role"; type Value = Vec<String>; }
/// # struct Banned; impl Claim for Banned { const KEY: &'static str = "banned"; type Value = bool; }
/// #[protected(GET "/reports", require = [any([Role.includes("admin"), Role.includes("auditor")]), not(Banned.is_true())])]
/// async fn reports(_: Session) {}
/// ```
///
/// The refusal has the entry `{"id": "any", "reason": {"message": "none of these holds", "anyOf": […]}}`.
pub fn any(requirements: impl IntoIterator<Item = Requirement>) -> Requirement {
    Requirement(Arc::new(Node::Any(requirements.into_iter().collect())))
}

/// Every one of `requirements` must be met; to be used inside [`any`] and [`not`], as a route's list means this already.
///
/// The refusal has the entry `{"id": "all", "reason": {"message": "not all of these hold", "allOf": […]}}`, with those that are
/// not met.
pub fn all(requirements: impl IntoIterator<Item = Requirement>) -> Requirement {
    Requirement(Arc::new(Node::All(requirements.into_iter().collect())))
}

/// `requirement` must be known not to be met: where a claim is missing, too old or not of its type, the opposite is not met
/// either. So `not(Banned.is_true())` refuses a session without the claim `banned`.
///
/// The refusal has the entry `{"id": "not", "reason": {"message": "this must not hold", "not": …}}`.
pub fn not(requirement: Requirement) -> Requirement {
    Requirement(Arc::new(Node::Not(requirement)))
}

impl Requirement {
    pub(super) fn of<C, E>(
        expectation: Expectation,
        expected: E,
        fits: impl Fn(&C::Value, &E) -> bool + Send + Sync + 'static,
    ) -> Self
    where
        C: Claim,
        E: Serialize + Send + Sync + 'static,
    {
        let shown = serde_json::to_value(&expected).ok();
        let is_sound = shown.is_some();
        let test = move |actual: &Value| {
            let actual = C::Value::deserialize(actual).ok().filter(|_| is_sound)?;
            Some(fits(&actual, &expected))
        };
        Self(Arc::new(Node::Claim(ClaimRequirement {
            key: C::KEY,
            max_age: C::MAX_AGE,
            expectation,
            expected: shown.unwrap_or_default(),
            test: Box::new(test),
        })))
    }

    /// Whether `claims` meet the requirement; if not, why.
    pub(crate) fn check(&self, claims: &ClaimSet, now: Timestamp) -> Result<(), ClaimFailure> {
        match self.judge(claims, now) {
            Verdict::Met => Ok(()),
            Verdict::Unmet(failure) | Verdict::Unknown(failure) => Err(failure),
        }
    }

    /// Names to `found` the claims that tell nothing now, for want of being there or of being young enough.
    pub(crate) fn find_outdated(
        &self,
        claims: &ClaimSet,
        now: Timestamp,
        found: &mut dyn FnMut(&'static str),
    ) {
        match &*self.0 {
            Node::Claim(claim) if claim.is_outdated(claims, now) => found(claim.key),
            Node::Claim(_) => {}
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().for_each(|part| part.find_outdated(claims, now, found));
            }
            Node::Not(inner) => inner.find_outdated(claims, now, found),
        }
    }

    /// By the logic of three values, so that what is not known is never taken for its opposite.
    fn judge(&self, claims: &ClaimSet, now: Timestamp) -> Verdict {
        let judged = |parts: &[Self]| parts.iter().map(|part| part.judge(claims, now)).collect::<Vec<_>>();
        match &*self.0 {
            Node::Claim(claim) => claim.judge(claims, now),
            Node::Any(parts) => Verdict::of_any(judged(parts)),
            Node::All(parts) => Verdict::of_all(judged(parts)),
            Node::Not(inner) => match inner.judge(claims, now) {
                Verdict::Met => Verdict::Unmet(ClaimFailure::not(inner.describe())),
                Verdict::Unmet(_) => Verdict::Met,
                unknown @ Verdict::Unknown(_) => unknown,
            },
        }
    }

    fn describe(&self) -> Value {
        let described = |parts: &[Self]| parts.iter().map(Self::describe).collect::<Value>();
        match &*self.0 {
            Node::Claim(claim) => json!({ "id": claim.key, claim.expectation.name(): claim.expected }),
            Node::Any(parts) => json!({ "anyOf": described(parts) }),
            Node::All(parts) => json!({ "allOf": described(parts) }),
            Node::Not(inner) => json!({ "not": inner.describe() }),
        }
    }
}

/// What is known of one requirement.
enum Verdict {
    Met,
    Unmet(ClaimFailure),
    Unknown(ClaimFailure),
}

impl Verdict {
    fn of_any(parts: Vec<Self>) -> Self {
        if parts.iter().any(|part| matches!(part, Self::Met)) {
            return Self::Met;
        }
        let verdict = if parts.iter().any(Self::is_unknown) { Self::Unknown } else { Self::Unmet };
        verdict(ClaimFailure::combined("any", "none of these holds", "anyOf", failures(parts)))
    }

    fn of_all(parts: Vec<Self>) -> Self {
        let is_refuted = parts.iter().any(|part| matches!(part, Self::Unmet(_)));
        let verdict = if is_refuted { Self::Unmet } else { Self::Unknown };
        let failures = failures(parts);
        if failures.is_empty() {
            return Self::Met;
        }
        verdict(ClaimFailure::combined("all", "not all of these hold", "allOf", failures))
    }

    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

fn failures(verdicts: Vec<Verdict>) -> Vec<ClaimFailure> {
    let failure = |verdict| match verdict {
        Verdict::Met => None,
        Verdict::Unmet(failure) | Verdict::Unknown(failure) => Some(failure),
    };
    verdicts.into_iter().filter_map(failure).collect()
}

/// What is required of one claim.
struct ClaimRequirement {
    key: &'static str,
    max_age: Option<Duration>,
    expectation: Expectation,
    /// What was written in the route, to be shown.
    expected: Value,
    test: Test,
}

/// Whether a claim's value fits; `None` if it is not of the claim's type.
type Test = Box<dyn Fn(&Value) -> Option<bool> + Send + Sync>;

impl ClaimRequirement {
    fn judge(&self, claims: &ClaimSet, now: Timestamp) -> Verdict {
        let expectation = self.expectation.name();
        let Some((actual, fetched)) = claims.dated(self.key) else {
            let reason = json!({ "message": "value does not exist", expectation: self.expected });
            return Verdict::Unknown(ClaimFailure { id: self.key, reason });
        };
        let age = now.since(fetched);
        if let Some(max_age) = self.max_age.filter(|max_age| age > *max_age) {
            let (age, max_age) = (age.as_secs(), max_age.as_secs());
            let reason = json!({ "message": "expired", "ageInSeconds": age, "maxAgeInSeconds": max_age });
            return Verdict::Unknown(ClaimFailure { id: self.key, reason });
        }
        let verdict = match (self.test)(actual) {
            Some(true) => return Verdict::Met,
            Some(false) => Verdict::Unmet,
            None => Verdict::Unknown,
        };
        let reason = json!({ "message": "wrong value", expectation: self.expected, "actualValue": actual });
        verdict(ClaimFailure { id: self.key, reason })
    }

    fn is_outdated(&self, claims: &ClaimSet, now: Timestamp) -> bool {
        claims
            .dated(self.key)
            .is_none_or(|(_, fetched)| self.max_age.is_some_and(|max_age| now.since(fetched) > max_age))
    }
}

impl fmt::Debug for ClaimRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, max_age, expected, .. } = self;
        f.debug_struct("ClaimRequirement")
            .field("key", key)
            .field("max_age", max_age)
            .field(self.expectation.name(), expected)
            .finish_non_exhaustive()
    }
}

/// What is expected of a claim's value, named as the claim validators of the official browser SDK name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expectation {
    Value,
    Includes,
    IncludesAny,
    Excludes,
}

impl Expectation {
    fn name(self) -> &'static str {
        match self {
            Self::Value => "expectedValue",
            Self::Includes => "expectedToInclude",
            Self::IncludesAny => "expectedToIncludeAtLeastOneOf",
            Self::Excludes => "expectedToNotInclude",
        }
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

    /// The function `name` refused.
    pub(crate) fn of_function(name: &'static str, message: &str) -> Self {
        Self { id: name, reason: json!({ "message": message }) }
    }

    fn combined(id: &'static str, message: &str, key: &str, failures: Vec<Self>) -> Self {
        Self { id, reason: json!({ "message": message, key: failures }) }
    }

    fn not(requirement: Value) -> Self {
        Self { id: "not", reason: json!({ "message": "this must not hold", "not": requirement }) }
    }

    /// The key of the claim; the name of a [`#[requirement]`](crate::requirement) function; `any`, `all` or `not`; or `auth_time`
    /// where the user has to authenticate again.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde::{Deserialize, Serializer};

    use super::*;

    struct Role;
    impl Claim for Role {
        const KEY: &'static str = "role";
        type Value = Vec<String>;
    }

    struct Plan;
    impl Claim for Plan {
        const KEY: &'static str = "plan";
        const MAX_AGE: Option<Duration> = Some(Duration::from_secs(60));
        type Value = String;
    }

    struct Verified;
    impl Claim for Verified {
        const KEY: &'static str = "verified";
        type Value = bool;
    }

    struct Tags;
    impl Claim for Tags {
        const KEY: &'static str = "tags";
        type Value = HashSet<u8>;
    }

    const THEN: Timestamp = Timestamp::from_millis(7);

    fn claims() -> ClaimSet {
        let mut claims = ClaimSet::default();
        claims.set(Role::KEY, json!(["user", "author"]), THEN);
        claims.set(Plan::KEY, json!("free"), THEN);
        claims.set(Verified::KEY, json!(true), THEN);
        claims.set(Tags::KEY, json!([3, 1, 2]), THEN);
        claims
    }

    fn holds(requirement: Requirement) -> bool {
        requirement.check(&claims(), THEN).is_ok()
    }

    fn reason(requirement: Requirement) -> Value {
        requirement.check(&claims(), THEN).unwrap_err().reason
    }

    fn outdated(requirement: &Requirement, now: Timestamp) -> Vec<&'static str> {
        let mut keys = Vec::new();
        requirement.find_outdated(&claims(), now, &mut |key| keys.push(key));
        keys
    }

    #[test]
    fn a_failed_requirement_says_what_was_expected_and_what_is() {
        let failure = Role.includes("admin").check(&claims(), THEN).unwrap_err();
        assert_eq!(
            serde_json::to_value(&failure).unwrap(),
            json!({"id": "role", "reason": {
                "message": "wrong value", "expectedToInclude": "admin", "actualValue": ["user", "author"],
            }})
        );
        assert_eq!(reason(Role.includes_any(["a", "b"]))["expectedToIncludeAtLeastOneOf"], json!(["a", "b"]));
        assert_eq!(reason(Role.includes_all(["user", "b"]))["expectedToInclude"], json!(["user", "b"]));
        let failure = Plan.is("pro").check(&ClaimSet::default(), THEN).unwrap_err();
        assert_eq!(failure.reason(), &json!({"message": "value does not exist", "expectedValue": "pro"}));
    }

    #[test]
    fn requirements_hold_exactly_when_the_claim_is_present_and_fits() {
        assert!(holds(Role.includes("user")) && !holds(Role.includes("admin")));
        assert!(holds(Role.excludes("admin")) && !holds(Role.excludes("user")));
        assert!(holds(Role.includes_any(["admin", "user"])) && !holds(Role.includes_any(["admin", "root"])));
        assert!(holds(Role.includes_all(["author", "user"])) && !holds(Role.includes_all(["user", "admin"])));
        assert!(!holds(Role.includes_any::<&str>([])) && holds(Role.includes_all::<&str>([])));
        assert!(holds(Plan.is("free")) && !holds(Plan.is("pro")));
        assert!(holds(Verified.is_true()) && !holds(Verified.is(false)));
        assert!(Role.excludes("admin").check(&ClaimSet::default(), THEN).is_err());
        assert!(Role.includes_all::<&str>([]).check(&ClaimSet::default(), THEN).is_err());
    }

    #[test]
    fn values_are_compared_by_their_type_and_not_as_text() {
        for _ in 0..16 {
            // Each set has an order of its own.
            assert!(holds(Tags.is(HashSet::from([1, 2, 3]))));
        }
        assert!(!holds(Tags.is(HashSet::from([1, 2]))));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no form"))
        }
    }

    struct Broken;
    impl Claim for Broken {
        const KEY: &'static str = "broken";
        type Value = Vec<Unwritable>;
    }

    #[test]
    fn an_expected_value_that_can_not_be_written_meets_nothing() {
        let mut claims = ClaimSet::default();
        claims.set(Broken::KEY, json!([null]), THEN);
        let is = || Broken.is(vec![Unwritable]);
        for requirement in [is(), not(is()), Broken.includes(Unwritable), Broken.excludes(Unwritable)] {
            assert!(requirement.check(&claims, THEN).is_err(), "{requirement:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_meets_nothing_and_not_its_opposite() {
        let mut claims = claims();
        claims.set(Verified::KEY, json!("yes"), THEN);
        let failure = Verified.is_true().check(&claims, THEN).unwrap_err();
        assert_eq!(failure.reason()["actualValue"], json!("yes"));
        assert!(Verified.is(false).check(&claims, THEN).is_err());
        assert!(not(Verified.is_true()).check(&claims, THEN).is_err());
    }

    #[test]
    fn a_claim_meets_requirements_until_it_is_too_old() {
        let last = THEN.after(Duration::from_secs(60));
        assert!(Plan.is("free").check(&claims(), last).is_ok());
        assert_eq!(outdated(&Plan.is("free"), last), [""; 0]);
        let late = last.after(Duration::from_millis(1));
        let failure = Plan.is("free").check(&claims(), late).unwrap_err();
        let reason = json!({"message": "expired", "ageInSeconds": 60, "maxAgeInSeconds": 60});
        assert_eq!(failure.reason(), &reason);
        assert!(not(Plan.is("pro")).check(&claims(), late).is_err());
        let nested = any([Role.includes("admin"), not(all([Plan.is("pro"), Broken.is(Vec::new())]))]);
        assert_eq!(outdated(&nested, late), ["plan", "broken"]);
    }

    #[test]
    fn any_holds_if_one_does_and_else_says_them_all() {
        assert!(holds(any([Role.includes("admin"), Plan.is("free")])));
        assert!(!holds(any([])));
        let failure = any([Role.includes("admin"), Plan.is("pro")]).check(&claims(), THEN).unwrap_err();
        let ids =
            |list: &Value| list.as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
        assert_eq!((failure.id(), &failure.reason()["message"]), ("any", &json!("none of these holds")));
        assert_eq!(ids(&failure.reason()["anyOf"]), ["role", "plan"]);
    }

    #[test]
    fn all_holds_if_every_one_does_and_else_says_which_do_not() {
        assert!(holds(all([Role.includes("user"), Plan.is("free")])) && holds(all([])));
        let reason = reason(all([Role.includes("user"), Plan.is("pro")]));
        assert_eq!(reason["message"], "not all of these hold");
        assert_eq!(reason["allOf"].as_array().unwrap().len(), 1);
        assert_eq!(reason["allOf"][0]["id"], "plan");
    }

    #[test]
    fn not_holds_only_where_the_opposite_is_known() {
        assert!(holds(not(Plan.is("pro"))) && !holds(not(Plan.is("free"))));
        assert!(holds(not(all([Plan.is("pro"), Broken.is(Vec::new())]))));
        assert!(!holds(not(all([Plan.is("free"), Broken.is(Vec::new())]))));
        assert!(!holds(not(any([Plan.is("pro"), Broken.is(Vec::new())]))));
        assert_eq!(
            reason(not(any([Plan.is("free"), Verified.is(false)]))),
            json!({"message": "this must not hold", "not": {"anyOf": [
                {"id": "plan", "expectedValue": "free"},
                {"id": "verified", "expectedValue": false},
            ]}})
        );
    }
}
