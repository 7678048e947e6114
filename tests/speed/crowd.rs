//! Stores full of sessions, filled in bulk: one session is made by the store itself, and the others are copies of it.

use std::{io::Cursor, path::Path, time::Duration};

use futures_util::SinkExt as _;
use session_runtime::{
    SessionHandle,
    rotation::Link,
    store::{Creation, NewRow, Row, Salt, SessionStore},
};
use tokio_postgres::NoTls;

/// How many sessions a store is filled with.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) live: usize,
    /// Sessions beside them that expired.
    pub(crate) expired: usize,
}

impl Size {
    pub(crate) fn live(live: usize) -> Self {
        Self { live, expired: 0 }
    }

    /// The copies, by number, and whether they are to have expired.
    fn copies(self) -> impl Iterator<Item = (usize, bool)> {
        (1..self.live)
            .map(|number| (number, false))
            .chain((self.live..self.live + self.expired).map(|number| (number, true)))
    }
}

/// A session whose token can be presented.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) handle: SessionHandle,
    pub(crate) link: Link,
}

/// The live sessions of a store that are refreshed: evenly spread over all of them.
pub(crate) fn seats(size: Size, in_use: usize, first: &Row) -> Vec<Seat> {
    let step = (size.live / in_use).max(1);
    (0..size.live)
        .step_by(step)
        .map(|number| Seat { handle: handle(number), link: first.chain.link() })
        .collect()
}

/// The session that is copied. It carries what a session of an application carries.
pub(crate) async fn make_first(store: &impl SessionStore) -> Row {
    let mut new = NewRow::new(handle(0), user(0), SALT);
    new.claims = Some(r#"{"role":{"v":["author","reader"],"t":1700000000000}}"#.into());
    match store.create(new).await.expect("the store answers") {
        Creation::Created(row) => row,
        other => panic!("{other:?}"),
    }
}

/// The salt that the sessions have in common.
pub(crate) const SALT: Salt = Salt([7; 32]);

/// Copies the first session in a SQLite file.
pub(crate) fn fill_sqlite(path: &Path, size: Size) {
    let mut connection = rusqlite::Connection::open(path).expect("the file is there");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .expect("SQLite's own settings");
    let columns: String =
        connection.query_row(COPIED_BY_SQLITE, [], |row| row.get(0)).expect("the table is there");
    let fill = format!(
        "INSERT INTO session_sessions (handle, user_id, idle_expires_at, purge_at, {columns}) \
         SELECT ?1, ?2, coalesce(?3, idle_expires_at), coalesce(?3, purge_at), {columns} FROM session_sessions WHERE id = 1"
    );
    let transaction = connection.transaction().expect("nobody else writes");
    let mut statement = transaction.prepare(&fill).expect("a sound statement");
    for (number, has_expired) in size.copies() {
        let expired_at = has_expired.then_some(number as i64);
        statement.execute((handle(number).as_bytes(), user(number), expired_at)).expect("the disk has room");
    }
    drop(statement);
    transaction.commit().expect("the disk has room");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("nobody reads");
}

const COPIED_BY_SQLITE: &str = "SELECT group_concat(name, ', ') FROM pragma_table_info('session_sessions') \
     WHERE name NOT IN ('id', 'handle', 'user_id', 'idle_expires_at', 'purge_at')";

/// Copies the first session in a schema of PostgreSQL.
pub(crate) async fn fill_postgres(url: &str, schema: &str, size: Size) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server is there");
    let connection = tokio::spawn(connection);
    let run = async |statement: &str| client.batch_execute(statement).await.expect("the superuser may do it");
    run(&format!(
        "SET search_path = {schema}; CREATE TEMP TABLE copies (handle bytea, user_id text, expired_at bigint)"
    ))
    .await;
    let sink = client.copy_in("COPY copies FROM STDIN").await.expect("the table is there");
    let mut sink = Box::pin(sink);
    let copies: Vec<_> = size.copies().collect();
    for chunk in copies.chunks(10_000) {
        let line = |(number, has_expired): &(usize, bool)| {
            let expired_at = if *has_expired { number.to_string() } else { "\\N".to_owned() };
            format!("\\\\x{}\t{}\t{expired_at}\n", handle(*number), user(*number))
        };
        let lines: String = chunk.iter().map(line).collect();
        sink.send(Cursor::new(lines)).await.expect("the server is there");
    }
    sink.as_mut().finish().await.expect("the lines are sound");
    let columns = "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = $1 \
         AND table_name = 'session_sessions' AND column_name NOT IN ('id', 'handle', 'user_id', 'idle_expires_at', 'purge_at')";
    let columns: String = client.query_one(columns, &[&schema]).await.expect("the table is there").get(0);
    run(&format!(
        "INSERT INTO session_sessions (handle, user_id, idle_expires_at, purge_at, {columns}) \
         SELECT copies.handle, copies.user_id, coalesce(expired_at, idle_expires_at), coalesce(expired_at, purge_at), {columns} \
         FROM copies CROSS JOIN (SELECT {columns}, idle_expires_at, purge_at FROM session_sessions) AS first"
    ))
    .await;
    run("VACUUM ANALYZE session_sessions").await;
    run("CHECKPOINT").await;
    drop(client);
    connection.await.expect("it does not panic").expect("it ends well");
}

/// Copies the first session in a Redis server. The script knows where in a row its handle, its user and its idle expiry stand.
pub(crate) fn fill_redis(url: &str, size: Size) {
    let client = redis::Client::open(url).expect("a sound URL");
    let mut connection = client.get_connection().expect("the server is there");
    let copies: Vec<_> = size.copies().collect();
    for chunk in copies.chunks(1_000) {
        let mut call = redis::cmd("EVAL");
        call.arg(COPY_IN_REDIS).arg(0).arg(handle(0).to_string());
        for (number, has_expired) in chunk {
            let expired_at = if *has_expired { *number } else { 0 };
            call.arg(handle(*number).to_string()).arg(user(*number)).arg(expired_at);
        }
        call.exec(&mut connection).expect("the server has room");
    }
}

/// How long a row is.
pub(crate) fn row_length_in_redis(url: &str) -> usize {
    let client = redis::Client::open(url).expect("a sound URL");
    let mut connection = client.get_connection().expect("the server is there");
    let row = format!("{{session}}:row:{}", handle(0));
    redis::cmd("STRLEN").arg(row).query(&mut connection).expect("the row is there")
}

const COPY_IN_REDIS: &str = r"
local first = redis.call('GET', '{session}:row:' .. ARGV[1])
local expiry = struct.unpack('>I8', first, 19)
for at = 2, #ARGV, 3 do
  local handle, user, expired_at = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local bytes = string.gsub(handle, '..', function(pair) return string.char(tonumber(pair, 16)) end)
  local row = string.sub(first, 1, 182) .. bytes .. string.sub(first, 199, 234) .. user .. string.sub(first, 235 + #user)
  local due = expiry
  if expired_at > 0 then
    due = expired_at
    row = string.sub(row, 1, 18) .. struct.pack('>I8', due) .. string.sub(row, 27)
  end
  redis.call('SET', '{session}:row:' .. handle, row, 'PXAT', string.format('%.0f', expiry))
  redis.call('ZADD', '{session}:due', string.format('%.0f', due), handle)
  redis.call('ZADD', '{session}:user:' .. user, '1700000000000000', handle)
end
";

/// The handle of a session by its number. Handles are random, so that neighbours in time are none in an index.
pub(crate) fn handle(number: usize) -> SessionHandle {
    let (high, low) = (scatter(2 * number as u64), scatter(2 * number as u64 + 1));
    SessionHandle::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// A user's name of the length of a UUID.
pub(crate) fn user(number: usize) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012x}")
}

/// The `splitmix64` generator: a number that looks random, another one for each.
pub(crate) fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Pauses of another length each, from nothing up to a bound, so that nothing runs in step with what the stores do regularly.
pub(crate) fn pause(number: usize, most: Duration) -> Duration {
    most.mul_f64(scatter(number as u64) as f64 / u64::MAX as f64)
}
