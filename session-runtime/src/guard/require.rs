//! Requirements that are functions, marked by `#[requirement]`.

use std::{borrow::Cow, fmt, future::Future, pin::Pin};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};

use crate::{claims::ClaimFailure, session::Session};

/// Why a [`#[requirement]`](crate::requirement) function does not let a request pass: the `message` in its entry of
/// `claimValidationErrors`, for the client to read.
///
/// ```
/// use session_runtime::{RequirementFailure, Session, requirement};
///
/// #[requirement]
/// fn of_the_house(session: &Session) -> Result<(), RequirementFailure> {
///     if session.tenant() == "house" { Ok(()) } else { Err("for the house only".into()) }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequirementFailure(Cow<'static, str>);

impl RequirementFailure {
    /// A failure that says `message`.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }
}

impl From<&'static str> for RequirementFailure {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for RequirementFailure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl fmt::Display for RequirementFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequirementFailure {}

/// What a [`#[requirement]`](crate::requirement) function may return.
#[diagnostic::on_unimplemented(
    message = "a requirement can't return `{Self}`",
    label = "not an answer",
    note = "help: return `bool`, or `Result<(), RequirementFailure>` to say why not, or one of them in a `Result` whose error \
            is a response"
)]
pub trait RequirementAnswer {
    /// Whether the requirement is met.
    #[doc(hidden)]
    fn answer(self) -> Result<(), Unmet>;
}

impl RequirementAnswer for bool {
    fn answer(self) -> Result<(), Unmet> {
        if self { Ok(()) } else { Err(RequirementFailure::new("requirement not met")).answer() }
    }
}

impl RequirementAnswer for Result<(), RequirementFailure> {
    fn answer(self) -> Result<(), Unmet> {
        self.map_err(Unmet::Refused)
    }
}

#[diagnostic::do_not_recommend]
impl<A: RequirementAnswer, E: IntoResponse> RequirementAnswer for Result<A, E> {
    fn answer(self) -> Result<(), Unmet> {
        self.map_err(Unmet::untold)?.answer()
    }
}

/// Why a function did not say that its requirement is met.
#[doc(hidden)]
#[derive(Debug)]
pub enum Unmet {
    /// It is not.
    Refused(RequirementFailure),
    /// It could not be told, and this is the answer to the request.
    Untold(Box<Response>),
}

impl Unmet {
    fn untold(answer: impl IntoResponse) -> Self {
        Self::Untold(Box::new(answer.into_response()))
    }
}

/// What a requirement's first argument refers to.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a requirement is asked about a session, not about `{Self}`",
    label = "not `Session`",
    note = "help: take `&Session` first, and extractors after it"
)]
pub trait Asked {
    /// This argument.
    fn of(session: &Session) -> &Self;
}

#[diagnostic::do_not_recommend]
impl Asked for Session {
    fn of(session: &Session) -> &Self {
        session
    }
}

/// The type that stands for a requirement function.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no requirement",
    label = "not a requirement",
    note = "help: a function has `#[requirement]` above it; of a claim, say what it must be: `Role.includes(…)`"
)]
pub trait RequirementFn: 'static {
    /// The name of the function.
    const NAME: &'static str;

    /// False for a function that only a route took for a requirement.
    const IS_ANNOTATED: bool = true;
}

/// A requirement function whose extractors work with the state `S`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the requirement `{Self}` can't be asked with the state `{S}`",
    label = "an extractor of this requirement does not work here",
    note = "help: each argument of `{Self}` after `&Session` is an extractor that leaves the body alone and works with \
            this state: a `FromRequestParts<{S}>`"
)]
pub trait Require<S>: RequirementFn {
    /// Runs the extractors and the function.
    fn ask<'a>(session: &'a Session, parts: &'a mut Parts, state: &'a S) -> AskFuture<'a>;
}

/// The answer of a requirement function.
#[doc(hidden)]
pub type AskFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Unmet>> + Send + 'a>>;

/// Runs one extractor of a requirement function.
#[doc(hidden)]
pub async fn extract<T: FromRequestParts<S>, S>(parts: &mut Parts, state: &S) -> Result<T, Unmet> {
    T::from_request_parts(parts, state).await.map_err(Unmet::untold)
}

/// Stands for a listed function without an attribute, until a check refuses it.
#[doc(hidden)]
#[derive(Debug)]
pub enum NoRequirement {}

impl RequirementFn for NoRequirement {
    const NAME: &'static str = "";
    const IS_ANNOTATED: bool = false;
}

#[diagnostic::do_not_recommend]
impl<S> Require<S> for NoRequirement {
    fn ask<'a>(_: &'a Session, _: &'a mut Parts, _: &'a S) -> AskFuture<'a> {
        Box::pin(std::future::ready(false.answer()))
    }
}

/// The requirement functions of a route: `()`, or the first and the others.
#[doc(hidden)]
pub trait RequireAll<S>: 'static {
    /// Whether there are none.
    const IS_EMPTY: bool;

    /// Asks each of them.
    fn ask(
        session: &Session,
        parts: &mut Parts,
        state: &S,
        answers: &mut Answers,
    ) -> impl Future<Output = ()> + Send;
}

#[diagnostic::do_not_recommend]
impl<S: Sync> RequireAll<S> for () {
    const IS_EMPTY: bool = true;

    async fn ask(_: &Session, _: &mut Parts, _: &S, _: &mut Answers) {}
}

impl<S: Sync, First: Require<S>, Others: RequireAll<S>> RequireAll<S> for (First, Others) {
    const IS_EMPTY: bool = false;

    async fn ask(session: &Session, parts: &mut Parts, state: &S, answers: &mut Answers) {
        answers.note(First::NAME, First::ask(session, parts, state).await);
        Others::ask(session, parts, state, answers).await;
    }
}

/// What the functions of a route answered.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Answers {
    pub(super) failures: Vec<ClaimFailure>,
    /// The first answer to a request of which something could not be told.
    pub(super) untold: Option<Box<Response>>,
}

impl Answers {
    fn note(&mut self, name: &'static str, answer: Result<(), Unmet>) {
        match answer {
            Ok(()) => {}
            Err(Unmet::Refused(why)) => self.failures.push(ClaimFailure::of_function(name, &why.0)),
            Err(Unmet::Untold(answer)) => self.untold = self.untold.take().or(Some(answer)),
        }
    }
}
