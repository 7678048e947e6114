//! What becomes of a handler's response.

use axum::{
    Json,
    body::HttpBody as _,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    engine::Client,
    error::{Refused, SessionError},
    session::{Changes, Session, StagedLogin},
    sessions::{NewSession, Sessions, Tokens},
    store::EndReason,
    token::{RefreshToken, derived},
    transport::{Change, CsrfMode, Issued, Outgoing, Transport, front_token, header},
};

/// What is to be done with a handler's response.
#[doc(hidden)]
pub struct Finish {
    pub(super) sessions: Sessions,
    pub(super) transport: Transport,
    pub(super) work: Work,
    /// Tokens that the guard itself obtained.
    pub(super) tokens: Option<Box<Tokens>>,
    /// Whether the client shall forget its session.
    pub(super) clear: bool,
    pub(super) clear_other: bool,
    pub(super) expire_older: bool,
    /// The answer that takes the place of the handler's.
    pub(super) instead: Option<Box<Response>>,
}

pub(super) enum Work {
    Nothing,
    /// Tell the client what the handler changed.
    Session(Session),
    /// Make the session that the handler noted down.
    Login(StagedLogin, Box<Client>),
    /// End the session.
    Logout(Session),
}

impl Finish {
    pub(super) fn of(sessions: Sessions, transport: Transport) -> Self {
        Self {
            sessions,
            transport,
            work: Work::Nothing,
            tokens: None,
            clear: false,
            clear_other: false,
            expire_older: false,
            instead: None,
        }
    }

    /// The answer to a request that is not served.
    pub(super) fn refuse(mut self, error: &SessionError) -> Response {
        // Claims that were fetched, only to be found wanting, need not be fetched again for the next request.
        if let Work::Session(session) = &self.work {
            let changes = session.take_changes();
            self.take_changes(changes);
        }
        let response = error.response(&self.sessions.engine().config.statuses);
        self.write(response)
    }

    /// Whether a login or a logout waits to be carried out, which takes [`carry_out`](Self::carry_out).
    pub(super) fn has_work_for_the_store(&self) -> bool {
        matches!(self.work, Work::Login(..) | Work::Logout(_))
    }

    /// Tells the client what the handler's calls changed.
    pub(super) fn tell(mut self, mut response: Response) -> Response {
        self.configure(&mut response);
        if let Work::Session(session) = &self.work {
            let changes = session.take_changes();
            self.take_changes(changes);
        }
        self.write(response)
    }

    /// Carries out what the handler's success asks for, and tells the client.
    pub(super) async fn carry_out(mut self, mut response: Response) -> Response {
        self.configure(&mut response);
        let succeeded = response.status().as_u16() < 400;
        let done = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Login(staged, client) if succeeded => self.commit(staged.take(), *client).await,
            Work::Logout(session) if succeeded => self.log_out(&session, &mut response).await,
            Work::Login(..) | Work::Logout(_) | Work::Session(_) | Work::Nothing => Ok(()),
        };
        match done {
            Ok(()) => self.write(response),
            Err(error) => {
                error.log_misconfiguration();
                self.refuse(&error)
            }
        }
    }

    /// Gives a [`SessionError`] that the handler returned the status that is configured for it.
    fn configure(&self, response: &mut Response) {
        if let Some(Refused(error)) = response.extensions_mut().remove() {
            error.configure(&self.sessions.engine().config.statuses, response);
            error.log_misconfiguration();
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
            self.tokens = Some(Box::new(self.sessions.engine().create(&new, client).await?));
            // A cookie does not replace its namesake of an older domain or path, which may hold another user's session.
            self.expire_older = self.transport == Transport::Cookie;
        }
        Ok(())
    }

    async fn log_out(&mut self, session: &Session, response: &mut Response) -> Result<(), SessionError> {
        self.sessions.engine().end(session.handle(), EndReason::Logout).await?;
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
        if let Err(problem) = self.write_tokens(headers) {
            return SessionError::misconfigured(problem).response(&self.sessions.engine().config.statuses);
        }
        header::vary(headers);
        response
    }

    fn write_tokens(&self, headers: &mut HeaderMap) -> Result<(), String> {
        match &self.tokens {
            _ if self.clear => self.send(Outgoing::clear(self.transport), headers),
            Some(tokens) => self.send_tokens(tokens, headers),
            None if self.expire_older => {
                let expire = Outgoing { expire_older: true, ..Outgoing::keep(self.transport) };
                self.apply_to(expire, headers)
            }
            None => Ok(()),
        }
    }

    fn send_tokens(&self, tokens: &Tokens, headers: &mut HeaderMap) -> Result<(), String> {
        let engine = self.sessions.engine();
        let claims = &tokens.accepted.claims;
        let front_token = front_token::encode(&claims.user, claims.expires_at(), &tokens.access.payload());
        let anti_csrf = (engine.config.csrf.mode == CsrfMode::Token)
            .then(|| derived::anti_csrf(&engine.keys, claims.handle, claims.generation));
        let lifetime = tokens.session_expires_at.since(engine.clock.now());
        let issued = |token| Change::Set(Issued { token, lifetime });
        let outgoing = Outgoing {
            access: Change::Set(tokens.access.expose()),
            refresh: tokens.refresh.as_ref().map(RefreshToken::expose).map_or(Change::Keep, issued),
            front_token: Change::Set(front_token.map_err(|error| error.to_string())?),
            anti_csrf: anti_csrf.as_deref().map_or(Change::Keep, Change::Set),
            persistent: tokens.persistent,
            ..Outgoing::keep(self.transport)
        };
        self.send(outgoing, headers)
    }

    /// Sends what changes all tokens: those of the other transport go, and so do old cookies.
    fn send(&self, outgoing: Outgoing<'_>, headers: &mut HeaderMap) -> Result<(), String> {
        let Self { clear_other, expire_older, .. } = *self;
        self.apply_to(Outgoing { clear_other, expire_older, ..outgoing }, headers)
    }

    fn apply_to(&self, outgoing: Outgoing<'_>, headers: &mut HeaderMap) -> Result<(), String> {
        outgoing.apply(&self.sessions.engine().config.cookies, headers).map_err(|error| error.to_string())
    }
}
