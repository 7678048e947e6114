//! A process that is killed while it writes: what it was answered must be in the file.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use session_runtime::{
    NewSession, SessionError, SessionHandle, SessionStore as _, Sessions,
    store::{Cursor, Revocation, SqliteStore},
};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::application::{KEYS, ROUTES};

const FILE: &str = "SESSIONS_OF_THE_KILLED";

/// So many answers, and then the kill comes at any moment.
const ANSWERS: usize = 40;

#[tokio::test]
async fn what_a_killed_process_was_answered_is_in_the_file() {
    for _ in 0..5 {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("sessions.db");
        let mut victim = start(&path);
        let mut lines = BufReader::new(victim.stdout.take().expect("its output is piped")).lines();
        let mut answers: Vec<_> =
            lines.by_ref().map_while(Result::ok).filter_map(answer).take(ANSWERS).collect();
        victim.kill().expect("it runs");
        victim.wait().expect("it was killed");
        answers.extend(lines.map_while(Result::ok).filter_map(answer));
        assert!(answers.len() >= ANSWERS, "it answered only {answers:?}");

        let store = SqliteStore::open(path).await.expect("the file is whole");
        let told = store.revocations(Cursor::default(), Duration::ZERO).await.expect("the feed is whole");
        let is_over =
            |it: SessionHandle| answers.iter().any(|(handle, last, _)| (*handle, *last) == (it, ENDED));
        let spent = answers.iter().filter(|(handle, ..)| is_over(*handle));
        let spent: Vec<_> = spent.filter_map(|(.., token)| token.clone()).collect();
        for (handle, generation, _) in answers {
            let row = store.read(handle).await.expect("the row is whole").expect("it was made");
            assert!(row.chain.generation >= generation, "{row:?} was answered as generation {generation}");
            let is_told = told
                .revocations
                .iter()
                .any(|told| matches!(told, Revocation::Session { handle, .. } if *handle == row.handle));
            assert_eq!(row.ended.is_some(), is_told, "{row:?}");
            assert!(generation != ENDED || row.ended.is_some(), "{row:?} was answered as ended");
        }
        no_spent_token_comes_back(store, &spent).await;
    }
}

/// Presents every token that was given out for a session that ended.
async fn no_spent_token_comes_back(store: SqliteStore, spent: &[String]) {
    assert!(!spent.is_empty());
    let sessions = serve(store).await;
    for token in spent {
        let refused = sessions.refresh(token).await.expect_err("its session ended");
        assert!(matches!(refused, SessionError::Unauthorised), "{refused}");
    }
}

async fn serve(store: SqliteStore) -> Sessions {
    let builder = Sessions::builder(store).keys(KEYS).grace(Duration::ZERO).routes(&ROUTES);
    builder.build().await.expect("the settings work")
}

/// What the process prints for a session that it has ended.
const ENDED: u32 = 0;

/// Run by the test above as a process of its own: it rotates and ends sessions, and prints each answer, until it is killed.
#[tokio::test]
#[ignore = "the process that the test above starts and kills"]
async fn victim() {
    let Some(path) = env::var_os(FILE) else { return };
    let store = SqliteStore::open(path).await.expect("a database file");
    let sessions = serve(store).await;
    loop {
        let mut tokens = sessions.create(&NewSession::new("alice")).await.expect("the store answers");
        let handle = tokens.handle();
        println!("answer {handle} 1 {}", tokens.refresh().expect("it was made").expose());
        for generation in 2..5 {
            // In strict mode, a token is rotated from the next millisecond on.
            sleep(Duration::from_millis(2)).await;
            let token = tokens.refresh().expect("it was rotated").expose().to_owned();
            tokens = sessions.refresh(&token).await.expect("the store answers");
            println!("answer {handle} {generation} {}", tokens.refresh().expect("it was rotated").expose());
        }
        sessions.revoke(handle).await.expect("the store answers");
        println!("answer {handle} {ENDED} ");
    }
}

fn start(path: &std::path::Path) -> Child {
    Command::new(env::current_exe().expect("this test has a file"))
        .args(["--exact", "crash::victim", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test can be started again")
}

/// A whole line of an answer, with the token that it gave; the last one may be cut.
fn answer(line: String) -> Option<(SessionHandle, u32, Option<String>)> {
    let mut words = line.split("answer ").nth(1)?.split(' ');
    let (handle, generation) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let token = words.next()?;
    Some((handle, generation, (!token.is_empty()).then(|| token.to_owned())))
}
