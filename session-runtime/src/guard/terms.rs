//! What a route asks of a session.

use super::ask_store;
use crate::{
    claims::{ClaimFailure, Requirement},
    clock::Timestamp,
    engine::Engine,
    error::SessionError,
    exchange::Refusal,
    route::{GuardOptions, kind::RouteKind},
    session::{Accepted, Session},
};

/// What a route asks of a session, the functions among its requirements apart.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) options: &'a GuardOptions,
    /// The route's own, beside those of the application.
    pub(super) requirements: &'a [Requirement],
    pub(super) kind: RouteKind,
}

impl Terms<'_> {
    /// Whether the session meets the terms; `None` if that takes [`judge_by_asking`](Self::judge_by_asking).
    pub(super) fn judge(&self, engine: &Engine, presented: &Accepted) -> Option<Result<(), Refusal>> {
        if self.options.check_store {
            return None;
        }
        if let Err(error) = engine.check_feed() {
            return Some(Err(error.into()));
        }
        if self.are_met_by_all(engine) {
            return Some(Ok(()));
        }
        let now = engine.clock.now();
        let lacks_claims = engine.can_renew(self.requirements(engine), &presented.application, now);
        (!lacks_claims).then(|| self.check(engine, presented, now))
    }

    /// The same, by asking the store and the sources of claims where the terms say so.
    pub(super) async fn judge_by_asking(&self, engine: &Engine, session: &Session) -> Result<(), Refusal> {
        if self.options.check_store {
            ask_store(engine, session.handle()).await?;
        } else {
            engine.check_feed()?;
        }
        let now = engine.clock.now();
        if engine.can_renew(self.requirements(engine), &session.presented().application, now) {
            self.renew_claims(engine, session, now).await?;
        }
        self.check(engine, &session.current(), now)
    }

    async fn renew_claims(&self, engine: &Engine, session: &Session, now: Timestamp) -> Result<(), Refusal> {
        let required: Vec<_> = self.requirements(engine).collect();
        let renewal = session.renew_claims(&required, now).await;
        if let Err(SessionError::Unauthorised) = renewal {
            ask_store(engine, session.handle()).await?;
        }
        Ok(renewal?)
    }

    fn check(&self, engine: &Engine, accepted: &Accepted, now: Timestamp) -> Result<(), Refusal> {
        let check = |required: &Requirement| required.check(&accepted.application, now).err();
        let mut failures: Vec<_> = self.requirements(engine).filter_map(check).collect();
        if let Some(max_age) = self.options.max_auth_age
            && now.since(accepted.claims.auth_time()) > max_age
        {
            failures.push(ClaimFailure::authentication_too_old(max_age.as_secs()));
        }
        if failures.is_empty() { Ok(()) } else { Err(SessionError::InvalidClaims(failures).into()) }
    }

    /// Whether any session will do.
    fn are_met_by_all(&self, engine: &Engine) -> bool {
        self.requirements.is_empty()
            && self.inherited(engine).is_empty()
            && self.options.max_auth_age.is_none()
    }

    fn requirements<'b>(&'b self, engine: &'b Engine) -> impl Iterator<Item = &'b Requirement> {
        self.inherited(engine).iter().chain(self.requirements)
    }

    /// What the application requires of this route too.
    fn inherited<'b>(&self, engine: &'b Engine) -> &'b [Requirement] {
        match self.kind {
            RouteKind::Protected if self.options.inherits => &engine.config.requirements,
            _ => &[],
        }
    }
}
