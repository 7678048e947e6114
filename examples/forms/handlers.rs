//! The handlers, and the table of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form,
    extract::{FromRef, Query, State},
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Redirect},
};
use maud::Markup;
use serde::Deserialize;
use session_runtime::{
    Login, RefusedRequest, Routes, Session, SessionError, Sessions, login_endpoint, logout_endpoint,
    protected, public, refresh_endpoint, routes,
};

use crate::{local_path::LocalPath, pages};

pub(crate) static ROUTES: Routes<App> =
    routes![login_page, login, notes, add_note, logout_page, logout, renew, renew_script, refresh];

/// What the handlers share.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    sessions: Sessions,
    notebooks: Notebooks,
}

impl App {
    pub(crate) fn new(sessions: Sessions) -> Self {
        Self { sessions, notebooks: Notebooks::default() }
    }
}

/// The notes of each user, where an application has its database.
#[derive(Clone, Default)]
pub(crate) struct Notebooks(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Notebooks {
    fn of(&self, user: &str) -> Vec<String> {
        self.lock().get(user).cloned().unwrap_or_default()
    }

    fn add(&self, user: &str, note: String) {
        self.lock().entry(user.to_owned()).or_default().push(note);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where to go afterwards.
#[derive(Deserialize)]
struct Onward {
    #[serde(default)]
    to: LocalPath,
}

#[public(GET "/login")]
async fn login_page(Query(onward): Query<Onward>) -> impl IntoResponse {
    document(pages::login(&onward.to, false))
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
    #[serde(default)]
    to: LocalPath,
}

/// A redirect is a success: the session is made, and its cookies are set, with it.
#[login_endpoint(POST "/login")]
async fn login(
    mut login: Login,
    Form(form): Form<Credentials>,
) -> Result<Redirect, (StatusCode, impl IntoResponse)> {
    if !["alice", "bob"].contains(&&*form.user) || form.password != "demo" {
        return Err((StatusCode::FORBIDDEN, document(pages::login(&form.to, true))));
    }
    login.create(&form.user);
    Ok(Redirect::to(form.to.as_str()))
}

#[derive(Deserialize)]
struct Shown {
    /// Whether a note was sent with an expired session just now.
    unsaved: Option<String>,
}

#[protected(GET "/", on_refused = renew_or_log_in)]
async fn notes(
    session: Session,
    State(notebooks): State<Notebooks>,
    Query(shown): Query<Shown>,
) -> impl IntoResponse {
    let user = session.user_id();
    document(pages::notes(user, &notebooks.of(user), shown.unsaved.is_some()))
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

/// Only this site's own pages can send the form: the browser says so in `Sec-Fetch-Site`, and the guard looks. There is no token
/// to put into a hidden field.
#[protected(POST "/notes", on_refused = renew_or_log_in)]
async fn add_note(
    session: Session,
    State(notebooks): State<Notebooks>,
    Form(note): Form<NewNote>,
) -> Result<Redirect, StatusCode> {
    if note.text.chars().count() > 200 {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    notebooks.add(session.user_id(), note.text);
    Ok(Redirect::to("/"))
}

#[protected(GET "/logout", on_refused = renew_or_log_in)]
async fn logout_page(session: Session) -> impl IntoResponse {
    document(pages::logout(session.user_id()))
}

/// An expired token is renewed first, and the user asked again, lest they believe to be logged out when they are not.
#[logout_endpoint(POST "/logout")]
async fn logout(session: Result<Session, SessionError>) -> Result<Redirect, SessionError> {
    match session {
        Ok(_) | Err(SessionError::Unauthorised) => Ok(Redirect::to("/login")),
        Err(SessionError::TryRefreshToken) => Ok(Redirect::to("/session/renew?to=/logout")),
        Err(error) => Err(error),
    }
}

/// The one page with a script.
#[public(GET "/session/renew")]
async fn renew(Query(onward): Query<Onward>) -> impl IntoResponse {
    document(pages::renew(&onward.to))
}

#[public(GET "/session/renew.js")]
async fn renew_script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("renew.js"))
}

#[refresh_endpoint(POST "/session/refresh")]
async fn refresh(_: Session) {}

/// Sends a browser whose session has expired to have it renewed, and one without a session to log in, and from there back to the
/// page that it asked for.
///
/// What a form sent is lost by then, since nobody was there to take it. The page with the form says so.
async fn renew_or_log_in(refused: RefusedRequest) -> Option<Redirect> {
    let back = match refused.method {
        Method::GET | Method::HEAD => LocalPath::of(&refused.uri),
        _ => LocalPath::from("/?unsaved=1".to_owned()),
    };
    let page = match refused.error {
        SessionError::TryRefreshToken => "/session/renew",
        SessionError::Unauthorised => "/login",
        // No redirect mends it: the usual answer is right.
        _ => return None,
    };
    Some(Redirect::to(&back.after(page)))
}

/// A page that no cache keeps for the next user of the browser, and that runs no script but the site's own.
fn document(page: Markup) -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                  frame-ancestors 'none'";
    ([(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, policy)], page)
}
