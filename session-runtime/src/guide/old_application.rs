// What the examples of `from_tower_sessions` take from the application that moves: a stand-in for axum-login, which is no
// dependency of this crate, over the real `tower-sessions`; and a browser to try the examples with.

use std::{cell::RefCell, collections::BTreeMap};

use axum::{
    Form, Router,
    body::{Body, to_bytes},
    extract::{FromRef, FromRequestParts},
    http::{Request, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use session_runtime::*;
use tower::ServiceExt;

#[derive(Clone)]
struct User {
    id: i64,
    name: String,
}

#[derive(serde::Deserialize)]
struct Credentials {
    name: String,
}

#[derive(Clone)]
struct Db;

impl Db {
    async fn user(&self, id: &str) -> Option<User> {
        (id == "7").then(|| User { id: 7, name: "alice".into() })
    }

    async fn permissions(&self, _: &str) -> Result<Option<Vec<String>>, std::convert::Infallible> {
        Ok(Some(vec!["reports.read".into()]))
    }
}

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

struct AuthSession {
    user: Option<User>,
    session: tower_sessions::Session,
}

impl AuthSession {
    async fn authenticate(&self, form: Credentials) -> Result<Option<User>, StatusCode> {
        Ok((form.name == "alice").then(|| User { id: 7, name: form.name }))
    }

    async fn login(&mut self, user: &User) -> Result<(), StatusCode> {
        self.user = Some(user.clone());
        self.session.insert("axum-login.data", user.id).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }

    async fn logout(&mut self) -> Result<Option<User>, StatusCode> {
        self.session.flush().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(self.user.take())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AuthSession {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let session = tower_sessions::Session::from_request_parts(parts, state).await?;
        let id: Option<i64> = session.get("axum-login.data").await.unwrap();
        Ok(Self { user: id.map(|id| User { id, name: "alice".into() }), session })
    }
}

struct Browser {
    app: Router,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl Browser {
    fn new(app: Router) -> Self {
        Self { app, cookies: RefCell::default() }
    }

    async fn send(&self, method: &str, path: &str, form: &'static str) -> (StatusCode, String) {
        let cookies: Vec<_> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        let response = self.app.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.borrow_mut().remove(name),
                value => self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned()),
            };
        }
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
