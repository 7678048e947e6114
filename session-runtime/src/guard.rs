//! A request's way through the system, from its tokens to the last header of its response.
//!
//! ```text
//! request ─► Guard ─► protected: admit()      find the token · verify · CSRF · revocation · requirements · their functions
//!                     refresh:   exchange()   find the token · CSRF · rotate
//!                     login:     receive()    CSRF · note who comes
//!         ─► the user's handler, unless it was refused
//!         ─► Finish: commit the login, end the session, write tokens ─► response
//! ```

mod argument;
mod finish;
mod presented;
mod refused;
mod require;
mod service;
mod terms;
mod theft;

use std::{any::TypeId, future::Future, marker::PhantomData, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts, OriginalUri},
    http::{HeaderMap, header as http_header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;

use self::{
    argument::Outcome,
    finish::{Finish, Work},
    presented::{Presented, carries, find_refresh_token, named_session},
    terms::Terms,
};
pub use self::{
    argument::SessionArgument,
    refused::{RefusalAnswer, RefusedRequest, refusal_answer},
    require::{
        Answers, AskFuture, Asked, NoRequirement, Require, RequireAll, RequirementAnswer, RequirementFailure,
        RequirementFn, Unmet, extract,
    },
    theft::{Theft, TheftAnswer, theft_answer},
};
use crate::{
    clock::Timestamp,
    engine::{Client, Engine},
    error::{SessionError, StoreError},
    exchange::{Presentation, Refreshed, Refusal},
    handle::SessionHandle,
    revocation::Standing,
    route::{
        GuardOptions, HandlerFuture, Protection, RefusalHook, TheftHook,
        kind::{Kind, RouteKind},
    },
    session::{Accepted, Login, Session},
    sessions::Sessions,
    store::{EndReason, Fingerprint, Origin, Row},
    token::derived,
    transport::{
        Transport,
        csrf::{self, Verdict},
        header,
    },
};

/// The first argument of every handler that an attribute generates; it runs before all others and before the body is read.
#[doc(hidden)]
pub struct Guard<P: Protection, A: SessionArgument<P::Kind>> {
    /// The handler's own first argument.
    pub argument: A,
    /// What is to be done with its response.
    pub finish: Finish,
    protection: PhantomData<fn() -> P>,
}

impl<P: Protection, A: SessionArgument<P::Kind>> Guard<P, A> {
    async fn pass<S>(sessions: Sessions, parts: &mut Parts, state: &S) -> Result<Self, Response>
    where
        P::Functions: RequireAll<S>,
        S: Sync,
    {
        // What awaits is boxed, here and in `respond`: every request's future has room for its longest way.
        let passage = match <P::Kind as Kind>::KIND {
            kind @ (RouteKind::Protected | RouteKind::Optional | RouteKind::Logout | RouteKind::Public) => {
                let terms = Terms { options: &P::OPTIONS, requirements: P::requirements(), kind };
                match admit(sessions, parts, terms) {
                    Admission::Decided(passage) => passage,
                    Admission::Pending(passage) => passage.await,
                }
            }
            RouteKind::Login => receive(&sessions, parts, TypeId::of::<P>()),
            RouteKind::Refresh => {
                Box::pin(exchange(&sessions, parts, TypeId::of::<P>(), P::on_theft())).await
            }
        };
        let Passage { outcome, mut finish } = match <P::Functions as RequireAll<S>>::IS_EMPTY {
            true => passage,
            false => Box::pin(ask_functions::<P::Functions, S>(passage, parts, state)).await,
        };
        if let Some(answer) = finish.instead.take() {
            return Err(finish.tell(*answer));
        }
        match A::take(outcome) {
            Ok(argument) => Ok(Self { argument, finish, protection: PhantomData }),
            Err(error) => Err(match P::on_refused() {
                Some(hook) => Box::pin(answer_refusal(hook, error, parts, finish)).await,
                None => finish.refuse(&error),
            }),
        }
    }
}

impl<P, A, S> FromRequestParts<S> for Guard<P, A>
where
    P: Protection<Functions: RequireAll<S>>,
    A: SessionArgument<P::Kind>,
    S: Send + Sync,
    Sessions: FromRef<S>,
{
    type Rejection = Response;

    fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Response>> + Send {
        Self::pass(Sessions::from_ref(state), parts, state)
    }
}

struct Passage {
    outcome: Outcome,
    finish: Finish,
}

/// What becomes of a request to a protected route.
enum Admission<'a> {
    Decided(Passage),
    /// The store has to be asked, or the source of a claim.
    Pending(BoxFuture<'a, Passage>),
}

/// Lets a request to a protected route pass, or not; at once, unless somebody else has to be asked.
fn admit<'a>(sessions: Sessions, parts: &'a Parts, terms: Terms<'a>) -> Admission<'a> {
    let known = match recognise(&sessions, parts, terms.options) {
        Ok(known) => known,
        Err(passage) => return Admission::Decided(passage),
    };
    match terms.judge(sessions.engine(), known.session.presented()) {
        Some(judged) => Admission::Decided(conclude(sessions, parts, terms, known, judged)),
        None => Admission::Pending(Box::pin(admit_by_asking(sessions, parts, terms, known))),
    }
}

async fn admit_by_asking(sessions: Sessions, parts: &Parts, terms: Terms<'_>, known: Known) -> Passage {
    let judged = terms.judge_by_asking(sessions.engine(), &known.session).await;
    conclude(sessions, parts, terms, known, judged)
}

/// The session that a request comes with, as far as the token and this node can tell that it is one.
struct Known {
    session: Session,
    transport: Transport,
    several: bool,
    both: bool,
}

fn recognise(sessions: &Sessions, parts: &Parts, options: &GuardOptions) -> Result<Known, Passage> {
    let engine = sessions.engine();
    let usual = options.transport.unwrap_or(engine.config.transport);
    let refused = |transport, refusal| refused(sessions, transport, parts, refusal);
    match Presented::find(engine, &parts.headers, options.transport) {
        Ok(Some(Presented { accepted: Ok(accepted), transport, several, both })) => {
            match check_token(engine, parts, options, &accepted, transport) {
                Ok(()) => {
                    Ok(Known { session: Session::new(sessions.clone(), accepted), transport, several, both })
                }
                Err(refusal) => Err(refused(transport, refusal)),
            }
        }
        Ok(Some(Presented { accepted: Err(error), transport, .. })) => Err(refused(transport, error.into())),
        Ok(None) => Err(Passage { outcome: Outcome::Anonymous, finish: Finish::of(sessions.clone(), usual) }),
        Err(refusal) => Err(refused(usual, refusal)),
    }
}

/// What is asked of every valid access token.
fn check_token(
    engine: &Engine,
    parts: &Parts,
    options: &GuardOptions,
    accepted: &Accepted,
    transport: Transport,
) -> Result<(), Refusal> {
    if transport == Transport::Cookie && !options.dangerously_without_csrf {
        let handle = accepted.claims.handle;
        check_csrf(engine, parts, || handle).map_err(|rejected| match rejected {
            CsrfRejected::Site => SessionError::CsrfRejected,
            CsrfRejected::Token => SessionError::TryRefreshToken,
        })?;
    }
    check_standing(engine.standing(accepted))
}

fn conclude(
    sessions: Sessions,
    parts: &Parts,
    terms: Terms<'_>,
    known: Known,
    judged: Result<(), Refusal>,
) -> Passage {
    let Known { session, transport, several, both } = known;
    let outcome = match judged {
        Ok(()) => {
            sessions.engine().note_use(session.presented());
            Outcome::Session(session.clone())
        }
        // There is a session all the same, for functions to be asked about, and with claims that may have been fetched.
        Err(Refusal { error: error @ SessionError::InvalidClaims(_), .. }) => {
            tracing::debug!(%error, path = parts.uri.path(), "request refused");
            Outcome::Refused(error)
        }
        Err(refusal) => return refused(&sessions, transport, parts, refusal),
    };
    let work = match terms.kind {
        RouteKind::Logout => Work::Logout(session),
        _ => Work::Session(session),
    };
    let finish = Finish { work, expire_older: several, clear_other: both, ..Finish::of(sessions, transport) };
    Passage { outcome, finish }
}

/// Asks the functions among a route's requirements, and adds what they refuse to what the claims fail.
async fn ask_functions<F: RequireAll<S>, S>(mut passage: Passage, parts: &mut Parts, state: &S) -> Passage {
    let mut failures = match &passage.outcome {
        Outcome::Session(_) => Vec::new(),
        Outcome::Refused(SessionError::InvalidClaims(failures)) => failures.clone(),
        Outcome::Refused(_) | Outcome::Anonymous | Outcome::Login(_) => return passage,
    };
    let Work::Session(session) = &passage.finish.work else { return passage };
    let mut answers = Answers::default();
    F::ask(session, parts, state, &mut answers).await;
    failures.append(&mut answers.failures);
    if failures.is_empty() {
        passage.finish.instead = answers.untold;
    } else {
        tracing::debug!(path = parts.uri.path(), "request refused by a function");
        passage.outcome = Outcome::Refused(SessionError::InvalidClaims(failures));
    }
    passage
}

/// Has the function named by `on_refused` answer. What the refusal clears is cleared all the same.
async fn answer_refusal(hook: RefusalHook, error: SessionError, parts: &Parts, finish: Finish) -> Response {
    match hook(RefusedRequest::new(error.clone(), parts)).await {
        Some(answer) => {
            error.log_misconfiguration();
            finish.tell(answer)
        }
        None => finish.refuse(&error),
    }
}

/// Refuses a session that is over in the store.
async fn ask_store(engine: &Engine, handle: SessionHandle) -> Result<(), Refusal> {
    let row = engine.row(handle).await?;
    check_standing(standing_of(row.as_ref(), engine.clock.now()))
}

/// What the store says of a session.
fn standing_of(row: Option<&Row>, now: Timestamp) -> Standing {
    match row {
        Some(row) if row.is_live(now) => Standing::Live,
        Some(Row { ended: Some(ended), .. }) if ended.reason == EndReason::Replaced => Standing::Replaced,
        Some(_) | None => Standing::Ended,
    }
}

fn check_standing(standing: Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Live => Ok(()),
        // The client has the tokens of its newer session already, or gets them with its refresh.
        Standing::Replaced => Err(Refusal::keeping(SessionError::TryRefreshToken)),
        Standing::Ended => Err(Refusal::clearing(SessionError::Unauthorised)),
    }
}

/// Receives a login: nothing is made before its handler has succeeded.
fn receive(sessions: &Sessions, parts: &Parts, endpoint: TypeId) -> Passage {
    let engine = sessions.engine();
    let transport = header::auth_mode(&parts.headers).unwrap_or(engine.config.transport);
    let verdict = csrf::check_login(&engine.config.csrf, &parts.method, &parts.headers, &parts.uri);
    if verdict != Verdict::Pass {
        return refused(sessions, transport, parts, SessionError::CsrfRejected.into());
    }
    if let Err(error) = check_placement(engine, parts, endpoint, false) {
        return refused(sessions, transport, parts, error.into());
    }
    let client = Client {
        fingerprint: fingerprints(engine, &parts.headers).first().copied().unwrap_or_default(),
        origin: origin(parts),
        carried: named_session(engine, &parts.headers),
    };
    let (login, staged) = Login::new();
    let finish = Finish {
        work: Work::Login(staged, Box::new(client)),
        clear_other: carries(engine, &parts.headers, transport.other()),
        ..Finish::of(sessions.clone(), transport)
    };
    Passage { outcome: Outcome::Login(Box::new(login)), finish }
}

/// Exchanges a refresh token, before the handler runs.
async fn exchange(
    sessions: &Sessions,
    parts: &Parts,
    endpoint: TypeId,
    on_theft: Option<TheftHook>,
) -> Passage {
    let engine = sessions.engine();
    if let Err(error) = check_placement(engine, parts, endpoint, true) {
        return refused(sessions, engine.config.transport, parts, error.into());
    }
    // Where the session is over, the client forgets all that it sent, by whatever transport.
    let refused_in_full = |transport: Transport, refusal: Refusal| {
        let clear_other = refusal.clear && carries(engine, &parts.headers, transport.other());
        let Passage { outcome, finish } = refused(sessions, transport, parts, refusal);
        Passage { outcome, finish: Finish { clear_other, ..finish } }
    };
    let found = match find_refresh_token(engine, parts) {
        Ok(found) => found,
        Err((transport, refusal)) => return refused_in_full(transport, refusal),
    };
    let by = fingerprints(engine, &parts.headers);
    let presented = Presentation { token: found.token, nonce: found.nonce, by };
    let (exchanged, instead) = exchange_watched(sessions, presented, on_theft).await;
    match exchanged {
        Ok(refreshed) => {
            let tokens = refreshed.tokens.clone();
            let session = Session::new(sessions.clone(), Arc::clone(&tokens.accepted));
            let finish = Finish {
                work: Work::Session(session.clone()),
                tokens: Some(Box::new(tokens)),
                expire_older: found.several,
                clear_other: carries(engine, &parts.headers, found.transport.other()),
                ..Finish::of(sessions.clone(), found.transport)
            };
            Passage { outcome: Outcome::Session(session), finish }
        }
        Err(refusal) => {
            let Passage { outcome, finish } = refused_in_full(found.transport, refusal);
            Passage { outcome, finish: Finish { instead: instead.map(Box::new), ..finish } }
        }
    }
}

/// Exchanges a refresh token and, where that shows a theft, tells the function named by `on_theft`, which may answer.
///
/// Both go on when nobody waits for them any more, so that a thief who hangs up does not silence the alarm.
async fn exchange_watched(
    sessions: &Sessions,
    presented: Presentation,
    on_theft: Option<TheftHook>,
) -> (Result<Arc<Refreshed>, Refusal>, Option<Response>) {
    let Some(on_theft) = on_theft else { return (sessions.exchange(presented).await, None) };
    let sessions = sessions.clone();
    let watch = tokio::spawn(async move {
        let exchanged = sessions.exchange(presented).await;
        let Err(Refusal { error: SessionError::TokenTheft { user_id, session_handle, kind }, .. }) =
            &exchanged
        else {
            return (exchanged, None);
        };
        let theft = Theft { user_id: Arc::clone(user_id), session_handle: *session_handle, kind: *kind };
        // A task of its own, so that an alarm that panics costs its own answer only.
        let answer = tokio::spawn(on_theft(theft)).await.ok().flatten();
        (exchanged, answer)
    });
    watch.await.unwrap_or_else(|_| {
        let cut_short = StoreError::new("the exchange of a refresh token was cut short");
        (Err(Refusal::keeping(cut_short.into())), None)
    })
}

/// A request that is not served. Where its session is known to be over, the tokens that named it are cleared.
fn refused(sessions: &Sessions, transport: Transport, parts: &Parts, refusal: Refusal) -> Passage {
    tracing::debug!(error = %refusal.error, path = parts.uri.path(), "request refused");
    let finish = Finish { clear: refusal.clear, ..Finish::of(sessions.clone(), transport) };
    Passage { outcome: Outcome::Refused(refusal.error), finish }
}

enum CsrfRejected {
    /// Another site may have made the request.
    Site,
    /// The `anti-csrf` header is missing or wrong.
    Token,
}

fn check_csrf(
    engine: &Engine,
    parts: &Parts,
    handle: impl FnOnce() -> SessionHandle,
) -> Result<(), CsrfRejected> {
    match csrf::check(&engine.config.csrf, &parts.method, &parts.headers, &parts.uri) {
        Verdict::Pass => Ok(()),
        Verdict::Refuse => Err(CsrfRejected::Site),
        Verdict::NeedsToken => {
            let presented = parts.headers.get(header::ANTI_CSRF).and_then(|value| value.to_str().ok());
            let valid =
                presented.is_some_and(|token| derived::anti_csrf_valid(&engine.keys, handle(), token));
            if valid { Ok(()) } else { Err(CsrfRejected::Token) }
        }
    }
}

fn check_csrf_of_refresh(
    engine: &Engine,
    parts: &Parts,
    handle: Option<SessionHandle>,
) -> Result<(), SessionError> {
    // Without a valid token there is nothing that an anti-CSRF token could belong to, and nothing to protect.
    let unknown = SessionHandle::from_bytes([0; 16]);
    match check_csrf(engine, parts, || handle.unwrap_or(unknown)) {
        Ok(()) => Ok(()),
        Err(CsrfRejected::Site) => Err(SessionError::CsrfRejected),
        Err(CsrfRejected::Token) => Err(SessionError::Unauthorised),
    }
}

/// The refresh cookie reaches one path only. An endpoint that sets it must answer where the table says, or the browser will
/// not send the cookie back, and users are logged out when their access token expires. Better to fail now.
fn check_placement(
    engine: &Engine,
    parts: &Parts,
    endpoint: TypeId,
    is_refresh: bool,
) -> Result<(), SessionError> {
    let Some(expected) = engine.config.placement.expected(endpoint, is_refresh) else { return Ok(()) };
    let found = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path();
    if found == expected {
        return Ok(());
    }
    tracing::error!(
        expected,
        found,
        "an endpoint answers at another path than its table says, so the refresh cookie would not come back; \
         write the prefix into the table, `routes![\"/prefix\" => […]]`, in place of `Router::nest`"
    );
    Err(SessionError::misconfigured(format!(
        "the endpoint answers at `{found}`, but its table says `{expected}`"
    )))
}

/// The client's fingerprint under each of the operator's keys, the newest first.
fn fingerprints(engine: &Engine, headers: &HeaderMap) -> Arc<[Fingerprint]> {
    let parts = (engine.config.fingerprint)(headers);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    derived::fingerprints(&engine.keys, &parts).into_iter().map(Fingerprint).collect()
}

fn origin(parts: &Parts) -> Option<Box<Origin>> {
    const LONGEST_USER_AGENT: usize = 256;
    let address = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
    let user_agent = parts.headers.get(http_header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = user_agent.map(|text| text[..text.len().min(LONGEST_USER_AGENT)].into());
    (address.is_some() || user_agent.is_some()).then(|| Box::new(Origin { address, user_agent }))
}

/// Runs the user's handler and finishes its response.
#[doc(hidden)]
pub fn respond<R: IntoResponse>(
    finish: Finish,
    handler: impl Future<Output = R> + Send + 'static,
) -> HandlerFuture {
    Box::pin(async move {
        let response = handler.await.into_response();
        if finish.has_work_for_the_store() {
            Box::pin(finish.carry_out(response)).await
        } else {
            finish.tell(response)
        }
    })
}
