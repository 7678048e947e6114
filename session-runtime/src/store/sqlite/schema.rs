//! The tables, and the statements that the store makes of them.

use rusqlite::{Connection, MAIN_DB, OptionalExtension, TransactionBehavior};

use crate::{
    error::StoreError,
    store::columns::{BoxError, Column, REVOCATION, names_are_taken},
};

/// What makes each version of the schema of the one before.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/1.sql")];

const LONGEST_PREFIX: usize = 32;

pub(super) fn migrations(prefix: &str) -> impl Iterator<Item = String> {
    MIGRATIONS.iter().enumerate().map(|(older, migration)| {
        let version = older + 1;
        let record = match older {
            0 => "CREATE TABLE {prefix}schema (version INTEGER NOT NULL) STRICT;\nINSERT INTO {prefix}schema VALUES (1);\n".to_owned(),
            _ => format!("UPDATE {{prefix}}schema SET version = {version};\n"),
        };
        format!("{migration}\n{record}").replace("{prefix}", prefix)
    })
}

/// The statements, with the names of the tables in them.
#[derive(Debug)]
pub(super) struct Sql {
    prefix: String,
    pub(super) row: String,
    pub(super) live: String,
    pub(super) insert: String,
    pub(super) keep: String,
    pub(super) look_after: String,
    pub(super) youngest: String,
    pub(super) due: String,
    pub(super) put_off: String,
    pub(super) delete: String,
    pub(super) mark: String,
    pub(super) set_mark: String,
    pub(super) forget_marks: String,
    pub(super) publish: String,
    pub(super) published: String,
    pub(super) revocations: String,
    pub(super) forget_revocations: String,
}

impl Sql {
    pub(super) fn new(prefix: &str) -> Result<Self, StoreError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if prefix.len() > LONGEST_PREFIX
            || !prefix.bytes().all(is_name)
            || prefix.starts_with(|first: char| first.is_ascii_digit())
        {
            return Err(StoreError::new(format!(
                "table prefix {prefix:?}: at most {LONGEST_PREFIX} ASCII letters, digits and underscores, and no digit first"
            )));
        }
        let (sessions, marks) = (format!("{prefix}sessions"), format!("{prefix}marks"));
        let revocations = format!("{prefix}revocations");
        let columns = names(Column::ALL);
        let sets: Vec<_> = Column::CHANGING.iter().map(|column| format!("{} = ?", column.name())).collect();
        let ends = REVOCATION.join(", ");
        Ok(Self {
            prefix: prefix.to_owned(),
            row: format!("SELECT {columns} FROM {sessions} WHERE handle = ?"),
            live: format!(
                "SELECT {columns} FROM {sessions} WHERE user_id = ? AND ended_at IS NULL ORDER BY id"
            ),
            insert: format!(
                "INSERT INTO {sessions} ({columns}, purge_at) VALUES ({}, ?) ON CONFLICT (handle) DO NOTHING",
                placeholders(Column::ALL.len())
            ),
            keep: format!("UPDATE {sessions} SET {} WHERE handle = ?", sets.join(", ")),
            look_after: format!("UPDATE {sessions} SET purge_at = ?2 WHERE handle = ?1"),
            youngest: format!("SELECT max(created_at) FROM {sessions} WHERE user_id = ?"),
            due: format!(
                "SELECT id, handle, user_id, min(idle_expires_at, absolute_expires_at), ended_at FROM {sessions} \
                 WHERE purge_at <= ? ORDER BY purge_at LIMIT ?"
            ),
            put_off: format!("UPDATE {sessions} SET purge_at = ?2 WHERE id = ?1"),
            delete: format!("DELETE FROM {sessions} WHERE id = ?"),
            mark: format!("SELECT made_by FROM {marks} WHERE user_id = ?"),
            set_mark: format!(
                "INSERT INTO {marks} (user_id, made_by) VALUES (?, ?) \
                 ON CONFLICT (user_id) DO UPDATE SET made_by = max(made_by, excluded.made_by)"
            ),
            forget_marks: format!(
                "DELETE FROM {marks} WHERE user_id IN \
                 (SELECT user_id FROM {marks} WHERE made_by <= ? ORDER BY made_by LIMIT ?)"
            ),
            publish: format!(
                "INSERT INTO {revocations} ({ends}) VALUES ({})",
                placeholders(REVOCATION.len())
            ),
            published: format!("SELECT seq FROM sqlite_sequence WHERE name = '{revocations}'"),
            revocations: format!(
                "SELECT seq, {ends} FROM {revocations} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
            ),
            // Only the oldest are looked at, which are the first, so that a young feed is not read to its end.
            forget_revocations: format!(
                "DELETE FROM {revocations} WHERE seq IN \
                 (SELECT seq FROM (SELECT seq, ended_at FROM {revocations} ORDER BY seq LIMIT ?2) WHERE ended_at < ?1)"
            ),
        })
    }

    /// Every statement that a transaction may run.
    #[cfg(test)]
    pub(super) fn texts(&self) -> [&str; 15] {
        let Self { row, live, insert, keep, look_after, youngest, due, put_off, delete, .. } = self;
        let Self { mark, set_mark, forget_marks, publish, revocations, forget_revocations, .. } = self;
        [
            row,
            live,
            insert,
            keep,
            look_after,
            youngest,
            due,
            put_off,
            delete,
            mark,
            set_mark,
            forget_marks,
            publish,
            revocations,
            forget_revocations,
        ]
    }

    /// Brings the tables up to date, or only looks whether they are.
    pub(super) fn prepare(&self, connection: &mut Connection, migrate: bool) -> Result<(), BoxError> {
        let known = MIGRATIONS.len();
        let version = self.version(connection)?;
        if connection.is_readonly(MAIN_DB)? {
            return Err("it is read-only".into());
        }
        // Most often there is nothing to do, and no need for a lock.
        if version == known {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = self.version(&transaction)?;
        if version > known {
            return Err(format!(
                "the tables `{}*` are of version {version}, and this library knows up to {known}: a newer one made them",
                self.prefix
            )
            .into());
        }
        if version < known && !migrate {
            return Err(format!(
                "the tables `{}*` are of version {version}, and this library needs {known}: run `SqliteStore::migrations`",
                self.prefix
            )
            .into());
        }
        for migration in migrations(&self.prefix).skip(version) {
            transaction.execute_batch(&migration).map_err(|error| self.refused(error))?;
        }
        Ok(transaction.commit()?)
    }

    /// The version of the tables; 0 if there are none.
    fn version(&self, connection: &Connection) -> Result<usize, BoxError> {
        let schema = format!("{}schema", self.prefix);
        let find = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?";
        if connection.query_row(find, [&schema], |_| Ok(())).optional()?.is_none() {
            return Ok(0);
        }
        let version = format!("SELECT max(version) FROM {schema}");
        let version = connection.query_row(&version, [], |row| row.get::<_, u16>(0));
        version.map(usize::from).map_err(|error| self.refused(error))
    }

    /// A statement that is right where the tables are ours. SQLite's error would repeat the whole of it.
    fn refused(&self, error: rusqlite::Error) -> BoxError {
        match error {
            rusqlite::Error::SqlInputError { msg, .. } => names_are_taken(&msg, &self.prefix),
            other => other.into(),
        }
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}
