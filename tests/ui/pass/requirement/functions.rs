#![deny(warnings)]

use axum::extract::{FromRef, Path, State};
use session_runtime::{
    RequirementFailure, Routes, Session, SessionError, Sessions, protected, refresh_endpoint, requirement, routes,
};

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

#[requirement]
async fn owns_post(session: &Session, Path(id): Path<u64>, State(_): State<Db>) -> bool {
    session.user_id() == id.to_string()
}

/// Documented.
#[requirement]
#[tracing::instrument(skip_all)]
pub(crate) fn says_why(_: &Session) -> Result<(), RequirementFailure> {
    Err(RequirementFailure::new("because"))
}

#[requirement]
async fn may_fail(session: &Session) -> Result<bool, SessionError> {
    session.data::<bool>().await.map(Option::unwrap_or_default)
}

#[requirement]
async fn may_fail_or_say_why(_: &Session) -> Result<Result<(), RequirementFailure>, SessionError> {
    Ok(Ok(()))
}

#[requirement]
fn r#try(_: &Session) -> bool {
    true
}

#[requirement]
#[cfg(any())]
fn never_there(_: &Session, _: Nothing) -> bool {
    true
}

mod elsewhere {
    type Session = session_runtime::Session;

    #[session_runtime::requirement]
    pub(crate) fn aliased(_: &Session) -> bool {
        true
    }
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[protected(GET "/{id}", require = [owns_post, says_why, may_fail, may_fail_or_say_why, r#try, elsewhere::aliased])]
async fn handler(_: Session, Path(_): Path<u64>) {}

#[cfg(any())]
#[protected(GET "/never", require = [never_there])]
async fn never(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, handler];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
    let _: fn(&Session) -> bool = r#try;
}
