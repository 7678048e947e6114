//! A request's way through the system, from its tokens to the last header of its response.
//!
//! ```text
//! request ─► Guard ─► protected: admit()      find the token · verify · CSRF · revocation · requirements
//!                     refresh:   exchange()   find the token · CSRF · rotate
//!                     login:     receive()    CSRF · note who comes
//!         ─► the user's handler, unless it was refused
//!         ─► Finish: commit the login, end the session, write tokens ─► response
//! ```

use std::{any::TypeId, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use axum::{
    Json,
    body::HttpBody as _,
    extract::{ConnectInfo, FromRef, FromRequestParts, OriginalUri},
    http::{HeaderMap, StatusCode, header as http_header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    claims::{ClaimFailure, Requirement},
    config::WhenBehind,
    error::{Refused, SessionError, StoreError},
    exchange::Refusal,
    handle::SessionHandle,
    revocation::Standing,
    rotation::TheftKind,
    route::{
        Endpoint, GuardOptions,
        kind::{Kind, RouteKind},
    },
    session::{Accepted, Changes, Login, Session, StagedLogin},
    sessions::{Client, Core, NewSession, Sessions, Tokens},
    store::{EndReason, Fingerprint, Origin},
    token::{Opened, derived, refresh},
    transport::{
        Change, CsrfMode, Issued, Outgoing, Transport, cookie,
        csrf::{self, Verdict},
        front_token,
        header::{self, Bearer},
    },
};

/// The first argument of every handler that an attribute generates; it runs before all others and before the body is read.
#[doc(hidden)]
pub struct Guard<E, A> {
    argument: A,
    finish: Finish,
    endpoint: PhantomData<fn() -> E>,
}

impl<E, A> Guard<E, A> {
    /// The handler's own argument, and what is to be done with its response.
    pub fn open(self) -> (A, Finish) {
        (self.argument, self.finish)
    }
}

impl<E, A, S> FromRequestParts<S> for Guard<E, A>
where
    E: Endpoint,
    A: SessionArgument<E::Kind>,
    S: Send + Sync,
    Sessions: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let sessions = Sessions::from_ref(state);
        // What few requests need is boxed, here and in `apply`: every request's future has room for its longest way.
        let Passage { outcome, finish } = match <E::Kind as Kind>::KIND {
            RouteKind::Protected | RouteKind::Optional | RouteKind::Logout | RouteKind::Public => {
                let is_logout = <E::Kind as Kind>::KIND == RouteKind::Logout;
                admit(&sessions, parts, &E::GUARD, E::requirements(), is_logout).await
            }
            RouteKind::Login => receive(&sessions, parts, TypeId::of::<E>()),
            RouteKind::Refresh => Box::pin(exchange(&sessions, parts, TypeId::of::<E>())).await,
        };
        if let Outcome::Refused(SessionError::TokenTheft { user_id, session_handle, kind }) = &outcome
            && let Some(hook) = E::on_theft()
        {
            let theft = Theft { user_id: Arc::clone(user_id), session_handle: *session_handle, kind: *kind };
            if let Some(answer) = hook(theft).await {
                return Err(Box::pin(finish.apply(answer)).await);
            }
        }
        match A::take(outcome) {
            Ok(argument) => Ok(Self { argument, finish, endpoint: PhantomData }),
            Err(error) => Err(finish.refuse(&error)),
        }
    }
}

/// What a handler of kind `K` may take as its first argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the session argument of this handler",
    label = "not a session argument",
    note = "the first argument is `Session`, or `Result<Session, SessionError>` to answer refusals itself; \
            `Option<Session>` with `optional`; `Login` in a `#[login_endpoint]`"
)]
pub trait SessionArgument<K: Kind>: Sized + Send {
    /// Makes the argument of what was found, or refuses the request.
    #[doc(hidden)]
    fn take(outcome: Outcome) -> Result<Self, SessionError>;
}

/// What a guard found.
#[doc(hidden)]
#[derive(Debug)]
pub enum Outcome {
    /// A session.
    Session(Session),
    /// No session, and nothing that was meant to be one.
    Anonymous,
    /// A login in progress.
    Login(Box<Login>),
    /// A reason not to serve the request.
    Refused(SessionError),
}

impl Outcome {
    fn session(self) -> Result<Session, SessionError> {
        match self {
            Self::Session(session) => Ok(session),
            Self::Refused(error) => Err(error),
            Self::Anonymous | Self::Login(_) => Err(SessionError::Unauthorised),
        }
    }

    fn session_if_any(self) -> Result<Option<Session>, SessionError> {
        match self {
            // A session that is known to be over is none; the guard has the client forget it.
            Self::Anonymous | Self::Refused(SessionError::Unauthorised) => Ok(None),
            other => other.session().map(Some),
        }
    }
}

macro_rules! session_arguments {
    ($($argument:ty: $($kind:ident)|+ = $take:expr;)+) => {$($(
        impl SessionArgument<crate::route::kind::$kind> for $argument {
            fn take(outcome: Outcome) -> Result<Self, SessionError> {
                $take(outcome)
            }
        }
    )+)+};
}

session_arguments! {
    Session: Required | Refresh | Logout = Outcome::session;
    Result<Session, SessionError>: Required | Refresh | Logout = |outcome: Outcome| Ok(outcome.session());
    Option<Session>: Optional = Outcome::session_if_any;
    Result<Option<Session>, SessionError>: Optional = |outcome: Outcome| Ok(outcome.session_if_any());
    Login: Login = |outcome| match outcome {
        Outcome::Login(login) => Ok(*login),
        Outcome::Refused(error) => Err(error),
        Outcome::Session(_) | Outcome::Anonymous => Err(SessionError::Unauthorised),
    };
}

/// A theft, as the function named by `on_theft` sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Theft {
    /// Whose session it was.
    pub user_id: Arc<str>,
    /// Which session it was. It has ended.
    pub session_handle: SessionHandle,
    /// What gave the theft away.
    pub kind: TheftKind,
}

struct Passage {
    outcome: Outcome,
    finish: Finish,
}

/// Lets a request to a protected route pass, or not. No store I/O but with `check = store`.
async fn admit(
    sessions: &Sessions,
    parts: &Parts,
    options: &GuardOptions,
    requirements: &[Requirement],
    is_logout: bool,
) -> Passage {
    let core = sessions.core();
    let (presented, transport, several) = match Presented::find(core, &parts.headers) {
        Ok(Some(Presented { accepted, transport, several })) => (accepted, transport, several),
        Ok(None) => {
            return Passage {
                outcome: Outcome::Anonymous,
                finish: Finish::of(sessions, core.config.transport),
            };
        }
        Err(refusal) => return refused(sessions, core.config.transport, parts, refusal),
    };
    let judged = match presented {
        Ok(accepted) => {
            judge(core, parts, options, requirements, &accepted, transport).await.map(|()| accepted)
        }
        Err(error) => Err(error.into()),
    };
    match judged {
        Ok(accepted) => {
            core.note_use(&accepted);
            let session = Session::new(sessions.clone(), accepted);
            let work = if is_logout { Work::Logout(session.clone()) } else { Work::Session(session.clone()) };
            let finish = Finish { work, expire_older: several, ..Finish::of(sessions, transport) };
            let finish = Finish { clear_other: carries(core, &parts.headers, transport.other()), ..finish };
            Passage { outcome: Outcome::Session(session), finish }
        }
        Err(refusal) => refused(sessions, transport, parts, refusal),
    }
}

/// Everything that is asked of a valid access token.
async fn judge(
    core: &Core,
    parts: &Parts,
    options: &GuardOptions,
    requirements: &[Requirement],
    accepted: &Accepted,
    transport: Transport,
) -> Result<(), Refusal> {
    if transport == Transport::Cookie {
        let handle = accepted.claims.handle;
        check_csrf(core, parts, || handle).map_err(|rejected| match rejected {
            CsrfRejected::Site => SessionError::CsrfRejected,
            CsrfRejected::Token => SessionError::TryRefreshToken,
        })?;
    }
    check_standing(core.standing(accepted))?;
    if core.config.when_behind == WhenBehind::FailClosed
        && core.revoked.behind(core.clock.now()) > core.config.feed_bound
    {
        return Err(SessionError::from(StoreError::new("revocations may have been missed")).into());
    }
    if options.check_store && Box::pin(core.live_row(accepted.claims.handle)).await?.is_none() {
        return Err(Refusal::clearing(SessionError::Unauthorised));
    }
    let mut failures: Vec<_> =
        requirements.iter().filter_map(|required| required.check(&accepted.application).err()).collect();
    if let Some(max_age) = options.max_auth_age
        && core.clock.now().since(accepted.claims.auth_time()) > max_age
    {
        failures.push(ClaimFailure::authentication_too_old(max_age.as_secs()));
    }
    if failures.is_empty() { Ok(()) } else { Err(SessionError::InvalidClaims(failures).into()) }
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
    let core = sessions.core();
    let transport = header::auth_mode(&parts.headers).unwrap_or(core.config.transport);
    let verdict = csrf::check_login(&core.config.csrf, &parts.method, &parts.headers, &parts.uri);
    if verdict != Verdict::Pass {
        return refused(sessions, transport, parts, SessionError::CsrfRejected.into());
    }
    if let Err(error) = check_placement(core, parts, endpoint, false) {
        return refused(sessions, transport, parts, error.into());
    }
    let client = Client {
        fingerprint: fingerprint(core, &parts.headers),
        origin: origin(parts),
        replaces: access_tokens(core, &parts.headers).find_map(|token| core.named_session(token)),
    };
    let (login, staged) = Login::new();
    let finish = Finish {
        work: Work::Login(staged, Box::new(client)),
        clear_other: carries(core, &parts.headers, transport.other()),
        ..Finish::of(sessions, transport)
    };
    Passage { outcome: Outcome::Login(Box::new(login)), finish }
}

/// Exchanges a refresh token, before the handler runs.
async fn exchange(sessions: &Sessions, parts: &Parts, endpoint: TypeId) -> Passage {
    let core = sessions.core();
    if let Err(error) = check_placement(core, parts, endpoint, true) {
        return refused(sessions, core.config.transport, parts, error.into());
    }
    let found = match find_refresh_token(core, parts) {
        Ok(found) => found,
        Err((transport, refusal)) => return refused(sessions, transport, parts, refusal),
    };
    let by = fingerprint(core, &parts.headers);
    match sessions.exchange(found.token, by).await {
        Ok(refreshed) => {
            let tokens = refreshed.tokens.clone();
            let session = Session::new(sessions.clone(), Arc::clone(&tokens.accepted));
            let finish = Finish {
                work: Work::Session(session.clone()),
                tokens: Some(Box::new(tokens)),
                expire_older: found.several,
                clear_other: carries(core, &parts.headers, found.transport.other()),
                ..Finish::of(sessions, found.transport)
            };
            Passage { outcome: Outcome::Session(session), finish }
        }
        Err(refusal) => refused(sessions, found.transport, parts, refusal),
    }
}

/// A request that is not served. Where its session is known to be over, the tokens that it carried are cleared.
fn refused(sessions: &Sessions, transport: Transport, parts: &Parts, refusal: Refusal) -> Passage {
    tracing::debug!(error = %refusal.error, path = parts.uri.path(), "request refused");
    let clear_other = refusal.clear && carries(sessions.core(), &parts.headers, transport.other());
    let finish = Finish { clear: refusal.clear, clear_other, ..Finish::of(sessions, transport) };
    Passage { outcome: Outcome::Refused(refusal.error), finish }
}

/// The access token that a request presents.
struct Presented {
    accepted: Result<Arc<Accepted>, SessionError>,
    transport: Transport,
    /// Whether it came in one of several cookies of the same name.
    several: bool,
}

impl Presented {
    /// The token in `Authorization`, else the best of those in cookies. What has not the form of our tokens is not ours.
    fn find(core: &Core, headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        match header::bearer(headers) {
            Bearer::One(token) => {
                if let Some(accepted) = core.accept(token) {
                    return Ok(Some(Self { accepted, transport: Transport::Header, several: false }));
                }
            }
            Bearer::Ambiguous => return Err(SessionError::Unauthorised.into()),
            Bearer::None => {}
        }
        let cookies = cookie::values(headers, &core.config.cookies.access_name);
        let mut cookies = cookies.filter_map(|token| core.accept(token));
        let Some(accepted) = cookies.next() else { return Ok(None) };
        let mut found = Self { accepted, transport: Transport::Cookie, several: false };
        for accepted in cookies {
            found.several = true;
            found.accepted = newer(found.accepted, accepted);
        }
        Ok(Some(found))
    }
}

fn newer(
    one: Result<Arc<Accepted>, SessionError>,
    other: Result<Arc<Accepted>, SessionError>,
) -> Result<Arc<Accepted>, SessionError> {
    match (one, other) {
        (Ok(one), Ok(other)) if other.claims.issued_at > one.claims.issued_at => Ok(other),
        (Ok(one), _) => Ok(one),
        (Err(_), other) => other,
    }
}

fn access_cookies<'a>(core: &'a Core, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    cookie::values(headers, &core.config.cookies.access_name).filter(|token| core.is_access_token(token))
}

/// Every access token of the request, valid or not, that of `Authorization` first.
fn access_tokens<'a>(core: &'a Core, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    let bearer = match header::bearer(headers) {
        Bearer::One(token) => Some(token),
        Bearer::None | Bearer::Ambiguous => None,
    };
    bearer.into_iter().filter(|token| core.is_access_token(token)).chain(access_cookies(core, headers))
}

/// Whether the request carries tokens of a session by `transport`, valid or not.
fn carries(core: &Core, headers: &HeaderMap, transport: Transport) -> bool {
    let cookies = &core.config.cookies;
    match transport {
        Transport::Cookie => [&cookies.access_name, &cookies.refresh_name]
            .into_iter()
            .any(|name| cookie::values(headers, name).next().is_some()),
        Transport::Header => match (header::refresh_header(headers), header::bearer(headers)) {
            (Bearer::None, Bearer::One(token)) => {
                core.is_access_token(token) || refresh::open(&core.keys, token).is_ok()
            }
            (Bearer::None, Bearer::None | Bearer::Ambiguous) => false,
            (Bearer::One(_) | Bearer::Ambiguous, _) => true,
        },
    }
}

/// The refresh token that a request presents, its first MAC found right.
struct FoundRefreshToken {
    token: Opened,
    transport: Transport,
    several: bool,
}

/// CSRF first, where a cookie could be the token; then the token of a header, else the best of those in cookies.
fn find_refresh_token(core: &Core, parts: &Parts) -> Result<FoundRefreshToken, (Transport, Refusal)> {
    let headers = &parts.headers;
    let invalid = |transport| (transport, Refusal::clearing(SessionError::Unauthorised));
    let open = |text: &str| refresh::open(&core.keys, text).ok();

    let in_header = match (header::refresh_header(headers), header::bearer(headers)) {
        (Bearer::One(text), _) => Some(open(text).ok_or_else(|| invalid(Transport::Header))?),
        (Bearer::Ambiguous, _) | (Bearer::None, Bearer::Ambiguous) => return Err(invalid(Transport::Header)),
        (Bearer::None, Bearer::One(text)) => open(text),
        (Bearer::None, Bearer::None) => None,
    };
    if let Some(token) = in_header {
        return Ok(FoundRefreshToken { token, transport: Transport::Header, several: false });
    }

    let cookies: Vec<&str> = cookie::values(headers, &core.config.cookies.refresh_name).collect();
    if cookies.is_empty() {
        // Nothing to clear: a login in another tab may just be setting cookies.
        let junk = matches!(header::bearer(headers), Bearer::One(_));
        let refusal = if junk { Refusal::clearing } else { Refusal::keeping };
        let transport = if junk { Transport::Header } else { core.config.transport };
        return Err((transport, refusal(SessionError::Unauthorised)));
    }
    let named = access_tokens(core, headers).find_map(|token| core.named_session(token));
    let best = best_of(cookies.iter().filter_map(|text| open(text)), named);
    check_csrf_of_refresh(core, parts, best.as_ref().map(Opened::handle))
        .map_err(|error| (Transport::Cookie, Refusal::keeping(error)))?;
    let token = best.ok_or_else(|| invalid(Transport::Cookie))?;
    Ok(FoundRefreshToken { token, transport: Transport::Cookie, several: cookies.len() > 1 })
}

/// Of several refresh tokens, the newest of the session that the access token names, else of the first session.
///
/// Generations of different sessions say nothing about each other. An older generation of the same session is a stale copy,
/// which must not be presented: it would look like theft.
fn best_of(tokens: impl Iterator<Item = Opened>, named: Option<SessionHandle>) -> Option<Opened> {
    let mut newest: Vec<Opened> = Vec::new();
    for token in tokens {
        match newest.iter_mut().find(|known| known.handle() == token.handle()) {
            Some(known) if token.generation() > known.generation() => *known = token,
            Some(_) => {}
            None => newest.push(token),
        }
    }
    let preferred = newest.iter().position(|token| Some(token.handle()) == named).unwrap_or(0);
    (!newest.is_empty()).then(|| newest.swap_remove(preferred))
}

enum CsrfRejected {
    /// Another site may have made the request.
    Site,
    /// The `anti-csrf` header is missing or wrong.
    Token,
}

fn check_csrf(
    core: &Core,
    parts: &Parts,
    handle: impl FnOnce() -> SessionHandle,
) -> Result<(), CsrfRejected> {
    match csrf::check(&core.config.csrf, &parts.method, &parts.headers, &parts.uri) {
        Verdict::Pass => Ok(()),
        Verdict::Refuse => Err(CsrfRejected::Site),
        Verdict::NeedsToken => {
            let presented = parts.headers.get(header::ANTI_CSRF).and_then(|value| value.to_str().ok());
            let valid = presented.is_some_and(|token| derived::anti_csrf_valid(&core.keys, handle(), token));
            if valid { Ok(()) } else { Err(CsrfRejected::Token) }
        }
    }
}

fn check_csrf_of_refresh(
    core: &Core,
    parts: &Parts,
    handle: Option<SessionHandle>,
) -> Result<(), SessionError> {
    // Without a valid token there is nothing that an anti-CSRF token could belong to, and nothing to protect.
    let unknown = SessionHandle::from_bytes([0; 16]);
    match check_csrf(core, parts, || handle.unwrap_or(unknown)) {
        Ok(()) => Ok(()),
        Err(CsrfRejected::Site) => Err(SessionError::CsrfRejected),
        Err(CsrfRejected::Token) => Err(SessionError::Unauthorised),
    }
}

/// The refresh cookie reaches one path only. An endpoint that sets it must answer where the table says, or the browser will
/// not send the cookie back, and users are logged out when their access token expires. Better to fail now.
fn check_placement(
    core: &Core,
    parts: &Parts,
    endpoint: TypeId,
    is_refresh: bool,
) -> Result<(), SessionError> {
    let Some(expected) = core.config.placement.expected(endpoint, is_refresh) else { return Ok(()) };
    let found = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path();
    if found == expected {
        return Ok(());
    }
    tracing::error!(
        expected,
        found,
        "an endpoint answers at another path than its table says, so the refresh cookie would not come back; \
         write the prefix into the table, `routes![\"/prefix\" => […]]`, in place of `Router::nest`, or give it to \
         `SessionsBuilder::refresh_path`"
    );
    Err(SessionError::misconfigured(format!(
        "the endpoint answers at `{found}`, but its table says `{expected}`"
    )))
}

fn fingerprint(core: &Core, headers: &HeaderMap) -> Fingerprint {
    let parts = (core.config.fingerprint)(headers);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Fingerprint(derived::fingerprint(&core.keys, &parts))
}

fn origin(parts: &Parts) -> Option<Box<Origin>> {
    const LONGEST_USER_AGENT: usize = 256;
    let address = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
    let user_agent = parts.headers.get(http_header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = user_agent.map(|text| text[..text.len().min(LONGEST_USER_AGENT)].into());
    (address.is_some() || user_agent.is_some()).then(|| Box::new(Origin { address, user_agent }))
}

/// What is to be done with a handler's response.
#[doc(hidden)]
pub struct Finish {
    sessions: Sessions,
    transport: Transport,
    work: Work,
    /// Tokens that the guard itself obtained.
    tokens: Option<Box<Tokens>>,
    /// Whether the client shall forget its session.
    clear: bool,
    clear_other: bool,
    expire_older: bool,
}

enum Work {
    Nothing,
    /// Tell the client what the handler changed.
    Session(Session),
    /// Make the session that the handler noted down.
    Login(StagedLogin, Box<Client>),
    /// End the session.
    Logout(Session),
}

impl Finish {
    fn of(sessions: &Sessions, transport: Transport) -> Self {
        Self {
            sessions: sessions.clone(),
            transport,
            work: Work::Nothing,
            tokens: None,
            clear: false,
            clear_other: false,
            expire_older: false,
        }
    }

    /// The answer to a request that is not served.
    fn refuse(self, error: &SessionError) -> Response {
        let response = error.response(&self.sessions.core().config.statuses);
        self.write(response)
    }

    /// Carries out what the handler's success or its calls ask for, and tells the client.
    async fn apply(mut self, mut response: Response) -> Response {
        let statuses = &self.sessions.core().config.statuses;
        if let Some(Refused(error)) = response.extensions_mut().remove() {
            *response.status_mut() = error.status(statuses);
        }
        let succeeded = response.status().as_u16() < 400;
        let failed = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => None,
            Work::Session(session) => {
                self.take_changes(session.take_changes());
                None
            }
            Work::Login(staged, client) if succeeded => {
                Box::pin(self.commit(staged.take(), *client)).await.err()
            }
            Work::Logout(session) if succeeded => Box::pin(self.log_out(&session, &mut response)).await.err(),
            Work::Login(..) | Work::Logout(_) => None,
        };
        match failed {
            Some(error) => self.refuse(&error),
            None => self.write(response),
        }
    }

    fn take_changes(&mut self, changes: Changes) {
        let Changes { ended, tokens } = changes;
        self.clear |= ended;
        if let Some(mut newer) = tokens {
            // A refresh whose handler changed a claim still has its refresh token to send.
            newer.refresh = self.tokens.take().and_then(|tokens| tokens.refresh);
            self.tokens = Some(Box::new(newer));
        }
    }

    async fn commit(&mut self, staged: Option<NewSession>, client: Client) -> Result<(), SessionError> {
        if let Some(new) = staged {
            self.tokens = Some(Box::new(self.sessions.core().create(&new, client).await?));
        }
        Ok(())
    }

    async fn log_out(&mut self, session: &Session, response: &mut Response) -> Result<(), SessionError> {
        self.sessions.core().end(session.handle(), EndReason::Logout).await?;
        self.clear = true;
        if response.status() == StatusCode::OK && response.body().size_hint().exact() == Some(0) {
            let answer = Json(json!({ "status": "OK" })).into_response();
            let (parts, body) = answer.into_parts();
            response.headers_mut().extend(parts.headers);
            *response.body_mut() = body;
        }
        Ok(())
    }

    /// Writes the session headers, whatever the response is.
    fn write(self, mut response: Response) -> Response {
        let is_error = response.status().as_u16() >= 400;
        let headers = response.headers_mut();
        if is_error && headers.contains_key(SessionError::REASON_HEADER) {
            header::expose(headers, [&SessionError::REASON_HEADER]);
        }
        if self.clear || self.tokens.is_some() || self.expire_older {
            if let Err(error) = self.write_tokens(headers) {
                tracing::error!(%error, "the session's tokens can't be sent");
                return SessionError::misconfigured(error).response(&self.sessions.core().config.statuses);
            }
        }
        header::vary(headers);
        response
    }

    fn write_tokens(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let core = self.sessions.core();
        let cookies = &core.config.cookies;
        let outgoing = match (&self.tokens, self.clear) {
            (_, true) => Outgoing::clear(self.transport),
            (None, false) => Outgoing::keep(self.transport),
            (Some(tokens), false) => {
                let claims = &tokens.accepted.claims;
                let payload = tokens.access.payload();
                let front_token = front_token::encode(&claims.user, claims.expires_at(), &payload);
                let anti_csrf = match core.config.csrf.mode {
                    CsrfMode::Token => Some(derived::anti_csrf(&core.keys, claims.handle, claims.generation)),
                    _ => None,
                };
                let outgoing = Outgoing {
                    access: Change::Set(tokens.access.expose()),
                    refresh: tokens.refresh.as_ref().map_or(Change::Keep, |token| {
                        let lifetime = tokens.session_expires_at.since(core.clock.now());
                        Change::Set(Issued { token: token.expose(), lifetime })
                    }),
                    front_token: Change::Set(front_token.map_err(|error| error.to_string())?),
                    anti_csrf: anti_csrf.as_deref().map_or(Change::Keep, Change::Set),
                    persistent: tokens.persistent,
                    clear_other: self.clear_other,
                    expire_older: self.expire_older,
                    ..Outgoing::keep(self.transport)
                };
                return outgoing.apply(cookies, headers).map_err(|error| error.to_string());
            }
        };
        let outgoing = Outgoing {
            clear_other: self.clear && self.clear_other,
            expire_older: self.expire_older,
            ..outgoing
        };
        outgoing.apply(cookies, headers).map_err(|error| error.to_string())
    }
}

/// What every generated handler returns.
#[doc(hidden)]
pub type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Runs the user's handler and finishes its response.
///
/// Generic over the type of the response only, so that it is compiled once for all handlers that return the same.
#[doc(hidden)]
pub fn respond<R: IntoResponse + 'static>(
    finish: Finish,
    handler: Pin<Box<dyn Future<Output = R> + Send>>,
) -> ResponseFuture {
    Box::pin(async move { finish.apply(handler.await.into_response()).await })
}

/// What the function named by `on_theft` may return.
#[diagnostic::on_unimplemented(
    message = "a function named by `on_theft` can't return `{Self}`",
    note = "help: return `()` to keep the usual answer, or a `Response`, or an `Option<Response>`"
)]
pub trait TheftAnswer {
    /// The answer to the request that gave the theft away; `None` for the usual one.
    #[doc(hidden)]
    fn answer(self) -> Option<Response>;
}

impl TheftAnswer for () {
    fn answer(self) -> Option<Response> {
        None
    }
}

impl TheftAnswer for Response {
    fn answer(self) -> Option<Response> {
        Some(self)
    }
}

impl<R: IntoResponse> TheftAnswer for Option<R> {
    fn answer(self) -> Option<Response> {
        self.map(IntoResponse::into_response)
    }
}

impl<R: IntoResponse> TheftAnswer for (StatusCode, R) {
    fn answer(self) -> Option<Response> {
        Some(self.into_response())
    }
}

/// Runs the function named by `on_theft`.
#[doc(hidden)]
pub fn theft_answer<F, A>(hook: F) -> Pin<Box<dyn Future<Output = Option<Response>> + Send>>
where
    F: Future<Output = A> + Send + 'static,
    A: TheftAnswer,
{
    Box::pin(async move { hook.await.answer() })
}
