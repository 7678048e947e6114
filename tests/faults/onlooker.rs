//! A client with a valid access token, whom no outage of the store concerns.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{node::send, scene::Scene};

/// How long it rests between two calls.
const REST: Duration = Duration::from_millis(20);

/// Calls the protected route of one node after the other.
pub(crate) struct Onlooker {
    may_leave: Arc<AtomicBool>,
    thread: JoinHandle<Result<usize, String>>,
}

impl Onlooker {
    /// Logs in, and begins to call. The nodes must not be restarted, and the access token must live until the end.
    pub(crate) fn start(scene: &Scene) -> Self {
        let nodes: Vec<_> = scene.nodes.iter().map(|node| node.url()).collect();
        let cookie = log_in(&nodes[0]).expect("the store is there");
        let may_leave = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&may_leave);
        let thread = thread::spawn(move || {
            for (calls, node) in nodes.iter().cycle().enumerate() {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(calls);
                }
                let answer = send(node, &format!("GET /me HTTP/1.1\r\ncookie: {cookie}\r\n"), "");
                match answer {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => thread::sleep(REST),
                    other => return Err(format!("call {calls} of a protected route at {node}: {other:?}")),
                }
            }
            Ok(0)
        });
        Self { may_leave, thread }
    }

    /// Ends the calls, all of which must have been served.
    ///
    /// # Panics
    ///
    /// If one was not.
    pub(crate) fn leave(self) {
        self.may_leave.store(true, Ordering::Relaxed);
        match self.thread.join().expect("it does not panic") {
            Ok(calls) => assert!(calls > 0, "nobody called"),
            Err(refused) => panic!("{refused}"),
        }
    }
}

/// The cookie of a new session's access token.
fn log_in(node: &str) -> io::Result<String> {
    const NAME: &str = "sAccessToken=";
    let head = "POST /login HTTP/1.1\r\nrid: session\r\ncontent-type: application/json\r\n";
    let answer = send(node, head, r#"{"user":"onlooker"}"#)?;
    let cookie = answer.split_once(NAME).and_then(|(_, rest)| rest.split(';').next());
    cookie.map(|value| format!("{NAME}{value}")).ok_or_else(|| io::Error::other(answer))
}
