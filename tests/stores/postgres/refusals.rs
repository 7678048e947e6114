//! What can't work is refused with a reason, and no reason holds a password.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Manager, Pool};
use session_runtime::{
    SessionHandle,
    store::{Cursor, EndReason, PostgresStore, SessionStore as _},
};
use tests::{
    hidden::Log,
    servers::{Postgres, free_port, run},
};
use tokio_postgres::NoTls;

use super::{Place, login, present, superuser};

const PASSWORD: &str = "p4ssword-of-nobody";

async fn refusal(url: &str) -> String {
    let builder = PostgresStore::builder(url).timeout(Duration::from_secs(20));
    let error = builder.open().await.expect_err("it can't be opened");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains(Postgres::PASSWORD), "{text}");
    text
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = free_port();
    let refusal = refusal(&format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/app")).await;
    assert!(refusal.contains(&format!("127.0.0.1:{port}/app")) && refusal.contains("refused"), "{refusal}");
}

#[tokio::test]
async fn what_is_no_url_is_not_repeated() {
    let port = free_port();
    for url in [
        format!("postgres://app:{PASSWORD}@127.0.0.1:port/app"),
        format!("postgres://app:x@{PASSWORD}@127.0.0.1:{port}/app"),
        format!("postgres://app:x@127.0.0.1:{port}/{PASSWORD}@db.internal/app"),
        format!("postgres://app:{PASSWORD}"),
        format!("host={PASSWORD} port={PASSWORD}"),
        format!("mysql://app:{PASSWORD}@127.0.0.1:{port}/app"),
        format!("user=app password={PASSWORD}"),
        PASSWORD.to_owned(),
    ] {
        let refusal = refusal(&url).await;
        assert!(refusal.contains("the URL of the database"), "{refusal}");
    }
    // Not encoded as they should be, and understood all the same.
    for password in [format!("{PASSWORD}?x"), format!("x?{PASSWORD}=y"), format!("{PASSWORD}/#x")] {
        refusal(&format!("postgres://app:{password}@127.0.0.1:{port}/app")).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_called_so() {
    let Some(place) = Place::new() else { return };
    let url = place.url().replace(Postgres::PASSWORD, PASSWORD);
    let refusal = refusal(&url).await;
    assert!(refusal.contains("password authentication failed") && refusal.contains("28P01"), "{refusal}");
}

#[tokio::test]
async fn names_of_tables_are_names() {
    for (schema, prefix) in
        [("public", "x; DROP TABLE y"), ("Public", "x"), ("", "x"), ("public", "1x"), ("\"", "x")]
    {
        let builder = PostgresStore::builder("postgres://localhost").schema(schema).table_prefix(prefix);
        let refusal = builder.open().await.unwrap_err().to_string();
        assert!(refusal.contains("at most 32"), "{refusal}");
    }
}

#[tokio::test]
async fn tables_of_another_version_are_refused() {
    let Some(place) = Place::new() else { return };
    let missing = place.builder().migrate(false).open().await.unwrap_err().to_string();
    assert!(missing.contains("version 0") && missing.contains("migrations"), "{missing}");

    for migration in PostgresStore::migrations(Some(&place.schema), "session_") {
        place.tamper(&migration).await;
    }
    place.builder().migrate(false).open().await.expect("the tables are there");

    place.tamper("UPDATE {}.session_schema SET version = 7").await;
    let newer = place.builder().open().await.unwrap_err().to_string();
    assert!(newer.contains("version 7"), "{newer}");
}

#[tokio::test]
async fn a_read_only_server_is_refused_and_later_fails() {
    let Some(place) = Place::new() else { return };
    let role = format!("role_of_{}", place.schema);
    place.tamper(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")).await;
    let url = place.url().replace("//postgres:", &format!("//{role}:")).replace(Postgres::PASSWORD, PASSWORD);
    let store = PostgresStore::builder(&url).schema(&place.schema).open().await.expect("it may write");
    let row = login(&store, 1).await;

    // As a primary that becomes a standby.
    let demote = format!(
        "ALTER ROLE {role} SET default_transaction_read_only = on; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    place.tamper(&demote).await;
    assert!(store.revoke(row.handle, EndReason::Revoked).await.is_err());
    assert_eq!(place.clone().open().await.read(row.handle).await.unwrap(), Some(row));
    let refused = refusal(&url).await;
    assert!(refused.contains("does not allow writes"), "{refused}");
    let pool = Pool::builder(Manager::new(url.parse().unwrap(), NoTls)).build().unwrap();
    let refused = PostgresStore::from_pool(pool).await.unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
}

#[tokio::test]
async fn a_row_that_is_none_of_ours_is_an_error_and_no_session_that_is_missing() {
    let Some(place) = Place::new() else { return };
    let store = place.clone().open().await;
    let row = login(&store, 1).await;
    place.tamper("UPDATE {}.session_sessions SET generation = -1").await;
    let read = store.read(row.handle).await.unwrap_err().to_string();
    assert!(read.contains("`generation`"), "{read}");
    let rotated = store.rotate(present(&row, row.chain.link())).await.unwrap_err().to_string();
    assert!(rotated.contains("`generation`"), "{rotated}");
    assert!(store.revoke(row.handle, EndReason::Revoked).await.is_err());
    place.tamper("UPDATE {}.session_sessions SET generation = 1").await;
    assert_eq!(store.read(row.handle).await.unwrap(), Some(row));

    place.tamper("DROP TABLE {}.session_sessions").await;
    let gone = store.read(SessionHandle::from_bytes([1; 16])).await.unwrap_err().to_string();
    assert!(gone.contains("does not exist"), "{gone}");
}

#[tokio::test]
async fn the_applications_own_pool_is_taken() {
    let Some(place) = Place::new() else { return };
    place.tamper("CREATE SCHEMA {}").await;
    let mut config: tokio_postgres::Config = place.url().parse().unwrap();
    config.options(format!("-c search_path={}", place.schema));
    let pool = Pool::builder(Manager::new(config, NoTls)).max_size(2).build().unwrap();
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let listening =
        PostgresStore::builder_from_pool(pool.clone()).listen_at(place.url()).open().await.unwrap();
    let row = login(&store, 1).await;
    assert!(store.revoke(row.handle, EndReason::Revoked).await.unwrap());
    let batch = listening.revocations(Cursor(0), Duration::from_secs(10)).await.unwrap();
    assert_eq!(batch.revocations.len(), 1);
    drop((store, listening));
    let count =
        pool.get().await.unwrap().query_one("SELECT count(*) FROM session_sessions", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn an_opening_that_is_given_up_leaves_the_applications_pool_as_it_was() {
    let Some(place) = Place::new() else { return };
    let sql = superuser(&place.url()).await;
    let pool = Pool::builder(Manager::new(place.url().parse().unwrap(), NoTls)).max_size(1).build().unwrap();
    let builder = PostgresStore::builder_from_pool(pool.clone()).schema(&place.schema);
    // As another process does that brings the tables up to date.
    sql.batch_execute("SELECT pg_advisory_lock(hashtext('session-runtime'))").await.unwrap();
    builder.timeout(Duration::from_millis(300)).open().await.expect_err("it waits for the other");
    sql.batch_execute("SELECT pg_advisory_unlock(hashtext('session-runtime'))").await.unwrap();
    let theirs = format!("CREATE TABLE theirs_{} ()", place.schema);
    pool.get().await.unwrap().batch_execute(&theirs).await.unwrap();
    let is_there = format!("SELECT to_regclass('theirs_{}') IS NOT NULL", place.schema);
    let is_there = sql.query_one(&is_there, &[]).await.unwrap();
    assert!(is_there.get::<_, bool>(0), "what the application writes is there for all");
}

#[tokio::test]
async fn connections_that_forget_are_no_hindrance_without_prepared_statements() {
    let Some(place) = Place::new() else { return };
    let pool = Pool::builder(Manager::new(place.url().parse().unwrap(), NoTls)).max_size(1).build().unwrap();
    let open = async |prepares| {
        let builder = PostgresStore::builder_from_pool(pool.clone()).schema(&place.schema);
        builder.prepared_statements(prepares).open().await.unwrap()
    };
    let forget = async || pool.get().await.unwrap().batch_execute("DEALLOCATE ALL").await.unwrap();
    let unprepared = open(false).await;
    let row = login(&unprepared, 1).await;
    forget().await;
    assert_eq!(unprepared.read(row.handle).await.unwrap().as_ref(), Some(&row));
    assert!(unprepared.revoke(row.handle, EndReason::Revoked).await.unwrap());

    let prepared = open(true).await;
    prepared.read(row.handle).await.unwrap();
    forget().await;
    let refusal = prepared.read(row.handle).await.unwrap_err().to_string();
    assert!(refusal.contains("turn prepared statements off"), "{refusal}");
}

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate_and_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let mut openssl = std::process::Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args([
        "-subj",
        "/CN=sessions",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    let Some(server) = Postgres::start_with_certificate(&key, &certificate) else { return };
    let url = server.url().replace("sslmode=disable", "sslmode=require");
    let unknown = refusal(&url).await;
    assert!(unknown.contains("UnknownIssuer") || unknown.contains("certificate"), "{unknown}");

    let pem = std::fs::read(&certificate).unwrap();
    let open = |url: &str| PostgresStore::builder(url).root_certificates(pem.clone()).open();
    let store = open(&url).await.expect("the certificate is trusted");
    login(&store, 1).await;
    let unasked = open(&server.url().replace("?sslmode=disable", "")).await;
    login(&unasked.expect("the certificate is trusted"), 2).await;
    let all_encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'session-runtime'";
    assert_eq!(server.ask(all_encrypted), "t");
    let other_name = open(&url.replace("127.0.0.1", "localhost")).await.unwrap_err().to_string();
    assert!(other_name.contains("NotValidForName") || other_name.contains("certificate"), "{other_name}");

    let place = Place::new().expect("there is a server");
    let plain = place.url().replace("sslmode=disable", "sslmode=require");
    let unencrypted = refusal(&plain).await;
    assert!(unencrypted.contains("TLS"), "{unencrypted}");
    let not_pem =
        PostgresStore::builder(&url).root_certificates("nothing").open().await.unwrap_err().to_string();
    assert!(not_pem.contains("PEM"), "{not_pem}");
}

#[tokio::test]
async fn no_log_holds_the_password() {
    let Some(server) = Postgres::start() else { return };
    let log = Log::of_this_thread();
    let mut server = Arc::new(server);
    let place = Place::on(&server);
    let store = place.clone().open().await;
    let row = login(&store, 1).await;
    drop(place);
    Arc::get_mut(&mut server).expect("nobody else has it").server_mut().kill();
    let failed = store.read(row.handle).await.unwrap_err();
    // The listener notices by itself, and says so.
    let noticed = async {
        while !log.text().contains("asked for, not heard of") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("the listener notices");
    let text = format!("{} {failed} {failed:?} {store:?}", log.text());
    assert!(!text.contains(Postgres::PASSWORD), "{text}");
}
