//! Protected routes while the store is down.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::COOKIE},
    routing::get,
};
use rusqlite::Connection;
use session_runtime::{NewSession, Session, Sessions, protected};
use tokio::{task::block_in_place, time::sleep};
use tower::ServiceExt as _;

use crate::{
    Effort, callers, crowd,
    places::Place,
    report::{Aim, Report, median, ratio},
};

/// As many as there are processors, most often.
const CALLERS: usize = 2;

const CLIENTS: usize = 200;

/// How long the store has been down when it is measured.
const DOWN_BEFORE: Duration = Duration::from_millis(300);

#[protected]
async fn feed(session: Session) -> String {
    session.user_id().to_owned()
}

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    println!("4. Requests a second to a protected route, before and while the store is down");
    println!("{:<46}{:>10}{:>12}{:>9}{:>10}", "", "before", "down", "ratio", "aim");
    for mut place in Place::each().filter(|place| !matches!(place, Place::Cluster(_))) {
        let sessions = place.node().await;
        let mut cookies = cookies(&sessions).await;
        let router = Router::new().route("/feed", get(feed)).with_state(sessions.clone());
        let (mut before, mut down) = (Vec::new(), Vec::new());
        for round in 0..=effort.rounds.div_ceil(3) {
            let up = serve(&router, &mut cookies, effort.moment).await;
            block_in_place(|| place.fail());
            sleep(DOWN_BEFORE).await;
            assert!(sessions.create(&NewSession::new("alice")).await.is_err(), "the store is down");
            let without = serve(&router, &mut cookies, effort.moment).await;
            block_in_place(|| place.recover());
            until_back(&sessions).await;
            if round > 0 {
                before.push(up);
                down.push(without);
            }
        }
        let (aim, ratio) = (Aim::AtLeast(0.95), ratio(&down, &before));
        let (name, before, down) = (place.name(), median(&before), median(&down));
        println!("{name:<46}{before:>10.0}{down:>12.0}{ratio:>9.2}{aim:>10}");
        report.judge(&format!("{name}: requests while it is down"), ratio, aim);
    }
    println!();
}

impl Place {
    /// Takes the server away; of a file, the tables, so that every statement fails.
    fn fail(&mut self) {
        match self {
            Self::Sqlite(folder, _) => rename_tables(&Self::file(folder), "session_", "away_"),
            Self::Postgres(server) => server.server_mut().kill(),
            Self::Redis(server) => server.server_mut().kill(),
            Self::Cluster(_) => {}
        }
    }

    fn recover(&mut self) {
        match self {
            Self::Sqlite(folder, _) => rename_tables(&Self::file(folder), "away_", "session_"),
            Self::Postgres(server) => server.server_mut().restart(),
            Self::Redis(server) => server.server_mut().restart(),
            Self::Cluster(_) => {}
        }
    }
}

fn rename_tables(file: &Path, from: &str, to: &str) {
    let connection = Connection::open(file).expect("the file is there");
    for table in ["sessions", "revocations", "marks"] {
        let rename = format!("ALTER TABLE {from}{table} RENAME TO {to}{table}");
        connection.execute_batch(&rename).expect("nobody else writes for long");
    }
}

/// The cookies of clients that are logged in.
async fn cookies(sessions: &Sessions) -> Vec<String> {
    let mut cookies = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let new = NewSession::new(crowd::user(number));
        let tokens = sessions.create(&new).await.expect("the store answers");
        cookies.push(format!("theme=dark; sAccessToken={}", tokens.access().expose()));
    }
    cookies
}

/// Sends requests for a while, and returns how many a second were answered, all of them well.
async fn serve(router: &Router, cookies: &mut Vec<String>, moment: Duration) -> f64 {
    let router = router.clone();
    let send = move |cookie: String| {
        let router = router.clone();
        async move {
            let request = Request::get("/feed").header(COOKIE, &cookie).body(Body::empty());
            let Ok(response) = router.oneshot(request.expect("a sound request")).await;
            assert_eq!(response.status(), StatusCode::OK);
            (cookie, true)
        }
    };
    callers::keep_busy(cookies, CALLERS, moment, send).await
}

/// Waits until the store answers again, and the feed has been read.
async fn until_back(sessions: &Sessions) {
    let started = Instant::now();
    while sessions.create(&NewSession::new("alice")).await.is_err() || sessions.feed_age() > started.elapsed()
    {
        assert!(started.elapsed() < Duration::from_secs(60), "the store is not back");
        sleep(Duration::from_millis(20)).await;
    }
}
