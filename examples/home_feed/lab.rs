//! The laboratory behind the page: it watches requests and answers, loses one on demand, and plays a thief.
//!
//! It keeps tokens in the clear and hands them to whoever plays the thief, which is what no application may do. The program
//! therefore runs it on loopback addresses only; where it is off, its routes answer 404.

mod client;
mod tokens;
mod witness;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{Method, StatusCode},
    middleware,
};
use serde_json::json;
use session_runtime::{RouteGroup, Session, SessionHandle, protected, public, route_group};

use self::{client::OtherClient, tokens::Tokens};
use crate::{
    handlers::App,
    journal::{Journal, Note, What},
};

pub(crate) static ROUTES: RouteGroup<App> =
    route_group![lose_next_refresh, steal, thief_refreshes, thief_calls, log_in_on_a_phone];

/// The laboratory, if it is on.
#[derive(Clone)]
pub(crate) struct Lab(Option<Arc<Bench>>);

pub(crate) struct Bench {
    journal: Journal,
    desk: Mutex<Desk>,
    /// The application, for the clients that are played to go through.
    app: OnceLock<Router>,
}

#[derive(Default)]
struct Desk {
    tokens: Tokens,
    /// The sessions whose next refresh answer gets lost.
    to_lose: HashSet<SessionHandle>,
    /// Who has stolen the refresh token of which session.
    thieves: HashMap<SessionHandle, OtherClient>,
}

impl Lab {
    pub(crate) fn on(journal: Journal) -> Self {
        Self(Some(Arc::new(Bench { journal, desk: Mutex::default(), app: OnceLock::new() })))
    }

    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Has it watch what goes through `app`.
    pub(crate) fn watch(self, app: Router) -> Router {
        let Some(bench) = self.0 else { return app };
        let watched = app.layer(middleware::from_fn_with_state(Arc::clone(&bench), witness::watch));
        bench.app.get_or_init(|| watched).clone()
    }

    fn bench(&self) -> Result<&Bench, StatusCode> {
        self.0.as_deref().ok_or(StatusCode::NOT_FOUND)
    }
}

impl Bench {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a client that is played here ask the application; what became of it is noted like any other request.
    async fn ask(
        &self,
        client: &mut OtherClient,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Note, StatusCode> {
        let app = self.app.get().ok_or(StatusCode::NOT_FOUND)?.clone();
        let answer = client.ask(app, method, path, body).await;
        answer.extensions().get::<Note>().cloned().ok_or(StatusCode::NOT_FOUND)
    }

    /// As [`ask`](Self::ask), by the thief of a session.
    async fn ask_as_thief(
        &self,
        session: SessionHandle,
        method: Method,
        path: &str,
    ) -> Result<Note, StatusCode> {
        let mut thief = self.desk().thieves.get(&session).cloned().ok_or(StatusCode::NOT_FOUND)?;
        let note = self.ask(&mut thief, method, path, String::new()).await?;
        self.desk().thieves.insert(session, thief);
        Ok(note)
    }
}

/// The answer to the next refresh of this session gets lost.
#[protected(POST "/lose-next-refresh")]
async fn lose_next_refresh(session: Session, State(lab): State<Lab>) -> Result<StatusCode, StatusCode> {
    lab.bench()?.desk().to_lose.insert(session.handle());
    Ok(StatusCode::NO_CONTENT)
}

/// Copies the refresh token that the browser has now, as malware on its machine would.
#[protected(POST "/steal")]
async fn steal(session: Session, State(lab): State<Lab>) -> Result<StatusCode, StatusCode> {
    let bench = lab.bench()?;
    let handle = session.handle();
    let mut desk = bench.desk();
    let (token, generation) = desk.tokens.in_the_browser(handle).ok_or(StatusCode::CONFLICT)?;
    desk.thieves.insert(handle, OtherClient::thief(token));
    drop(desk);
    bench.journal.note(bench.journal.now(), session.user_id().into(), handle, What::Stolen { generation });
    Ok(StatusCode::NO_CONTENT)
}

/// Presents the stolen refresh token, from another client.
#[public(POST "/thief/{session}/refresh")]
async fn thief_refreshes(
    State(lab): State<Lab>,
    Path(session): Path<SessionHandle>,
) -> Result<Json<Note>, StatusCode> {
    lab.bench()?.ask_as_thief(session, Method::POST, "/refresh").await.map(Json)
}

/// Calls the feed with the access token that the thief was given.
#[public(POST "/thief/{session}/call")]
async fn thief_calls(
    State(lab): State<Lab>,
    Path(session): Path<SessionHandle>,
) -> Result<Json<Note>, StatusCode> {
    lab.bench()?.ask_as_thief(session, Method::GET, "/getHomeFeed").await.map(Json)
}

/// Logs the user in on another device.
#[protected(POST "/phone")]
async fn log_in_on_a_phone(session: Session, State(lab): State<Lab>) -> Result<Json<Note>, StatusCode> {
    let form = json!({ "user": session.user_id(), "password": "demo" });
    lab.bench()?.ask(&mut OtherClient::phone(), Method::POST, "/login", form.to_string()).await.map(Json)
}
