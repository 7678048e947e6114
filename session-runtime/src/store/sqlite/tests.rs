//! What the kit does not ask of every store: what can go wrong with a file, and what a refresh costs.

use std::{fs, sync::mpsc};

use futures_util::FutureExt as _;
use rusqlite::StatementStatus;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    rotation::Grace,
    store::{Fingerprint, Salt},
    token::Proof,
};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sessions.db")
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).await.unwrap()
    }

    async fn refusal(&self) -> String {
        SqliteStore::open(self.path()).await.unwrap_err().to_string()
    }
}

fn session(number: u8) -> NewRow {
    NewRow {
        idle_lifetime: Duration::from_secs(3600),
        grace: Grace::new(Duration::from_secs(60)),
        fingerprint: Fingerprint([3; 16]),
        ..NewRow::new(SessionHandle::from_bytes([number; 16]), "alice", Salt([2; 32]))
    }
}

fn created(creation: Creation) -> Row {
    match creation {
        Creation::Created(row) => row,
        other => panic!("{other:?}"),
    }
}

/// A presentation of the login's token, which is due at once.
fn presentation(row: &Row) -> Exchange {
    let grace = Grace::new(Duration::from_secs(20));
    let proof = Proof::sealed([4; 32], &row.salt.0);
    Exchange::new(row.handle, row.chain.link().into(), grace, [row.fingerprint], proof)
}

#[tokio::test]
async fn a_closed_database_keeps_everything() {
    let folder = Folder::new();
    let store = folder.open().await;
    let row = created(store.create(session(1)).await.unwrap());
    store.revoke(row.handle, EndReason::Logout).await.unwrap();
    let row = store.read(row.handle).await.unwrap();
    drop(store);
    let again = folder.open().await;
    assert_eq!(again.read(SessionHandle::from_bytes([1; 16])).await.unwrap(), row);
    assert_eq!(again.revocations(Cursor(0), Duration::ZERO).await.unwrap().revocations.len(), 1);
}

#[tokio::test]
async fn what_is_no_database_is_refused_by_name() {
    let folder = Folder::new();
    fs::write(folder.path(), [b'x'; 8192]).unwrap();
    let refusal = folder.refusal().await;
    assert!(refusal.contains("sessions.db") && refusal.contains("not a database"), "{refusal}");

    let nowhere = folder.0.path().join("no").join("such.db");
    let refusal = SqliteStore::open(nowhere).await.unwrap_err().to_string();
    assert!(refusal.contains("such.db"), "{refusal}");

    let memory = SqliteStore::open(":memory:").await.unwrap_err().to_string();
    assert!(memory.contains("MemoryStore"), "{memory}");
}

#[tokio::test]
async fn tables_of_another_version_are_refused() {
    let folder = Folder::new();
    let missing = SqliteStore::builder(folder.path()).migrate(false).open().await.unwrap_err().to_string();
    assert!(missing.contains("version 0") && missing.contains("migrations"), "{missing}");

    let connection = Connection::open(folder.path()).unwrap();
    SqliteStore::migrations("session_").for_each(|migration| connection.execute_batch(&migration).unwrap());
    SqliteStore::builder(folder.path()).migrate(false).open().await.unwrap();

    connection.execute_batch("UPDATE session_schema SET version = 7").unwrap();
    let newer = folder.refusal().await;
    assert!(newer.contains("version 7"), "{newer}");
}

#[tokio::test]
async fn a_prefix_that_is_no_name_is_refused() {
    let folder = Folder::new();
    for prefix in ["a-b", "a b", "1st", "a;", "ä", "a_name_that_is_longer_than_it_may_be"] {
        let refusal = SqliteStore::builder(folder.path()).table_prefix(prefix).open().await.unwrap_err();
        assert!(refusal.to_string().contains("table prefix"), "{refusal}");
    }
    let one = SqliteStore::builder(folder.path()).table_prefix("one_").open().await.unwrap();
    let other = SqliteStore::builder(folder.path()).table_prefix("").open().await.unwrap();
    one.create(session(1)).await.unwrap();
    assert_eq!(other.list("alice".into()).await.unwrap(), []);
}

#[tokio::test]
async fn a_commit_survives_what_was_asked_for() {
    for (durability, synchronous) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let folder = Folder::new();
        let store = SqliteStore::builder(folder.path()).durability(durability).open().await.unwrap();
        let pragmas = store.0.writer.write(|step| {
            let synchronous = step.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
            let journal = step.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok::<(i64, String), _>((synchronous, journal))
        });
        assert_eq!(pragmas.await.unwrap(), (synchronous, "wal".to_owned()));
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_passes() {
    let folder = Folder::new();
    let store = folder.open().await;
    let row = created(store.create(session(1)).await.unwrap());
    let limit_pages = |pages: u32| {
        store.0.writer.write(move |step| Ok(step.connection.pragma_update(None, "max_page_count", pages)?))
    };
    limit_pages(1).await.unwrap();
    let bulky = |number| NewRow { data: Some("x".repeat(1 << 20).into()), ..session(number) };
    let full = store.create(bulky(2)).await.unwrap_err().to_string();
    assert!(full.contains("full"), "{full}");
    assert_eq!(store.read(SessionHandle::from_bytes([2; 16])).await.unwrap(), None);
    assert_eq!(store.read(row.handle).await.unwrap().as_ref(), Some(&row));
    limit_pages(1 << 20).await.unwrap();
    created(store.create(bulky(2)).await.unwrap());
}

#[tokio::test]
async fn a_damaged_file_is_an_error() {
    let folder = Folder::new();
    let store = folder.open().await;
    created(store.create(session(1)).await.unwrap());
    drop(store);
    let connection = Connection::open(folder.path()).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let mut bytes = fs::read(folder.path()).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(folder.path(), bytes).unwrap();
    match SqliteStore::open(folder.path()).await {
        Err(error) => assert!(error.to_string().contains("malformed"), "{error}"),
        Ok(store) => {
            let error = store.read(SessionHandle::from_bytes([1; 16])).await.unwrap_err();
            assert!(error.to_string().contains("malformed"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_row_that_this_library_never_wrote_is_an_error() {
    let folder = Folder::new();
    let store = folder.open().await;
    let row = created(store.create(session(1)).await.unwrap());
    let connection = Connection::open(folder.path()).unwrap();
    connection.execute_batch("UPDATE session_sessions SET generation = -1").unwrap();
    let read = store.read(row.handle).await.unwrap_err();
    let rotate = store.rotate(presentation(&row)).await.unwrap_err();
    for error in [read, rotate] {
        assert!(error.to_string().contains("`generation`"), "{error}");
    }
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_an_error() {
    let folder = Folder::new();
    let store =
        SqliteStore::builder(folder.path()).busy_timeout(Duration::from_millis(20)).open().await.unwrap();
    let connection = Connection::open(folder.path()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = store.create(session(1)).await.unwrap_err().to_string();
    assert!(busy.contains("locked"), "{busy}");
    assert_eq!(store.read(SessionHandle::from_bytes([1; 16])).await.unwrap(), None);
    connection.execute_batch("ROLLBACK").unwrap();
    created(store.create(session(1)).await.unwrap());
}

#[tokio::test]
async fn an_operation_that_panics_is_undone_and_no_other() {
    let folder = Folder::new();
    let store = folder.open().await;
    let row = created(store.create(session(1)).await.unwrap());
    let panics = store.0.writer.write(|step| -> Result<(), Failure> {
        step.end(SessionHandle::from_bytes([1; 16]), EndReason::Revoked)?;
        panic!("as ordered")
    });
    let (panicked, made) = tokio::join!(panics, store.create(session(2)));
    assert!(panicked.unwrap_err().to_string().contains("panicked"));
    created(made.unwrap());
    assert_eq!(store.read(row.handle).await.unwrap().as_ref(), Some(&row));
}

#[tokio::test]
async fn the_thread_ends_with_the_last_store() {
    let folder = Folder::new();
    let store = folder.open().await;
    let (clone, published) = (store.clone(), store.0.published.subscribe());
    drop(store);
    created(clone.create(session(1)).await.unwrap());
    drop(clone);
    let mut published = published;
    let ended = tokio::time::timeout(Duration::from_secs(10), published.changed()).await;
    assert!(ended.unwrap().is_err());
}

/// How often the writer ran statements that read or write.
async fn statements(store: &SqliteStore) -> i32 {
    let count = store.0.writer.write(|step| {
        let texts = step.sql.texts();
        let run =
            |text: &&str| step.connection.prepare_cached(text).map(|it| it.get_status(StatementStatus::Run));
        Ok(texts.iter().map(run).sum::<rusqlite::Result<i32>>()?)
    });
    count.await.unwrap()
}

#[tokio::test]
async fn a_refresh_reads_one_row_and_writes_it_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let row = created(store.create(session(1)).await.unwrap());
    let before = statements(&store).await;
    let rotation = store.rotate(presentation(&row)).await.unwrap();
    assert_eq!((rotation.decision.rule(), statements(&store).await - before), (5, 2));
    let replay = store.rotate(presentation(&row)).await.unwrap();
    assert_eq!((replay.decision.rule(), statements(&store).await - before), (8, 3));
}

#[test]
fn no_rotation_rewrites_an_index() {
    let connection = Connection::open_in_memory().unwrap();
    SqliteStore::migrations("").for_each(|migration| connection.execute_batch(&migration).unwrap());
    let indexed = "SELECT i.name FROM pragma_index_list('sessions') l, pragma_index_info(l.name) i";
    let mut statement = connection.prepare(indexed).unwrap();
    let indexed: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(indexed.len(), 3);
    for column in columns::Column::CHANGING {
        assert!(!indexed.iter().any(|name| name == column.name()), "{column:?}");
    }
}

#[tokio::test]
async fn what_comes_while_the_writer_is_busy_is_committed_together() {
    let folder = Folder::new();
    let (store, path) = (folder.open().await, folder.path());
    let ((has_begun, begun), (release, held)) = (oneshot::channel(), mpsc::channel::<()>());
    let holds = store.clone();
    let holds = tokio::spawn(async move {
        let hold = move |_: &steps::Step<'_>| {
            let _ = has_begun.send(());
            let _ = held.recv();
            Ok(())
        };
        holds.0.writer.write(hold).await
    });
    begun.await.unwrap();
    let looks = store.0.writer.write(move |step| {
        let count = "SELECT count(*) FROM session_sessions";
        let of = |connection: &Connection| connection.query_row(count, [], |row| row.get::<_, i64>(0));
        Ok((of(step.connection)?, of(&Connection::open(path)?)?))
    });
    let (made, looked, released) = tokio::join!(
        store.create(session(1)),
        looks,
        std::future::ready(release).map(|release| release.send(()))
    );
    created(made.unwrap());
    released.unwrap();
    assert_eq!(looked.unwrap(), (1, 0), "inside the transaction, and outside of it");
    holds.await.unwrap().unwrap();
}
