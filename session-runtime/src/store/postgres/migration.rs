//! Looking at the tables when the store is opened, and bringing them up to date.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::{
    Failure,
    schema::{Names, VERSION},
};
use crate::store::columns::{BoxError, names_are_taken};

/// The first version that can do what the statements ask for.
const OLDEST_SERVER: i32 = 12;

/// Brings the tables up to date, or only looks whether they are. Returns the channel on which their ends are told.
pub(super) async fn prepare(
    pool: &Pool,
    names: &Names,
    migrate: bool,
    patience: Duration,
) -> Result<String, BoxError> {
    let preparation = async {
        // Not given back: if nobody waits any more, it may be in the middle of a transaction, and the pool may be the application's.
        let connection = Object::take(pool.get().await.map_err(Failure::from)?);
        check_server(&connection).await?;
        let version = version(&connection, names).await?;
        check_version(version, names, migrate)?;
        if version < VERSION {
            bring_up_to_date(&connection, names).await?;
        }
        channel(&connection, names).await
    };
    timeout(patience, preparation).await.map_err(|_| Failure::Late)?
}

async fn check_server(connection: &ClientWrapper) -> Result<(), BoxError> {
    let ask = "SELECT current_setting('server_version_num')::int / 10000, current_setting('transaction_read_only')::bool";
    let answer = connection.query_typed_one(ask, &[]).await.map_err(Failure::from)?;
    let (version, is_read_only) = (answer.try_get::<_, i32>(0)?, answer.try_get(1)?);
    if version < OLDEST_SERVER {
        return Err(format!("it is PostgreSQL {version}; sessions need {OLDEST_SERVER} or later").into());
    }
    if is_read_only {
        return Err(
            "it is read-only: a standby, or a database whose `default_transaction_read_only` is on".into()
        );
    }
    Ok(())
}

fn check_version(version: usize, names: &Names, migrate: bool) -> Result<(), BoxError> {
    let prefix = names.prefix();
    if version > VERSION {
        return Err(format!(
            "the tables `{prefix}*` are of version {version}, and this library knows up to {VERSION}: a newer one made them"
        )
        .into());
    }
    if version < VERSION && !migrate {
        return Err(format!(
            "the tables `{prefix}*` are of version {version}, and this library needs {VERSION}: run `PostgresStore::migrations`"
        )
        .into());
    }
    Ok(())
}

/// Several processes may do this at once; one does, and the others wait for it.
async fn bring_up_to_date(connection: &ClientWrapper, names: &Names) -> Result<(), BoxError> {
    let result = async {
        let lock = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(hashtext('session-runtime'))";
        connection.batch_execute(lock).await.map_err(Failure::from)?;
        let version = version(connection, names).await?;
        for migration in names.migrations().skip(version) {
            connection.batch_execute(&migration).await.map_err(|error| refused(error, names))?;
        }
        Ok(connection.batch_execute("COMMIT").await.map_err(Failure::from)?)
    };
    let result: Result<(), BoxError> = result.await;
    if result.is_err() {
        // What failed is more telling than whether this does too.
        let _ = connection.batch_execute("ROLLBACK").await;
    }
    result
}

/// The version of the tables; 0 if there are none.
async fn version(connection: &ClientWrapper, names: &Names) -> Result<usize, BoxError> {
    let table = format!("{}schema", names.prefix());
    // The catalogue is asked because a backend may remember that there was no such table: of what others have committed since its
    // transaction began, it takes note when it opens a table.
    let find = format!("SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('{table}'))");
    let found = connection.query_typed_one(&find, &[]).await.map_err(Failure::from)?;
    if !found.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let ask = format!("SELECT max(version) FROM {table}");
    let answer = connection.query_typed_one(&ask, &[]).await.map_err(|error| refused(error, names))?;
    Ok(usize::try_from(answer.try_get::<_, Option<i32>>(0)?.unwrap_or_default())?)
}

/// A statement that is right where the tables are ours.
fn refused(error: tokio_postgres::Error, names: &Names) -> BoxError {
    let is_taken = [SqlState::DUPLICATE_TABLE, SqlState::UNDEFINED_COLUMN];
    let is_taken = error.code().is_some_and(|code| is_taken.contains(code));
    let failure = Failure::from(error);
    if is_taken { names_are_taken(&failure.to_string(), &names.prefix()) } else { failure.into() }
}

/// One for each set of tables in the database.
async fn channel(connection: &ClientWrapper, names: &Names) -> Result<String, BoxError> {
    let ask = format!("SELECT '{}feed'::regclass::oid::bigint", names.prefix());
    let answer = connection.query_typed_one(&ask, &[]).await.map_err(Failure::from)?;
    Ok(format!("{}feed_{}", names.table_prefix, answer.try_get::<_, i64>(0)?))
}
