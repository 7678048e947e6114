//! The handlers, and the table of them.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use session_runtime::{
    Claim, Clock, Jwks, Login, Routes, Session, SessionError, SessionHandle, Sessions, Theft, login_endpoint,
    logout_endpoint, protected, public, refresh_endpoint, routes,
};

use crate::{accounts::Accounts, events::events, journal::Journal, lab, lab::Lab, page};

pub(crate) static ROUTES: Routes<App> = routes![
    login,
    refresh,
    logout,
    home_feed,
    sessions,
    revoke,
    revoke_others,
    theme,
    delete_post,
    health,
    jwks,
    events,
    ..page::ROUTES,
    "/lab" => [..lab::ROUTES],
];

/// What the handlers share.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    sessions: Sessions,
    accounts: Accounts,
    journal: Journal,
    pace: Pace,
    lab: Lab,
}

/// How fast things go here, for the page to tell.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) access_lifetime: Duration,
    pub(crate) grace: Duration,
    /// Whether the laboratory is on.
    pub(crate) lab: bool,
}

impl App {
    pub(crate) fn new(sessions: Sessions, clock: Clock, pace: Pace) -> Self {
        let journal = Journal::start(&sessions, clock);
        let lab = if pace.lab { Lab::on(journal.clone()) } else { Lab::off() };
        Self { sessions, accounts: Accounts::demo(), journal, pace, lab }
    }

    /// The application, ready to be served.
    pub(crate) fn router(self) -> Router {
        let lab = self.lab.clone();
        lab.watch(ROUTES.router(self))
    }

    /// What has to be closed for the server to stop.
    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }
}

/// What the user may do.
#[derive(Clone, Copy)]
pub(crate) struct Roles;

impl Claim for Roles {
    const KEY: &'static str = "roles";
    type Value = Vec<String>;
}

/// How the user wants the pages to look.
#[derive(Clone, Copy)]
pub(crate) struct Theme;

impl Claim for Theme {
    const KEY: &'static str = "theme";
    type Value = String;
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

/// Checks the password. The session is made, and its tokens are sent, because this answers below 400.
#[login_endpoint(POST "/login")]
async fn login(
    mut login: Login,
    State(accounts): State<Accounts>,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let Some(account) = accounts.check(&form.user, &form.password) else {
        return Err((StatusCode::FORBIDDEN, Json(json!({ "message": "wrong user or password" }))));
    };
    let roles: Vec<String> = account.roles.iter().map(ToString::to_string).collect();
    login.create(account.id).claim(Roles, roles).claim(Theme, "light");
    Ok(Json(json!({ "user": account.id })))
}

/// Runs after the rotation; the new tokens are on the response already.
#[refresh_endpoint(POST "/refresh", on_theft = report_theft)]
async fn refresh(session: Session) -> Json<Value> {
    Json(json!({ "user": session.user_id() }))
}

/// A real application tells the user here, and may revoke their other sessions too.
async fn report_theft(theft: Theft) {
    eprintln!("theft: session {} of {} was ended ({:?})", theft.session_handle, theft.user_id, theft.kind);
}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

#[protected(GET "/getHomeFeed")]
async fn home_feed(session: Session) -> Json<Value> {
    Json(json!({
        "user": session.user_id(),
        "theme": session.claim(Theme),
        "feed": ["Rust 1.95 is out", "A post about cats", "Your cousin's holiday pictures"],
    }))
}

/// The devices on which the user is logged in.
#[protected(GET "/sessions")]
async fn sessions(session: Session, State(sessions): State<Sessions>) -> Result<Json<Value>, SessionError> {
    let list = sessions.list(session.user_id()).await?;
    let devices = list.iter().map(|info| {
        json!({
            "handle": info.handle,
            "created": info.created_at,
            "lastRefreshed": info.refreshed_at,
            "address": info.address,
            "userAgent": info.user_agent,
            "current": info.handle == session.handle(),
        })
    });
    Ok(Json(devices.collect()))
}

#[protected(POST "/sessions/{handle}/revoke")]
async fn revoke(
    session: Session,
    State(sessions): State<Sessions>,
    Path(handle): Path<SessionHandle>,
) -> Result<StatusCode, SessionError> {
    match sessions.info(handle).await? {
        Some(info) if *info.user_id == *session.user_id() => {
            sessions.revoke(handle).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        // Another user's session is none of theirs, not even its existence.
        Some(_) | None => Ok(StatusCode::NOT_FOUND),
    }
}

#[protected(POST "/sessions/revoke-others")]
async fn revoke_others(
    session: Session,
    State(sessions): State<Sessions>,
) -> Result<Json<Value>, SessionError> {
    let revoked = sessions.revoke_others(session.user_id(), session.handle()).await?;
    Ok(Json(json!({ "revoked": revoked })))
}

#[derive(Deserialize)]
struct Choice {
    theme: String,
}

/// Changes a claim in place: this response carries the access token with it.
#[protected(POST "/theme")]
async fn theme(
    session: Session,
    Json(choice): Json<Choice>,
) -> Result<(StatusCode, Json<Value>), SessionError> {
    if choice.theme.len() > 32 {
        let message = json!({ "message": "a theme's name has at most 32 bytes" });
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(message)));
    }
    session.set_claim(Theme, choice.theme).await?;
    Ok((StatusCode::OK, Json(json!({ "theme": session.claim(Theme) }))))
}

#[protected(DELETE "/posts/{id}", require = [Roles.includes("admin")], max_auth_age = "15m", check = store)]
async fn delete_post(_: Session, Path(_id): Path<u64>) -> StatusCode {
    StatusCode::NO_CONTENT
}

#[public(GET "/health")]
async fn health() -> &'static str {
    "ok"
}

/// The keys under which other services can verify our access tokens.
#[public(GET "/auth/jwt/jwks.json")]
async fn jwks(State(sessions): State<Sessions>) -> Jwks {
    sessions.jwks()
}
