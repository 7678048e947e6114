//! The tables, and the statements that the store makes of them.

use tokio_postgres::types::Type;

use crate::{
    error::StoreError,
    store::columns::{Column, REVOCATION},
};

/// What makes each version of the schema of the one before.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/1.sql")];

/// The version that this library works with.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// PostgreSQL cuts names off at 63 bytes, and the longest of ours has to fit behind the prefix.
const LONGEST_NAME: usize = 32;

/// The time, read when the row before it was locked.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// How many numbers the feed passes over at most with each publication.
const GAP: u32 = 1 << 20;

/// "Never".
const NEVER: i64 = i64::MAX;

/// Where the tables are.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) schema: Option<String>,
    pub(super) table_prefix: String,
}

impl Names {
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let parts = [("schema", self.schema.as_deref()), ("table prefix", Some(&*self.table_prefix))];
        for (what, name) in parts.into_iter().filter_map(|(what, name)| Some((what, name?))) {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            let may_be_empty = what == "table prefix";
            if name.len() > LONGEST_NAME
                || !name.bytes().all(is_name)
                || name.starts_with(|first: char| first.is_ascii_digit())
                || (name.is_empty() && !may_be_empty)
            {
                return Err(StoreError::new(format!(
                    "{what} {name:?}: at most {LONGEST_NAME} lower-case ASCII letters, digits and underscores, and no digit first"
                )));
            }
        }
        Ok(())
    }

    /// What stands before the names of tables.
    pub(super) fn prefix(&self) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("\"{schema}\".")).unwrap_or_default();
        format!("{schema}{}", self.table_prefix)
    }

    pub(super) fn migrations(&self) -> impl Iterator<Item = String> + use<> {
        let (prefix, name) = (self.prefix(), self.table_prefix.clone());
        let schema = self.schema.clone();
        MIGRATIONS.iter().enumerate().map(move |(older, migration)| {
            let version = older + 1;
            let (before, after) = match (older, &schema) {
                (0, Some(schema)) => (format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";\n"), RECORD_FIRST),
                (0, None) => (String::new(), RECORD_FIRST),
                _ => (String::new(), "UPDATE {prefix}schema SET version = {version};\n"),
            };
            format!("{before}{migration}\n{after}")
                .replace("{prefix}", &prefix)
                .replace("{name}", &name)
                .replace("{version}", &version.to_string())
        })
    }
}

const RECORD_FIRST: &str =
    "CREATE TABLE {prefix}schema (version integer NOT NULL);\nINSERT INTO {prefix}schema VALUES (1);\n";

/// A statement, and the types of what it takes.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) types: Vec<Type>,
}

impl Query {
    pub(super) fn new(text: impl Into<String>, types: impl Into<Vec<Type>>) -> Self {
        Self { text: text.into(), types: types.into() }
    }
}

/// The statements, with the names of the tables in them.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) begin: Query,
    pub(super) commit: Query,
    pub(super) limit_idle: Query,
    pub(super) now: Query,
    pub(super) row: Query,
    pub(super) live: Query,
    pub(super) lock_rows: Query,
    pub(super) create: Query,
    pub(super) insert: Query,
    pub(super) rotate: Query,
    pub(super) look: Query,
    pub(super) keep: Query,
    pub(super) youngest: Query,
    pub(super) lock_mark: Query,
    pub(super) set_mark: Query,
    pub(super) publish: Query,
    pub(super) notify: Query,
    pub(super) revocations: Query,
    pub(super) purge: Query,
    pub(super) forget_marks: Query,
    pub(super) forget_revocations: Query,
}

impl Sql {
    pub(super) fn new(names: &Names) -> Self {
        let prefix = names.prefix();
        let (sessions, marks) = (format!("{prefix}sessions"), format!("{prefix}marks"));
        let (revocations, feed) = (format!("{prefix}revocations"), format!("{prefix}feed"));
        let columns = listed(Column::ALL);
        let all_types: Vec<_> = Column::ALL.iter().map(|column| type_of(*column)).collect();
        let mark = format!(
            "INSERT INTO {marks} AS m (user_id, made_by) VALUES ($2, 0) \
             ON CONFLICT (user_id) DO UPDATE SET made_by = m.made_by RETURNING made_by"
        );
        Self {
            begin: Query::new("BEGIN ISOLATION LEVEL READ COMMITTED", []),
            commit: Query::new("COMMIT", []),
            // A process that hangs holds no row for longer.
            limit_idle: Query::new("SET LOCAL idle_in_transaction_session_timeout = '10s'", []),
            now: Query::new(format!("SELECT {NOW}"), []),
            row: Query::new(format!("SELECT {columns} FROM {sessions} WHERE handle = $1"), [Type::BYTEA]),
            live: Query::new(
                format!(
                    "SELECT {columns}, {NOW} FROM {sessions} WHERE user_id = $1 AND ended_at IS NULL ORDER BY id"
                ),
                [Type::TEXT],
            ),
            lock_rows: Query::new(lock_rows(&sessions, &columns), [Type::BYTEA_ARRAY, Type::TEXT]),
            create: Query::new(create(&sessions, &columns, &mark), all_types.clone()),
            insert: Query::new(
                format!(
                    "INSERT INTO {sessions} ({columns}, purge_at) VALUES ({}, ${}) \
                     ON CONFLICT (handle) DO NOTHING RETURNING true",
                    numbered(Column::ALL.len()),
                    Column::ALL.len() + 1
                ),
                [all_types, vec![Type::INT8]].concat(),
            ),
            rotate: Query::new(rotate(&sessions), ROTATE),
            look: Query::new(
                format!(
                    "SELECT {}, {NOW} FROM (SELECT) AS one LEFT JOIN {sessions} AS s ON s.handle = $1",
                    prefixed("s", Column::ALL)
                ),
                [Type::BYTEA],
            ),
            keep: keep(&sessions),
            youngest: Query::new(
                format!("SELECT max(created_at) FROM {sessions} WHERE user_id = $1"),
                [Type::TEXT],
            ),
            lock_mark: Query::new(mark.replace("$2", "$1"), [Type::TEXT]),
            set_mark: Query::new(
                format!("UPDATE {marks} SET made_by = greatest(made_by, $2) WHERE user_id = $1"),
                [Type::TEXT, Type::INT8],
            ),
            publish: publish(&revocations, &feed),
            notify: Query::new("SELECT pg_notify($1, '')", [Type::TEXT]),
            revocations: self::revocations(&revocations, &feed),
            purge: Query::new(purge(&sessions), [Type::INT8, Type::INT8]),
            forget_marks: Query::new(
                format!(
                    "DELETE FROM {marks} WHERE user_id IN (SELECT user_id FROM {marks} \
                     WHERE made_by <= {NOW} - $1 ORDER BY made_by LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING true"
                ),
                [Type::INT8, Type::INT8],
            ),
            // Only the oldest are looked at, which are the first, so that a young feed is not read to its end.
            forget_revocations: Query::new(
                format!(
                    "DELETE FROM {revocations} WHERE seq IN (SELECT seq FROM \
                     (SELECT seq, ended_at FROM {revocations} ORDER BY seq LIMIT $2) AS oldest \
                     WHERE ended_at < {NOW} - $1) RETURNING true"
                ),
                [Type::INT8, Type::INT8],
            ),
        }
    }
}

/// Locks rows, with all that they replace, the youngest first: whoever locks several does so in this order, and none of them waits
/// for one that waits for it.
fn lock_rows(sessions: &str, columns: &str) -> String {
    format!(
        "WITH RECURSIVE chain AS (\
           SELECT id, replaces FROM (\
             SELECT id, replaces FROM {sessions} WHERE handle = ANY ($1) \
             UNION \
             SELECT id, replaces FROM {sessions} WHERE user_id = $2 AND ended_at IS NULL\
           ) AS asked \
           UNION \
           SELECT older.id, older.replaces FROM chain JOIN {sessions} AS older ON older.handle = chain.replaces\
         ) \
         SELECT {columns} FROM {sessions} WHERE id IN (SELECT id FROM chain) ORDER BY id DESC FOR NO KEY UPDATE"
    )
}

/// Makes a session in one statement. The user's mark is locked, and the clock is read after that. Times are given from "now" on.
fn create(sessions: &str, columns: &str, mark: &str) -> String {
    let value = |(at, column): (usize, &Column)| {
        let number = at + 1;
        match column {
            Column::CreatedAt | Column::AuthenticatedAt => format!("timed.now + ${number}"),
            Column::IdleExpiresAt | Column::AbsoluteExpiresAt => later("timed.now", &format!("${number}")),
            Column::RotatedAt => format!("greatest(timed.now - ${number}, 0)"),
            _ => format!("${number}"),
        }
    };
    let values: Vec<_> = Column::ALL.iter().enumerate().map(value).collect();
    let expiry = format!(
        "least({}, {})",
        values[Column::IdleExpiresAt as usize],
        values[Column::AbsoluteExpiresAt as usize]
    );
    format!(
        "WITH mark AS ({mark}), timed AS MATERIALIZED (SELECT greatest({NOW}, made_by + 1) AS now FROM mark) \
         INSERT INTO {sessions} ({columns}, purge_at) SELECT {}, {expiry} FROM timed \
         ON CONFLICT (handle) DO NOTHING RETURNING created_at",
        values.join(", ")
    )
}

/// What [`Sql::rotate`] takes: handle, generation, parent, nonce, fingerprint, the two parts of the proof, the floor.
const ROTATE: [Type; 8] =
    [Type::BYTEA, Type::INT8, Type::INT8, Type::BYTEA, Type::BYTEA, Type::BYTEA, Type::BYTEA, Type::INT8];

/// The columns that [`Sql::rotate`] changes.
const ROTATED: [Column; 10] = [
    Column::IdleExpiresAt,
    Column::Generation,
    Column::Parent,
    Column::Grandparent,
    Column::RotatedAt,
    Column::UsedAt,
    Column::BoundSince,
    Column::Nonce,
    Column::ParentNonce,
    Column::Fingerprint,
];

/// Rotates where rule 5 of [`rotation::decide`](crate::rotation::decide) says so and nothing else is to be done. Answers the row as it
/// was, and the time; nothing where it was not rotated.
///
/// The conditions are those of the rule: a live session, the right proof, a nonce where one is due, the current generation and its
/// parent, the floor passed, a number left. A session that replaces another is left to the long way.
///
/// The row as it was is read beside the one that is updated, and both must be the same version: where another transaction had
/// the row locked and changed it, nothing is rotated. That is told by who wrote it, because a `ctid` is not looked at again after
/// the wait. Where the other one only had it locked, the time is that of the wait's beginning.
fn rotate(sessions: &str) -> String {
    let row = Column::ALL.iter().map(|column| {
        let table = if ROTATED.contains(column) { "was" } else { "s" };
        format!("{table}.{}", column.name())
    });
    format!(
        "UPDATE {sessions} AS s SET \
           generation = was.generation + 1, parent = was.generation, grandparent = was.parent, \
           rotated_at = was.now, used_at = NULL, idle_expires_at = {expiry}, fingerprint = $5, \
           bound_since = CASE WHEN $4 IS NOT NULL THEN coalesce(was.bound_since, was.generation + 1) END, \
           nonce = $4, parent_nonce = CASE WHEN $4 IS NOT NULL THEN was.nonce END \
         FROM (SELECT xmin AS written_by, {rotated}, {NOW} AS now FROM {sessions} WHERE handle = $1) AS was \
         WHERE s.handle = $1 AND s.xmin = was.written_by \
           AND s.ended_at IS NULL \
           AND was.now < least(was.idle_expires_at, s.absolute_expires_at) \
           AND sha256(s.salt || $6) = $7 \
           AND ($4 IS NOT NULL OR was.bound_since IS NULL OR $2 < was.bound_since) \
           AND was.generation = $2 AND was.parent = $3 \
           AND was.now - was.rotated_at > $8 \
           AND was.generation < {last} \
           AND s.replaces IS NULL \
         RETURNING {row}, was.now",
        expiry = later("was.now", "s.idle_lifetime"),
        rotated = listed(&ROTATED),
        last = u32::MAX,
        row = row.collect::<Vec<_>>().join(", "),
    )
}

/// What [`Sql::keep`] takes a list of each of: the columns that a step changes, and the handles of the rows.
pub(super) const KEPT: [Column; Column::CHANGING.len() + 1] = {
    let mut kept = [Column::Handle; Column::CHANGING.len() + 1];
    let (changing, _) = kept.split_at_mut(Column::CHANGING.len());
    changing.copy_from_slice(Column::CHANGING);
    kept
};

/// Writes what a step has changed. An end has the purge look at the row anew.
fn keep(sessions: &str) -> Query {
    let sets = Column::CHANGING.iter().map(|column| format!("{name} = kept.{name}", name = column.name()));
    let text = format!(
        "UPDATE {sessions} AS s SET {}, \
           purge_at = CASE WHEN s.ended_at IS NULL THEN coalesce(kept.ended_at, s.purge_at) ELSE s.purge_at END \
         FROM unnest({}) AS kept ({}) WHERE s.handle = kept.handle",
        sets.collect::<Vec<_>>().join(", "),
        numbered(KEPT.len()),
        listed(&KEPT),
    );
    Query::new(text, KEPT.map(|column| list_of(type_of(column))))
}

/// Tells the feed of ends, by one write of its count however many they are.
///
/// The numbers leave gaps at random. Where a server that lacks the last entries has taken over and counted on, no entry of it is
/// likely to have the number at which a reader stands: [`Sql::revocations`] finds that out.
fn publish(revocations: &str, feed: &str) -> Query {
    let columns = REVOCATION.join(", ");
    let text = format!(
        "WITH place AS (UPDATE {feed} SET last = last + 1 + floor(random() * {GAP})::bigint + cardinality($2) \
                        RETURNING last - cardinality($2) AS before) \
         INSERT INTO {revocations} (seq, {columns}) SELECT place.before + told.at, {} \
         FROM place, unnest({}) WITH ORDINALITY AS told ({columns}, at)",
        REVOCATION.map(|column| format!("told.{column}")).join(", "),
        numbered(REVOCATION.len())
    );
    let types = [Type::BYTEA, Type::TEXT, Type::INT8, Type::TEXT, Type::BYTEA, Type::BYTEA];
    Query::new(text, types.map(list_of))
}

/// Reads entries after a number, at most `$2`. Answers 0 as the last one where the number is of another feed than this: there is no
/// entry of it, although there are earlier ones.
fn revocations(revocations: &str, feed: &str) -> Query {
    let text = format!(
        "WITH feed AS (SELECT CASE WHEN $1 = last OR $1 < first OR EXISTS (SELECT FROM {revocations} WHERE seq = $1) \
                              THEN last ELSE 0 END AS last \
                       FROM {feed}, (SELECT coalesce(min(seq), $1 + 1) AS first FROM {revocations}) AS oldest) \
         SELECT feed.last, {NOW}, r.seq, {} FROM feed \
         LEFT JOIN {revocations} AS r ON r.seq > $1 AND r.seq <= feed.last ORDER BY r.seq LIMIT $2",
        REVOCATION.map(|column| format!("r.{column}")).join(", ")
    );
    Query::new(text, [Type::INT8, Type::INT8])
}

/// Takes up to `$2` rows that are to be looked at, and deletes the dead ones among them: those that expired, or ended longer ago
/// than `$1`. Answers how many it took, and which of them had expired.
fn purge(sessions: &str) -> String {
    let forgotten = later("ended_at", "$1");
    format!(
        "WITH clock AS MATERIALIZED (SELECT {NOW} AS now), \
         due AS MATERIALIZED (\
           SELECT id, CASE WHEN ended_at IS NULL THEN least(idle_expires_at, absolute_expires_at) ELSE {forgotten} END AS dies_at \
           FROM {sessions} WHERE purge_at <= (SELECT now FROM clock) \
           ORDER BY purge_at LIMIT $2 FOR UPDATE SKIP LOCKED\
         ), \
         later AS (UPDATE {sessions} AS s SET purge_at = due.dies_at FROM due, clock \
                   WHERE s.id = due.id AND due.dies_at > clock.now), \
         dead AS (DELETE FROM {sessions} AS s USING due, clock WHERE s.id = due.id AND due.dies_at <= clock.now \
                  RETURNING s.handle, s.user_id, s.ended_at) \
         SELECT (SELECT count(*) FROM due), expired.handle, expired.user_id FROM (SELECT) AS one \
         LEFT JOIN (SELECT handle, user_id FROM dead WHERE ended_at IS NULL) AS expired ON true"
    )
}

/// A time and a duration after it, at most "never".
fn later(time: &str, duration: &str) -> String {
    format!("{time} + least({duration}, {NEVER} - {time})")
}

fn listed(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

fn prefixed(table: &str, columns: &[Column]) -> String {
    columns.iter().map(|column| format!("{table}.{}", column.name())).collect::<Vec<_>>().join(", ")
}

fn numbered(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

fn list_of(member: Type) -> Type {
    match member {
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        _ => Type::INT8_ARRAY,
    }
}

pub(super) fn type_of(column: Column) -> Type {
    match column {
        Column::Handle
        | Column::Nonce
        | Column::ParentNonce
        | Column::Salt
        | Column::Fingerprint
        | Column::Replaces
        | Column::IssuedTo
        | Column::ReusedBy => Type::BYTEA,
        Column::User
        | Column::Tenant
        | Column::Address
        | Column::UserAgent
        | Column::Claims
        | Column::Data
        | Column::EndReason => Type::TEXT,
        Column::CreatedAt
        | Column::AuthenticatedAt
        | Column::IdleExpiresAt
        | Column::AbsoluteExpiresAt
        | Column::IdleLifetime
        | Column::Generation
        | Column::Parent
        | Column::Grandparent
        | Column::RotatedAt
        | Column::UsedAt
        | Column::BoundSince
        | Column::Version
        | Column::Persistent
        | Column::EndedAt => Type::INT8,
    }
}
