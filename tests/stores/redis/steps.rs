//! What the steps keep to, whatever they find and whatever fails.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all, stream};
use session_runtime::{
    BeyondLimit, EndReason, NewSession, SessionError, SessionHandle, SessionStore as _,
    store::{Change, Changed, Creation, Cursor, NewRow, RedisStore, Salt, SessionLimit},
};
use tests::{
    hidden::Log,
    servers::{Proxy, Redis, RedisCluster, Way},
};

use super::{fresh_prefix, open, refreshed, serve};

/// A handle for each number, for a session of a cluster's partition `number % 64`.
fn handle(number: u128) -> SessionHandle {
    SessionHandle::from_bytes(number.to_be_bytes())
}

fn new_row(number: u128, user: &str) -> NewRow {
    NewRow::new(handle(number), user, Salt([7; 32]))
}

async fn create(store: &RedisStore, new: NewRow) -> Creation {
    store.create(new).await.expect("the server answers")
}

#[tokio::test]
async fn a_user_may_have_any_number_of_sessions() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::builder(&redis.url()).key_prefix(&prefix)).await;
    let fill = "for number = 1, 9000 do \
                redis.call('ZADD', KEYS[1], number, string.format('%032x', number)) \
                end return redis.call('ZCARD', KEYS[1])";
    let user = format!("{{{prefix}}}:user:alice");
    assert_eq!(redis.ask(&["eval", fill, "1", &user]), "9000");
    let mut new = new_row(1 << 64, "alice");
    new.limit = Some(SessionLimit { max: 2, beyond: BeyondLimit::EvictOldest });
    let made = create(&store, new).await;
    assert!(matches!(made, Creation::Created(_)), "{made:?}");
    assert_eq!(redis.ask(&["zcard", &user]), "1");
}

/// Makes sessions of which each replaces the one before, and none is used.
async fn make_chain(store: &RedisStore, count: u128) {
    let link = async |number: u128| {
        let mut new = new_row(number, "alice");
        new.replaces = number.checked_sub(1).map(handle);
        create(store, new).await
    };
    let made = stream::iter(0..count).map(link).buffer_unordered(64);
    made.for_each(async |made| assert!(matches!(made, Creation::Created(_)), "{made:?}")).await;
}

/// Every session of a chain ends with the last.
async fn a_chain_ends_with_its_last(store: &RedisStore, count: u128) {
    make_chain(store, count).await;
    let ended = store.revoke(handle(count - 1), EndReason::Logout).await;
    assert!(ended.expect("the server answers"));
    let (mut told, mut cursor, mut more) = (0, Cursor::default(), true);
    while more {
        let batch = store.revocations(cursor, Duration::ZERO).await.expect("the server answers");
        (told, cursor, more) = (told + batch.revocations.len(), batch.next, batch.more);
    }
    assert_eq!(told as u128, count);
    assert_eq!(store.list("alice".into()).await.expect("the server answers"), []);
}

#[tokio::test]
async fn any_number_of_sessions_end_with_the_one_that_replaces_them() {
    let Some(redis) = Redis::shared() else { return };
    let store = open(RedisStore::builder(&redis.url()).key_prefix(fresh_prefix())).await;
    a_chain_ends_with_its_last(&store, 1000).await;
}

#[tokio::test]
async fn any_number_of_sessions_end_in_a_cluster_with_the_one_that_replaces_them() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let builder = RedisStore::cluster(cluster.urls()).key_prefix(fresh_prefix());
    a_chain_ends_with_its_last(&open(builder).await, 2000).await;
}

#[tokio::test]
async fn a_feed_that_went_on_without_what_was_read_is_read_anew() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::builder(&redis.url()).key_prefix(&prefix)).await;
    let feed = format!("{{{prefix}}}:feed");
    let end = async |number| {
        create(&store, new_row(number, "alice")).await;
        assert!(store.revoke(handle(number), EndReason::Revoked).await.expect("the server answers"));
    };
    let read = async |after| {
        let batch = store.revocations(after, Duration::ZERO).await.expect("the server answers");
        (batch.revocations.len(), batch.next)
    };
    end(1).await;
    let (_, first) = read(Cursor::default()).await;
    end(2).await;
    let (count, second) = read(first).await;
    assert_eq!(count, 1);
    let last = redis.ask(&["xrevrange", &feed, "+", "-", "COUNT", "1"]);
    let id = last.lines().next().expect("an entry").to_owned();

    // As on a server that took over and lacks the last entry: without it, and with a later one.
    redis.ask(&["xdel", &feed, &id]);
    assert_eq!(read(second).await, (0, second));
    end(3).await;
    assert_eq!(read(second).await, (0, Cursor::default()));
    assert_eq!(read(Cursor::default()).await.0, 2);
    assert_eq!(read(first).await.0, 1);

    // What was trimmed was read, or is too old to matter.
    redis.ask(&["xtrim", &feed, "MINID", &id]);
    assert_eq!((read(first).await.0, read(second).await.0), (1, 1));
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_known_to_be_ones_own() {
    let Some(redis) = Redis::shared() else { return };
    let proxy = Proxy::before(redis.server().port());
    let store = open(RedisStore::builder(&redis.url_at(proxy.port())).key_prefix(fresh_prefix())).await;
    let mut changed = 0;
    for number in 0..300 {
        create(&store, new_row(number, "alice")).await;
        proxy.set(Way::Reset { one_in: 5 });
        let change = Change::Data(Some("1".into()));
        // An error says nothing of what became of it.
        if let Ok(answer) = store.update(handle(number), 0, change).await {
            assert!(matches!(answer, Changed::Done(_)), "nobody else changed it: {answer:?}");
            changed += 1;
        }
        let ended = store.revoke(handle(number), EndReason::Revoked).await;
        assert!(ended.unwrap_or(true), "nobody else ended it");
        proxy.set(Way::Pass);
    }
    assert!(changed > 100, "only {changed} were answered");
}

#[tokio::test]
async fn a_change_that_somebody_else_made_is_theirs() {
    let Some(redis) = Redis::shared() else { return };
    let store = open(RedisStore::builder(&redis.url()).key_prefix(fresh_prefix())).await;
    for number in 0..50 {
        create(&store, new_row(number, "alice")).await;
        let change = |_| store.update(handle(number), 0, Change::Data(Some("1".into())));
        let changed = join_all((0..10).map(change)).await;
        let done = changed.into_iter().filter(|changed| matches!(changed, Ok(Changed::Done(_))));
        assert_eq!(done.count(), 1);
    }
}

#[tokio::test]
async fn what_a_server_lacks_that_may_not_write_is_an_error() {
    for isolated in
        [["config", "set", "min-replicas-to-write", "1"].as_slice(), &["replicaof", "127.0.0.1", "1"]]
    {
        let Some(redis) = Redis::start() else { return };
        let builder = RedisStore::builder(&redis.url());
        let (store, sessions) = (open(builder.clone()).await, serve(builder).await);
        let there = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
        let elsewhere = sessions.create(&NewSession::new("bob")).await.expect("the server answers");
        redis.ask(&["del", &format!("{{session}}:row:{}", elsewhere.handle())]);
        assert!(store.read(elsewhere.handle()).await.expect("the server answers").is_none());

        redis.ask(isolated);
        let row = store.read(there.handle()).await.expect("the row is there");
        assert!(row.is_some_and(|row| row.ended.is_none()));
        store.read(elsewhere.handle()).await.expect_err("another server may have it");
        let refused = refreshed(&sessions, &elsewhere).await.expect_err("another server may have it");
        assert!(matches!(refused, SessionError::StoreUnavailable(_)), "{refused}");
    }
}

#[tokio::test]
async fn an_errand_that_can_not_be_done_keeps_no_other_from_being_done() {
    let log = Log::of_this_thread();
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let key = |name: &str| format!("{{{prefix}}}:{name}");
    let builder = RedisStore::builder(&redis.url()).key_prefix(&prefix);
    let store = open(builder.clone()).await;
    create(&store, new_row(1, "alice")).await;
    redis.ask(&["set", &key(&format!("row:{}", handle(2))), "of another application"]);
    // Each is as old as time, and they are done in this order.
    let errands =
        ["of-a-newer-version:1".to_owned(), format!("evict:{}", handle(2)), format!("evict:{}", handle(1))];
    for errand in &errands {
        let leave = "return redis.call('HSET', KEYS[1], ARGV[1], string.rep('\\0', 8))";
        assert_eq!(redis.ask(&["eval", leave, "1", &key("errands"), errand]), "1");
    }
    redis.ask(&["del", &key("tending")]);

    let other = open(builder).await;
    let batch =
        other.revocations(Cursor::default(), Duration::from_secs(30)).await.expect("the server answers");
    assert_eq!(batch.revocations.len(), 1);
    let row = store.read(handle(1)).await.expect("the server answers").expect("the row stays");
    assert!(row.ended.is_some());
    for errand in &errands[..2] {
        let text = log.text();
        let said = text.lines().find(|line| line.contains("WARN") && line.contains(errand));
        assert!(said.is_some(), "{errand}");
    }
}

#[tokio::test]
async fn a_server_that_is_full_is_purged() {
    let Some(redis) = Redis::start() else { return };
    let store = open(RedisStore::builder(&redis.url())).await;
    // Ended just now, so the purge puts it off.
    create(&store, new_row(1, "alice")).await;
    assert!(store.revoke(handle(1), EndReason::Revoked).await.expect("the server answers"));
    let mut expired = new_row(2, "alice");
    expired.idle_lifetime = Duration::from_millis(1);
    create(&store, expired).await;
    while !store.list("alice".into()).await.expect("the server answers").is_empty() {}
    redis.ask(&["config", "set", "maxmemory", "1"]);

    let retention = Duration::from_secs(60 * 60);
    let purge = store.purge_expired(retention, 100).await.expect("it needs no memory");
    assert_eq!(purge.expired, [(handle(2), "alice".into())]);
    let due = redis.ask(&["zrange", "{session}:due", "0", "-1"]);
    assert_eq!(due, handle(1).to_string());
}

#[tokio::test]
async fn the_places_of_sessions_that_are_gone_are_given_up() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::builder(&redis.url()).key_prefix(&prefix)).await;
    let user = format!("{{{prefix}}}:user:alice");
    let places = || redis.ask(&["zrange", &user, "0", "-1"]).lines().map(str::to_owned).collect::<Vec<_>>();
    let list = async || {
        let live = store.list("alice".into()).await.expect("the server answers");
        live.into_iter().map(|row| row.handle).collect::<Vec<_>>()
    };
    create(&store, new_row(1, "alice")).await;
    create(&store, new_row(2, "alice")).await;
    redis.ask(&["del", &format!("{{{prefix}}}:row:{}", handle(1))]);

    // So young that its row might be coming.
    assert_eq!(list().await, [handle(2)]);
    assert_eq!(places().len(), 2);
    redis.ask(&["zincrby", &user, "-100000000", &handle(1).to_string()]);
    assert_eq!(list().await, [handle(2)]);
    assert_eq!(places(), [handle(2).to_string()]);
    // Should the row come all the same, the session has ended.
    create(&store, new_row(1, "alice")).await;
    assert_eq!(list().await, [handle(2)]);

    redis.ask(&["zadd", &user, "1", &handle(3).to_string()]);
    let ended = store.revoke_all("alice".into(), None, EndReason::Revoked).await.expect("the server answers");
    assert_eq!(ended, [handle(2)]);
    assert!(!places().contains(&handle(3).to_string()), "{:?}", places());
}

#[tokio::test]
async fn a_login_whose_place_was_taken_and_not_answered_goes_on_with_it() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::cluster(cluster.urls()).key_prefix(&prefix)).await;
    // The rows lie in other slots.
    let user = format!("{{{prefix}:43}}:user:alice");
    let reserve = |number, seconds_ago: u64| {
        let now: u64 =
            cluster.ask(&["time"]).lines().next().and_then(|secs| secs.parse().ok()).expect("a time");
        let ms = (now - seconds_ago) * 1000;
        let score = (ms * 1000).to_string();
        assert_eq!(cluster.ask(&["zadd", &user, &score, &handle(number).to_string()]), "1");
        ms
    };
    let at = reserve(1, 1);
    match create(&store, new_row(1, "alice")).await {
        Creation::Created(row) => assert_eq!(row.created_at.as_millis(), at),
        other => panic!("nobody else has the handle: {other:?}"),
    }
    let mut another = new_row(1, "alice");
    another.salt = Salt([8; 32]);
    assert!(matches!(create(&store, another).await, Creation::HandleTaken));
    assert_eq!(store.list("alice".into()).await.expect("the cluster answers").len(), 1);

    reserve(2, 100);
    assert!(matches!(create(&store, new_row(2, "alice")).await, Creation::HandleTaken));
}

#[tokio::test]
async fn no_session_ends_in_favour_of_one_that_could_not_be_made() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::cluster(cluster.urls()).key_prefix(&prefix)).await;
    let create = |number| {
        let mut new = new_row(number, "alice");
        new.limit = Some(SessionLimit { max: 1, beyond: BeyondLimit::EvictOldest });
        store.create(new)
    };
    create(1).await.expect("the cluster answers");
    let due = format!("{{{prefix}:2}}:due");
    cluster.ask(&["set", &due, "of another application"]);
    create(2).await.expect_err("its slot is of no use");
    assert_eq!(cluster.ask(&["hkeys", &format!("{{{prefix}:43}}:errands")]), "");
    let row = store.read(handle(1)).await.expect("the cluster answers").expect("the row stays");
    assert!(row.ended.is_none());
    cluster.ask(&["del", &due]);
    create(3).await.expect("the cluster answers");
    let row = store.read(handle(1)).await.expect("the cluster answers").expect("the row stays");
    assert!(row.ended.is_some());
}
