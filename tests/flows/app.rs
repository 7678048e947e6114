//! An application with a handler of every kind.

use std::sync::Mutex;

use axum::{
    Json,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use session_runtime::{
    Claim, Login, Routes, Session, SessionError, SessionHandle, Sessions, Theft, login_endpoint,
    logout_endpoint, protected, public, refresh_endpoint, routes,
};

#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: Sessions,
}

pub(crate) static ROUTES: Routes<App> = routes![
    login,
    refresh,
    logout,
    me,
    note,
    write_note,
    set_role,
    leave,
    leave_others,
    admin,
    recent,
    checked,
    maybe,
    own_refusal,
    own_headers,
    broken,
    health,
];

/// The same system as the browser SDK expects it: default paths, and a refresh that answers refusals itself.
pub(crate) static SDK_ROUTES: Routes<App> = routes![login, explain, sign_out, me, who, health];

/// The same system below a prefix that the table knows.
pub(crate) static PREFIXED_ROUTES: Routes<App> = routes!["/api" => [login, refresh, logout, me, health]];

#[derive(Clone, Copy)]
pub(crate) struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

/// A claim whose name belongs to the token itself.
#[derive(Clone, Copy)]
pub(crate) struct Subject;

impl Claim for Subject {
    const KEY: &'static str = "sub";
    type Value = String;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    user: String,
    /// Whether cookies end with the browser.
    forget: bool,
    roles: Vec<String>,
    /// How the handler goes on after it has noted the session down.
    then: Then,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    #[default]
    Answer,
    Refuse,
    Panic,
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(form): Json<Credentials>) -> Result<Json<Value>, StatusCode> {
    login.create(&form.user).claim(Role, form.roles).remember(!form.forget);
    match form.then {
        Then::Answer => Ok(Json(json!({ "user": form.user }))),
        Then::Refuse => Err(StatusCode::FORBIDDEN),
        Then::Panic => panic!("the handler failed after it noted the session down"),
    }
}

/// Runs after the rotation; what it does further depends on the user.
#[refresh_endpoint(POST "/refresh", on_theft = sound_the_alarm)]
async fn refresh(session: Session) -> Result<String, Response> {
    match session.user_id() {
        CLUMSY => return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        PROMOTED => {
            let promotion = session.set_claim(Role, vec!["admin".to_owned()]).await;
            promotion.map_err(IntoResponse::into_response)?;
        }
        DISMISSED => session.revoke().await.map_err(IntoResponse::into_response)?,
        _ => {}
    }
    Ok(session.user_id().to_owned())
}

/// The refresh handler fails for this user.
pub(crate) const CLUMSY: &str = "clumsy";

/// The refresh handler gives this user a role.
pub(crate) const PROMOTED: &str = "promoted";

/// The refresh handler ends this user's session.
pub(crate) const DISMISSED: &str = "dismissed";

/// The thefts that the hook was told of, of all tests; each test has its own users.
pub(crate) static ALARMS: Mutex<Vec<(String, SessionHandle)>> = Mutex::new(Vec::new());

/// The hook answers for users whose name begins so.
pub(crate) const ANSWERED: &str = "answered";

async fn sound_the_alarm(theft: Theft) -> Option<(StatusCode, &'static str)> {
    ALARMS.lock().unwrap().push((theft.user_id.to_string(), theft.session_handle));
    theft.user_id.starts_with(ANSWERED).then_some((StatusCode::IM_A_TEAPOT, "call the bank"))
}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

#[protected(GET "/me")]
pub(crate) async fn me(session: Session) -> Json<Value> {
    Json(json!({
        "user": session.user_id(),
        "handle": session.handle(),
        "tenant": session.tenant(),
        "roles": session.claim(Role),
    }))
}

#[protected(GET "/note")]
async fn note(session: Session) -> Result<Json<Option<String>>, SessionError> {
    session.data::<String>().await.map(Json)
}

#[protected(POST "/note")]
async fn write_note(session: Session, Json(note): Json<String>) -> Result<StatusCode, SessionError> {
    session.set_data(&note).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[protected(POST "/role")]
async fn set_role(session: Session, Json(roles): Json<Vec<String>>) -> Result<Json<Value>, SessionError> {
    session.set_claim(Role, roles).await?;
    Ok(Json(json!(session.claim(Role))))
}

#[protected(POST "/leave")]
async fn leave(session: Session) -> Result<StatusCode, SessionError> {
    session.revoke().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[protected(POST "/leave-others")]
async fn leave_others(session: Session, State(sessions): State<Sessions>) -> Result<String, SessionError> {
    Ok(sessions.revoke_others(session.user_id(), session.handle()).await?.to_string())
}

#[protected(GET "/admin", require = [Role.includes("admin")])]
async fn admin(_: Session) {}

#[protected(GET "/recent", max_auth_age = "15m")]
async fn recent(_: Session) {}

#[protected(GET "/checked", check = store)]
async fn checked(_: Session) {}

#[protected(GET "/maybe", optional)]
async fn maybe(session: Option<Session>) -> String {
    session.map_or_else(|| "nobody".to_owned(), |session| session.user_id().to_owned())
}

/// A refusal of the application's own, which is none of the session's business.
#[protected(GET "/own-refusal")]
async fn own_refusal(_: Session) -> (StatusCode, &'static str) {
    (StatusCode::UNAUTHORIZED, "your bank says no")
}

/// Headers of the application's own beside those of the session.
#[protected(POST "/own-headers")]
async fn own_headers(session: Session) -> Result<Response, SessionError> {
    session.set_claim(Role, vec!["new".to_owned()]).await?;
    let headers = [
        ("access-control-expose-headers", "X-Own, Front-Token"),
        ("vary", "Accept"),
        ("cache-control", "public, max-age=60"),
        ("set-cookie", "own=1"),
    ];
    Ok((headers, "done").into_response())
}

#[protected(POST "/broken")]
async fn broken(session: Session) -> Result<(), SessionError> {
    session.set_claim(Subject, "mallory").await
}

#[public(GET "/health")]
async fn health() -> &'static str {
    "ok"
}

/// The status that applications of the older kind answer to a theft with.
pub(crate) const LOGIN_TIMEOUT: u16 = 440;

#[refresh_endpoint]
async fn explain(session: Result<Session, SessionError>) -> Result<String, (StatusCode, Json<Value>)> {
    match session {
        Ok(session) => Ok(session.user_id().to_owned()),
        Err(SessionError::TokenTheft { user_id, session_handle, .. }) => Err((
            StatusCode::from_u16(LOGIN_TIMEOUT).expect("a status"),
            Json(json!({ "message": "theft", "user": user_id, "handle": session_handle })),
        )),
        Err(error) => Err((StatusCode::UNAUTHORIZED, Json(json!({ "message": error.to_string() })))),
    }
}

#[logout_endpoint]
async fn sign_out(_: Session) -> &'static str {
    "bye"
}

/// Passes a refusal on as it is.
#[protected(GET "/who")]
async fn who(session: Result<Session, SessionError>) -> Result<String, SessionError> {
    Ok(session?.user_id().to_owned())
}

/// Mounted by hand, without a path of its own.
#[protected]
pub(crate) async fn by_hand(session: Session) -> String {
    session.user_id().to_owned()
}
