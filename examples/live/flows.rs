//! Sockets and streams that end with the session: over real connections, on a set clock.

mod connections;
mod events;
mod handlers;
mod page;
mod socket;

use std::{net::SocketAddr, time::Duration};

use axum::http::{HeaderValue, Response, header::COOKIE};
use examples::Place;
use futures_util::{SinkExt as _, StreamExt as _};
use session_runtime::{
    Clock, MemoryStore, RouteKind, Sessions, SessionsBuilder,
    testing::{TestClient, TestSite},
};
use tempfile::TempDir;
use tests::servers::{Postgres, Redis};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use crate::{
    connections::Connections,
    handlers::{App, ROUTES},
};

const ACCESS: Duration = Duration::from_hours(1);

const IDLE: Duration = Duration::from_hours(100 * 24);

/// Longer than a message of an honest client is under way.
const PAST_GRACE: Duration = Duration::from_mins(1);

/// How long an end may take to arrive, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of these tests alone.
const KEYS: &str = "q0Tz1fVdM7mJY8bYkRk3s5c2l9oQ0sUe4u1Xw7hZp6A=";

/// A copy of the server.
struct Node {
    address: SocketAddr,
    site: TestSite,
    connections: Connections,
}

impl Node {
    async fn start(builder: SessionsBuilder, clock: &Clock) -> Self {
        let builder = builder.keys(KEYS).routes(&ROUTES).access_lifetime(ACCESS).access_jitter(0.0);
        let sessions = builder.refresh_lifetime(IDLE).build().await.expect("the settings work");
        let connections = Connections::default();
        let app = ROUTES.router(App::new(sessions.clone(), connections.clone()));
        let site = TestSite::new(app.clone(), &sessions, clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { address, site, connections }
    }

    /// Two copies on the memory store, by a clock that the test sets.
    async fn start_two() -> (Self, Self) {
        let clock = Clock::set_to_now();
        let store = MemoryStore::with_clock(clock.clone());
        let builder = || Sessions::builder(store.clone());
        (Self::start(builder(), &clock).await, Self::start(builder(), &clock).await)
    }

    /// The origin of this copy's own pages.
    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens a socket as a page of the given origin does, in a browser with the client's cookies.
    async fn try_socket(&self, client: &TestClient, origin: Option<&str>) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request()?;
        if let Some(cookie) = cookie_of(client) {
            request.headers_mut().insert(COOKIE, cookie);
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("an origin is a header value"));
        }
        let stream = TcpStream::connect(self.address).await?;
        client_async(request, stream).await.map(|(socket, _)| Socket(socket))
    }

    async fn socket(&self, client: &TestClient) -> Socket {
        let opened = self.try_socket(client, Some(&self.origin())).await;
        let mut socket = opened.expect("the session is good");
        socket.assert_open().await;
        socket
    }

    async fn events(&self, client: &TestClient) -> Events {
        let cookie = cookie_of(client).expect("the client is logged in");
        let cookie = cookie.to_str().expect("our cookies are text");
        let request = format!("GET /events HTTP/1.1\r\nhost: {}\r\ncookie: {cookie}\r\n\r\n", self.address);
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut events = Events(BufReader::new(stream).lines());
        assert_eq!(events.line().await.as_deref(), Some("HTTP/1.1 200 OK"));
        events.next_tick().await;
        events
    }
}

fn cookie_of(client: &TestClient) -> Option<HeaderValue> {
    client.get("/ws").into_http().headers_mut().remove(COOKIE)
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("the server says something")
    }

    async fn assert_open(&mut self) {
        self.0.send(Message::text("hello")).await.expect("the socket is open");
        let echo = self.next().await.expect("the socket is open").expect("the connection stands");
        assert_eq!(echo, Message::text("hello"));
    }

    /// Waits for the close frame, and for the end of the connection after it.
    async fn assert_ends(mut self, code: u16, reason: &str) {
        match self.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
            }
            other => panic!("{other:?} came in place of a close frame"),
        }
        let after = self.next().await;
        assert!(after.is_none(), "the closing handshake was completed, but then came {after:?}");
    }

    async fn assert_session_ended(self) {
        self.assert_ends(4401, "session ended").await;
    }
}

struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.0.next_line()).await.expect("the server says something");
        line.expect("the connection stands")
    }

    async fn next_tick(&mut self) {
        while self.line().await.expect("the stream goes on") != "event: tick" {}
    }

    /// Waits for the last event, and for the last chunk of the answer after it.
    async fn assert_ends(mut self, reason: &str) {
        while self.line().await.expect("the stream says that it ends") != "event: end" {}
        assert_eq!(self.line().await, Some(format!("data: {reason}")));
        while self.line().await.expect("the answer is completed") != "0" {}
    }
}

/// A socket and a stream of one client.
struct Live {
    socket: Socket,
    events: Events,
}

impl Live {
    async fn open(client: &TestClient, node: &Node) -> Self {
        Self { socket: node.socket(client).await, events: node.events(client).await }
    }

    async fn assert_open(&mut self) {
        self.socket.assert_open().await;
        self.events.next_tick().await;
    }

    async fn assert_session_ended(self) {
        self.socket.assert_session_ended().await;
        self.events.assert_ends("session ended").await;
    }
}

#[tokio::test]
async fn a_logout_ends_what_is_open_on_every_node_and_nothing_of_others() {
    let (here, there) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let bob = here.site.login_as("bob").await;
    let (near, far) = (Live::open(&alice, &here).await, Live::open(&alice, &there).await);
    let mut others = there.socket(&bob).await;
    alice.post("/logout").await.assert_ok();
    near.assert_session_ended().await;
    far.assert_session_ended().await;
    others.assert_open().await;
}

#[tokio::test]
async fn a_logout_everywhere_ends_what_is_open_on_every_device() {
    let (here, there) = Node::start_two().await;
    let (laptop, phone) = (here.site.login_as("alice").await, here.site.login_as("alice").await);
    let (near, far) = (Live::open(&laptop, &here).await, Live::open(&phone, &there).await);
    laptop.post("/logout-everywhere").await.assert_ok();
    near.assert_session_ended().await;
    far.assert_session_ended().await;
}

#[tokio::test]
async fn a_theft_ends_what_is_open() {
    let (here, there) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let (near, far) = (Live::open(&alice, &here).await, Live::open(&alice, &there).await);
    let thief = alice.steal_refresh();
    here.site.advance(2 * ACCESS);
    alice.refresh().await.assert_ok();
    alice.get("/me").await.assert_ok();
    here.site.advance(PAST_GRACE);
    thief.refresh().await.assert_refused("token_theft");
    near.assert_session_ended().await;
    far.assert_session_ended().await;
}

#[tokio::test]
async fn a_login_of_the_same_browser_ends_what_the_older_session_has_open() {
    let (here, _) = Node::start_two().await;
    let browser = here.site.login_as("alice").await;
    let live = Live::open(&browser, &here).await;
    browser.login_as("bob").await.assert_ok();
    browser.get("/me").await.assert_ok();
    live.assert_session_ended().await;
}

#[tokio::test]
async fn neither_the_expiry_of_an_access_token_nor_a_refresh_ends_anything() {
    let (here, _) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let mut live = Live::open(&alice, &here).await;
    here.site.advance(ACCESS + PAST_GRACE);
    here.site.settle().await;
    live.assert_open().await;
    alice.get("/me").await.assert_refused("try_refresh_token");
    alice.refresh().await.assert_ok();
    live.assert_open().await;
    // What the first session's own expiry was when they were opened.
    here.site.advance(IDLE - PAST_GRACE);
    here.site.settle().await;
    live.assert_open().await;
}

#[tokio::test]
async fn the_expiry_of_the_session_ends_what_is_open() {
    let (here, there) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let (near, far) = (Live::open(&alice, &here).await, Live::open(&alice, &there).await);
    here.site.advance(IDLE);
    near.assert_session_ended().await;
    far.assert_session_ended().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_keeps_the_session() {
    let (here, there) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let live = Live::open(&alice, &here).await;
    let connections = here.connections.clone();
    let stopped = tokio::spawn(async move { connections.end_all().await });
    live.socket.assert_ends(1001, "server stops").await;
    live.events.assert_ends("server stops").await;
    timeout(PATIENCE, stopped).await.expect("it waits for the sockets and no longer").unwrap();
    there.socket(&alice).await;
}

/// The answer to a handshake that fails.
async fn refused(node: &Node, client: &TestClient, origin: Option<&str>) -> Response<Option<Vec<u8>>> {
    match node.try_socket(client, origin).await {
        Err(Error::Http(answer)) => *answer,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a page of {origin:?} opened a socket"),
    }
}

#[track_caller]
fn assert_refused(answer: &Response<Option<Vec<u8>>>, status: u16, reason: &str) {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["session-error"], reason);
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_socket_with_the_users_cookies() {
    let (here, there) = Node::start_two().await;
    let alice = here.site.login_as("alice").await;
    let foreign = [
        Some("https://evil.example".to_owned()),
        Some("null".to_owned()),
        Some(format!("http://evil.localhost:{}", here.address.port())),
        // Cookies know no ports.
        Some(there.origin()),
        // No browser's: they always name the origin of a page that opens a socket.
        None,
    ];
    for origin in foreign {
        let answer = refused(&here, &alice, origin.as_deref()).await;
        assert_refused(&answer, 403, "csrf");
        assert!(!answer.headers().contains_key("set-cookie"), "{origin:?}");
    }
    here.socket(&alice).await;
}

#[tokio::test]
async fn a_socket_is_opened_with_a_good_session_only() {
    let (here, _) = Node::start_two().await;
    let own = here.origin();
    let answer = refused(&here, &here.site.browser(), Some(&own)).await;
    assert_refused(&answer, 401, "unauthorised");
    let alice = here.site.login_as("alice").await;
    here.site.advance(ACCESS);
    assert_refused(&refused(&here, &alice, Some(&own)).await, 401, "try_refresh_token");
    alice.refresh().await.assert_ok();
    here.site.sessions().revoke(alice.handle()).await.unwrap();
    assert_refused(&refused(&here, &alice, Some(&own)).await, 401, "unauthorised");
}

/// Two copies of the server on one store: what ends at one, ends what is open at the other.
async fn ends_are_heard_across_nodes_on(store: &str) {
    let clock = Clock::system();
    let open = async || {
        let builder = Place::from(store.to_owned()).open().await.expect("the store can be opened");
        Node::start(builder, &clock).await
    };
    let (here, there) = (open().await, open().await);
    for path in ["/logout", "/logout-everywhere"] {
        let alice = here.site.login_as("alice").await;
        let live = Live::open(&alice, &there).await;
        alice.post(path).await.assert_ok();
        live.assert_session_ended().await;
    }
}

#[tokio::test]
async fn copies_on_one_sqlite_file_end_what_the_other_has_open() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sessions.db");
    ends_are_heard_across_nodes_on(&format!("sqlite:{}", file.display())).await;
}

#[tokio::test]
async fn copies_on_one_postgresql_database_end_what_the_other_has_open() {
    let Some(server) = Postgres::start() else { return };
    ends_are_heard_across_nodes_on(&server.url()).await;
}

#[tokio::test]
async fn copies_on_one_redis_server_end_what_the_other_has_open() {
    let Some(server) = Redis::start() else { return };
    ends_are_heard_across_nodes_on(&server.url()).await;
}

/// Whatever is added to the table, it refuses strangers, or says that it is open.
#[tokio::test]
async fn every_other_route_is_closed_to_strangers() {
    let (here, _) = Node::start_two().await;
    let mut closed = 0;
    for route in ROUTES.iter().filter(|route| !matches!(route.kind(), RouteKind::Public | RouteKind::Login)) {
        let method = route.method().expect("the table has handlers only").as_str().parse().unwrap();
        let answer = here.site.browser().request(method, &route.path()).await;
        answer.assert_refused("unauthorised").assert_status(401);
        closed += 1;
    }
    assert_eq!(closed, 6);
}
