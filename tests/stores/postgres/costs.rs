//! What the operations cost: round trips, and writes of indexes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use session_runtime::{
    rotation::Grace,
    store::{Change, Changed, Cursor, EndReason, PostgresStore, Rotation, Row, SessionStore as _},
};
use tests::servers::Postgres;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    time::timeout,
};

use super::{Place, login, present, present_within, superuser};

/// Counts how often a client waits for the server.
struct Proxy {
    port: u16,
    trips: Arc<AtomicUsize>,
}

impl Proxy {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                // Nagle's algorithm would hold back what the other side is waiting for.
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let is_asking = Arc::new(AtomicBool::new(false));
                let (asked, answered) = (Arc::clone(&is_asking), is_asking);
                let counter = Arc::clone(&counter);
                tokio::spawn(pass(from_client, to_server, move || {
                    if !asked.swap(true, Ordering::SeqCst) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                }));
                tokio::spawn(pass(from_server, to_client, move || answered.store(false, Ordering::SeqCst)));
            }
        });
        Self { port, trips }
    }

    /// How many round trips an operation takes.
    async fn trips_of<T>(&self, operation: impl Future<Output = T>) -> (T, usize) {
        let before = self.trips.load(Ordering::SeqCst);
        let answer = operation.await;
        (answer, self.trips.load(Ordering::SeqCst) - before)
    }
}

async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, seen: impl Fn()) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        seen();
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn rotate(store: &PostgresStore, row: &Row) -> Rotation {
    let rotation = store.rotate(present(row, row.chain.link())).await.expect("the store answers");
    assert_eq!(rotation.decision.rule(), 5, "{:?}", rotation.decision);
    rotation
}

#[tokio::test]
async fn a_refresh_and_a_login_are_one_round_trip_each() {
    let Some(place) = Place::new() else { return };
    let proxy = Proxy::to(place.server.server().port()).await;
    let url =
        place.url().replace(&format!(":{}/", place.server.server().port()), &format!(":{}/", proxy.port));
    for prepares in [true, false] {
        let builder = PostgresStore::builder(&url)
            .schema(format!("{}_{prepares}", place.schema))
            .max_connections(1)
            .poll();
        let store = builder.prepared_statements(prepares).open().await.unwrap();
        // What is prepared is prepared once.
        let first = login(&store, 1).await;
        rotate(&store, &first).await;
        let again = |row: &Row| present_within(row, row.chain.link(), Grace::new(Duration::from_secs(60)));
        store.rotate(again(&first)).await.unwrap();
        store.read(first.handle).await.unwrap();
        store.revoke(first.handle, EndReason::Logout).await.unwrap();
        store.revocations(Cursor(0), Duration::ZERO).await.unwrap();

        let (row, trips) = proxy.trips_of(login(&store, 2)).await;
        assert_eq!(trips, 1, "of a login");
        let (rotation, trips) = proxy.trips_of(rotate(&store, &row)).await;
        assert_eq!(trips, 1, "of a refresh");
        let rotated = rotation.row.unwrap();
        let (replay, trips) = proxy.trips_of(store.rotate(again(&row))).await;
        assert_eq!((replay.unwrap().decision.rule(), trips), (8, 2), "of the same refresh again");
        let (read, trips) = proxy.trips_of(store.read(row.handle)).await;
        assert_eq!((read.unwrap(), trips), (Some(rotated), 1), "of a look");
        let (batch, trips) = proxy.trips_of(store.revocations(Cursor(0), Duration::ZERO)).await;
        assert_eq!((batch.unwrap().revocations.len(), trips), (1, 1), "of the feed");
        let (ended, trips) = proxy.trips_of(store.revoke(row.handle, EndReason::Logout)).await;
        assert!(ended.unwrap() && trips <= 2, "a logout took {trips}");
    }
}

#[tokio::test]
async fn a_rotation_rewrites_no_index() {
    const ROTATIONS: i64 = 40;
    // Of its own: while anybody may still see the older versions of the row, they keep its page full.
    let Some(server) = Postgres::start() else { return };
    let place = Place::on(&Arc::new(server));
    let store = place.clone().open().await;
    let mut row = login(&store, 1).await;
    for _ in 0..ROTATIONS {
        // A generation is due in the millisecond after its rotation.
        row = loop {
            let rotation = store.rotate(present(&row, row.chain.link())).await.unwrap();
            match rotation.decision.rule() {
                5 => break rotation.row.unwrap(),
                rule => assert_eq!(rule, 4),
            }
        };
    }
    let changed = store.update(row.handle, 0, Change::Data(Some("1".into()))).await.unwrap();
    assert!(matches!(changed, Changed::Done(_)));
    // Connections tell what they did when they end.
    drop(store);
    let client = superuser(&place.url()).await;
    let ask = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'session_sessions'";
    let told = async {
        loop {
            let row = client.query_one(ask, &[&place.schema]).await.unwrap();
            let (updates, hot): (i64, i64) = (row.get(0), row.get(1));
            if updates > ROTATIONS {
                return (updates, hot);
            }
        }
    };
    let (updates, hot) =
        timeout(Duration::from_secs(30), told).await.expect("the server tells its statistics");
    assert_eq!(updates, hot, "of {updates} updates {hot} were heap-only");
}

#[tokio::test]
async fn an_end_is_heard_of_without_asking() {
    let Some(place) = Place::new() else { return };
    let (here, there) = (place.clone().open().await, place.clone().open().await);
    let mut cursor = Cursor(0);
    let mut took = Vec::new();
    for number in 1..20 {
        let row = login(&here, number).await;
        let begun = std::time::Instant::now();
        let (batch, _) = tokio::join!(there.revocations(cursor, Duration::from_secs(30)), async {
            here.revoke(row.handle, EndReason::Revoked).await.unwrap()
        });
        cursor = batch.unwrap().next;
        took.push(begun.elapsed());
    }
    took.sort();
    println!(
        "from the call of `revoke` to the other process: median {:?}, longest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert!(took[took.len() / 2] < PostgresStore::POLL_WHILE_LISTENING / 4, "{took:?}");
}
