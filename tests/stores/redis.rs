//! The Redis store.

mod steps;

use std::{
    error::Error,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use session_runtime::{
    BeyondLimit, NewSession, SessionError, SessionStore as _, Sessions, Tokens,
    store::{Cursor, EndReason, RedisStore, RedisStoreBuilder, Revocation},
    testing::conformance::Conformance,
};
use tests::servers::{Redis, RedisCluster, RedisSentinel, free_port};
use tokio::time::sleep;

use crate::application::{KEYS, ROUTES};

/// A prefix that no other test has.
fn fresh_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn open(builder: RedisStoreBuilder) -> RedisStore {
    builder.open().await.expect("the server answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_promise() {
    let Some(redis) = Redis::shared() else { return };
    let place = || async { fresh_prefix() };
    let url = redis.url();
    Conformance::shared(place, move |prefix| open(RedisStore::builder(&url).key_prefix(prefix)))
        .histories(2000)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_every_promise() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let place = || async { fresh_prefix() };
    let open = move |prefix| {
        let builder = RedisStore::cluster(cluster.urls()).key_prefix(prefix);
        open(builder)
    };
    Conformance::shared(place, open).histories(500).parallel(400).run().await;
}

/// A process of an application, on a server of which `builder` knows.
async fn serve(builder: RedisStoreBuilder) -> Sessions {
    let builder = Sessions::builder(open(builder).await).keys(KEYS).grace(Duration::ZERO).routes(&ROUTES);
    builder.build().await.expect("the settings work")
}

/// Exchanges the tokens of a session, in strict mode from the next millisecond on.
async fn refreshed(sessions: &Sessions, tokens: &Tokens) -> Result<Tokens, SessionError> {
    sleep(Duration::from_millis(2)).await;
    sessions.refresh(tokens.refresh().expect("it was rotated").expose()).await
}

/// Does something until the store is back, which it has to be soon.
async fn until_back<T>(attempt: impl AsyncFn() -> Result<T, SessionError>) -> T {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(SessionError::StoreUnavailable(error)) => {
                assert!(started.elapsed() < Duration::from_secs(20), "not back yet: {error}");
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("an honest client met {error}"),
        }
    }
}

/// Waits until a node knows that a session ended.
async fn until_refused(sessions: &Sessions, tokens: &Tokens) {
    let started = Instant::now();
    while sessions.verify(tokens.access().expose()).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "an ended session is still accepted");
        sleep(Duration::from_millis(1)).await;
    }
}

/// All that an error says, of its causes too, in words and as a developer sees it.
fn whole_text(error: &dyn Error) -> String {
    let (mut text, mut cause) = (String::new(), Some(error));
    while let Some(error) = cause {
        text += &format!("{error} {error:?} ");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_login_and_a_refresh_are_one_round_trip_each() {
    let Some(redis) = Redis::start() else { return };
    let sessions = serve(RedisStore::builder(&redis.url()).key_prefix("count")).await;
    let first = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
    refreshed(&sessions, &first).await.expect("the server answers");
    let mut monitor = redis.monitor();
    // The first key of each command, but for what goes on beside the requests.
    let mut sent = || {
        let keys = monitor.sent_so_far().into_iter().filter_map(|command| {
            let mut words =
                command.split('"').skip(1).step_by(2).skip_while(|word| !word.contains("{count}"));
            words.next().map(str::to_owned)
        });
        let is_beside = |key: &String| [":feed", ":tending", ":errands"].iter().any(|end| key.ends_with(end));
        keys.filter(|key| !is_beside(key)).collect::<Vec<_>>()
    };

    sent();
    let tokens = sessions.create(&NewSession::new("bob")).await.expect("the server answers");
    assert_eq!(sent(), ["{count}:user:bob"]);
    let tokens = refreshed(&sessions, &tokens).await.expect("the server answers");
    assert_eq!(sent(), [format!("{{count}}:row:{}", tokens.handle())]);
    sessions.verify(tokens.access().expose()).expect("the token is valid");
    assert_eq!(sent(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_taught_them_again() {
    let Some(redis) = Redis::shared() else { return };
    let sessions = serve(RedisStore::builder(&redis.url()).key_prefix(fresh_prefix())).await;
    let mut tokens = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
    for _ in 0..3 {
        redis.ask(&["script", "flush"]);
        tokens = refreshed(&sessions, &tokens).await.expect("the server answers");
    }
    redis.ask(&["script", "flush"]);
    assert!(sessions.revoke(tokens.handle()).await.expect("the server answers"));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_answered() {
    let Some(mut redis) = Redis::start_with(&["--appendfsync", "always"]) else { return };
    let builder = RedisStore::builder(&redis.url());
    let (here, there) = (serve(builder.clone()).await, serve(builder).await);
    let kept = here.create(&NewSession::new("alice")).await.expect("the server answers");
    let kept = refreshed(&here, &kept).await.expect("the server answers");
    let ended = here.create(&NewSession::new("bob")).await.expect("the server answers");
    assert!(here.revoke(ended.handle()).await.expect("the server answers"));

    redis.server_mut().kill();
    let down = refreshed(&here, &kept).await.expect_err("there is no server");
    assert!(matches!(down, SessionError::StoreUnavailable(_)), "{down}");
    assert!(!whole_text(&down).contains(Redis::PASSWORD), "{}", whole_text(&down));
    there.verify(kept.access().expose()).expect("verifying needs no server");
    redis.server_mut().restart();

    let kept = until_back(|| refreshed(&here, &kept)).await;
    let late = refreshed(&here, &ended).await.expect_err("it ended before");
    assert!(matches!(late, SessionError::Unauthorised), "{late}");
    // The other node's feed goes on as well.
    until_back(|| here.revoke(kept.handle())).await;
    until_refused(&there, &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_after_primaries_died() {
    let Some(mut cluster) = RedisCluster::start() else { return };
    let builder = RedisStore::cluster(cluster.urls()).key_prefix("go-on");
    let (here, there) = (serve(builder.clone()).await, serve(builder).await);
    let mut clients = Vec::new();
    for number in 0..20 {
        let user = format!("user {number}");
        clients.push(here.create(&NewSession::new(user)).await.expect("the cluster answers"));
    }
    let ended = clients.split_off(15);
    for tokens in &ended {
        assert!(here.revoke(tokens.handle()).await.expect("the cluster answers"));
    }
    // That of the feed.
    cluster.kill_primary_of("{go-on:0}:feed");
    for tokens in &clients {
        let tokens = until_back(|| refreshed(&here, tokens)).await;
        until_back(|| here.revoke(tokens.handle())).await;
        until_refused(&there, &tokens).await;
    }
    for tokens in &ended {
        let late = refreshed(&here, tokens).await.expect_err("it ended before");
        assert!(matches!(late, SessionError::Unauthorised), "{late}");
    }
}

#[tokio::test]
async fn a_cluster_is_opened_while_a_server_of_it_is_silent() {
    let Some(cluster) = RedisCluster::start() else { return };
    cluster.freeze_primary_of("{silent:0}:feed");
    let sessions = serve(RedisStore::cluster(cluster.urls()).key_prefix("silent")).await;
    sessions.create(&NewSession::new("alice")).await.expect("the cluster is whole");
}

#[tokio::test]
async fn servers_of_a_cluster_are_reached_with_what_the_first_url_names() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let (first, others) = (cluster.urls().swap_remove(0), &cluster.nodes()[1..]);
    let others = others.iter().map(|node| format!("redis://127.0.0.1:{}", node.port()));
    let urls = [first].into_iter().chain(others);
    let builder = RedisStore::cluster(urls).key_prefix(fresh_prefix());
    serve(builder).await.create(&NewSession::new("alice")).await.expect("the cluster answers");
}

#[tokio::test]
async fn a_silent_primary_of_a_cluster_is_left_for_the_one_that_took_over() {
    let Some(cluster) = RedisCluster::start() else { return };
    let builder = RedisStore::cluster(cluster.urls()).key_prefix("left");
    let (here, there) = (serve(builder.clone()).await, serve(builder).await);
    let tokens = here.create(&NewSession::new("alice")).await.expect("the cluster answers");
    let rows = ["--scan", "--pattern", &format!("*:row:{}", tokens.handle())];
    let row = cluster.nodes().iter().map(|node| node.ask(&rows)).find(|row| !row.is_empty());
    cluster.freeze_primary_of(&row.expect("somebody has the row"));
    let left_at = Instant::now();
    let tokens = until_back(|| refreshed(&here, &tokens)).await;
    until_back(|| here.revoke(tokens.handle())).await;
    until_refused(&there, &tokens).await;
    assert!(left_at.elapsed() < Duration::from_secs(10), "it took {:?}", left_at.elapsed());
}

#[tokio::test]
async fn what_a_dead_process_left_undone_another_does() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let prefix = fresh_prefix();
    let builder = RedisStore::cluster(cluster.urls()).key_prefix(&prefix);
    let store = open(builder.clone()).await;
    let sessions = serve(builder.clone()).await;
    let mut left = Vec::new();
    for (number, errand) in ["replaced", "evict", "all"].into_iter().enumerate() {
        let user = format!("user {number}");
        let tokens = sessions.create(&NewSession::new(&user)).await.expect("the cluster answers");
        let name = match errand {
            "all" => format!("all:{}::{user}", tokens.access_expires_at().as_millis()),
            _ => format!("{errand}:{}", tokens.handle()),
        };
        // As an end of reason 2, "revoked", at the beginning of time.
        let about = r"string.rep('\0', 15) .. '\1\2' .. string.rep('\0', 33)";
        let script = format!("return redis.call('HSET', KEYS[1], ARGV[1], {about})");
        cluster.ask(&["eval", &script, "1", &format!("{{{prefix}:{number}}}:errands"), &name]);
        left.push(tokens.handle());
    }
    cluster.ask(&["del", &format!("{{{prefix}:0}}:tending")]);

    let other = open(builder).await;
    let (mut told, mut cursor) = (Vec::new(), Cursor::default());
    while told.len() < 4 {
        let batch = other.revocations(cursor, Duration::from_secs(30)).await.expect("the cluster answers");
        assert!(!batch.revocations.is_empty(), "only {told:?} was done");
        (cursor, told) = (batch.next, told.into_iter().chain(batch.revocations).collect());
    }
    for handle in left {
        let row = store.read(handle).await.expect("the cluster answers").expect("the row stays");
        assert!(row.ended.is_some(), "{row:?}");
        let is_told =
            |told: &Revocation| matches!(told, Revocation::Session { handle, .. } if *handle == row.handle);
        assert_eq!(told.iter().filter(|told| is_told(told)).count(), 1, "{row:?}");
    }
    assert!(told.iter().any(|told| matches!(told, Revocation::User { user, .. } if **user == *"user 2")));
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_said_without_its_password() {
    let Some(redis) = Redis::shared() else { return };
    let port = redis.server().port();
    let wrong = "wr0ng-passw0rd";
    let mine = format!("redis://:{wrong}@127.0.0.1:1");
    let (others, nobodys) = (format!("redis://other:{wrong}@127.0.0.1:2"), "redis://127.0.0.1:2");
    let builders = [
        ("authentication failed", RedisStore::builder(&format!("redis://:{wrong}@127.0.0.1:{port}"))),
        ("refused", RedisStore::builder(&format!("redis://:{wrong}@127.0.0.1:{}", free_port()))),
        ("URL number 1", RedisStore::builder(&format!("http://:{wrong}@127.0.0.1"))),
        ("URL number 1", RedisStore::builder(&format!("redis://:{wrong}@127.0.0.1:port"))),
        ("URL number 2", RedisStore::cluster(["redis://127.0.0.1", wrong])),
        ("no URL", RedisStore::cluster([""; 0])),
        ("number 2 names another user or password", RedisStore::cluster([&*mine, &*others])),
        ("number 2 names another user or password", RedisStore::cluster([nobodys, &*mine])),
        ("number 3 names another database", RedisStore::cluster([&*mine, &*mine, "redis://a/1"])),
        ("number 2 asks for TLS", RedisStore::cluster([&*mine, "rediss://a"])),
        ("number 2 asks for TLS", RedisStore::sentinel([&*mine, "rediss://a"], "sessions")),
        ("number 2 asks for no TLS", RedisStore::sentinel(["rediss://a", nobodys], "sessions")),
        ("key prefix", RedisStore::builder(&redis.url()).key_prefix("a{b}")),
    ];
    for (meant, builder) in builders {
        assert!(!format!("{builder:?}").contains(wrong));
        let error = builder.open().await.expect_err(meant);
        let text = whole_text(&error);
        assert!(error.to_string().to_lowercase().contains(&meant.to_lowercase()), "{meant}: {error}");
        assert!(!text.contains(wrong) && !text.contains(Redis::PASSWORD), "{text}");
    }
    let store = open(
        RedisStore::builder(&format!("redis://nobody@127.0.0.1:{port}")).credentials("", Redis::PASSWORD),
    );
    assert!(!format!("{:?}", store.await).contains(Redis::PASSWORD));
}

#[tokio::test]
async fn a_server_that_can_not_write_is_an_error() {
    let full: &[&str] = &["--maxmemory", "100kb"];
    let replica: &[&str] = &["--replicaof", "127.0.0.1 1"];
    for (settings, meant) in [(full, "OOM"), (replica, "ReadOnly")] {
        let Some(redis) = Redis::start_with(settings) else { return };
        let sessions = serve(RedisStore::builder(&redis.url())).await;
        let error = sessions.create(&NewSession::new("alice")).await.expect_err(meant);
        assert!(matches!(error, SessionError::StoreUnavailable(_)), "{error}");
        assert!(whole_text(&error).contains(meant), "{}", whole_text(&error));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let Some(redis) = Redis::start() else { return };
    let builder = RedisStore::builder(&redis.url());
    let timeout = Duration::from_millis(200);
    let sessions = serve(builder.response_timeout(timeout).connect_timeout(timeout)).await;
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
    redis.server().signal("STOP");
    let started = Instant::now();
    let stuck = join_all((0..50).map(|_| sessions.list("alice"))).await;
    let took = started.elapsed();
    redis.server().signal("CONT");
    assert!(stuck.iter().all(Result::is_err));
    assert!(took < 10 * timeout, "fifty requests were given up after {took:?}");
    until_back(|| refreshed(&sessions, &tokens)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_ends_another_refuses_within_milliseconds() {
    let Some(redis) = Redis::shared() else { return };
    let builder = RedisStore::builder(&redis.url()).key_prefix(fresh_prefix());
    let (here, there) = (serve(builder.clone()).await, serve(builder).await);
    let mut took = Vec::new();
    for _ in 0..100 {
        let tokens = here.create(&NewSession::new("alice")).await.expect("the server answers");
        there.verify(tokens.access().expose()).expect("the token is valid");
        let begun_at = Instant::now();
        here.revoke(tokens.handle()).await.expect("the server answers");
        until_refused(&there, &tokens).await;
        took.push(begun_at.elapsed());
    }
    took.sort();
    eprintln!("from revocation to refusal: median {:?}, p99 {:?}", took[50], took[98]);
    // Not the slowest, which tell of the machine that the test runs on.
    assert!(took[50] < Duration::from_millis(50), "it took {took:?}");
}

#[tokio::test]
async fn a_protocol_in_the_url_changes_nothing() {
    let Some(redis) = Redis::start() else { return };
    let builder = RedisStore::builder(&format!("{}?protocol=resp3", redis.url()));
    let (here, there) = (open(builder.clone()).await, open(builder).await);
    let user: Arc<str> = "alice".into();
    here.revoke_all(user, None, EndReason::Revoked).await.expect("the server answers");
    let told = there.revocations(Cursor::default(), Duration::from_secs(30)).await;
    let told = told.expect("the server answers");
    assert_eq!(told.revocations.len(), 1, "{told:?}");

    let waits = || {
        let stats = redis.ask(&["info", "commandstats"]);
        let calls = stats.split("cmdstat_xread:calls=").nth(1).and_then(|calls| calls.split(',').next());
        calls.map_or(0, |calls| calls.parse::<usize>().expect("a number"))
    };
    let before = waits();
    let nothing = there.revocations(told.next, Duration::from_secs(2)).await.expect("the server answers");
    assert!(nothing.revocations.is_empty(), "{nothing:?}");
    // Two stores, each of which asks once a second.
    assert!(waits() - before < 10, "{} times the feed was asked for", waits() - before);
}

#[tokio::test]
async fn a_user_of_the_server_needs_the_rights_that_are_documented_and_no_more() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let keys = format!("~{{{prefix}*");
    let rights = ["+@read", "+@write", "+@scripting", "+@connection", "+time"];
    redis.ask(&[&["acl", "setuser", "app", "on", ">app's password", &keys], &rights[..]].concat());
    let builder = RedisStore::builder(&redis.url()).credentials("app", "app's password");
    let sessions = serve(builder.clone().key_prefix(prefix)).await;
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("it may");
    let tokens = refreshed(&sessions, &tokens).await.expect("it may");
    assert!(sessions.revoke(tokens.handle()).await.expect("it may"));
    assert_eq!(sessions.revoke_all("alice").await.expect("it may"), 0);
    let error = builder.key_prefix("foreign").open().await.expect_err("it may not");
    assert!(error.to_string().to_lowercase().contains("perm"), "{error}");
}

#[tokio::test]
async fn connections_are_encrypted_for_those_who_trust_the_servers_certificate() {
    let Some(redis) = Redis::start_encrypted() else { return };
    let builder = RedisStore::builder(&redis.url());
    let untrusted = builder.clone().open().await.expect_err("nobody knows its certificate");
    assert!(untrusted.to_string().contains("certificate"), "{untrusted}");
    let sessions = serve(builder.root_certificate(redis.certificate())).await;
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
    refreshed(&sessions, &tokens).await.expect("the server answers");
}

#[tokio::test]
async fn a_failover_by_sentinel_logs_nobody_out() {
    let Some(mut servers) = RedisSentinel::start() else { return };
    let url = servers.url();
    let builder = RedisStore::sentinel([&*url], RedisSentinel::SERVICE).credentials("", Redis::PASSWORD);
    let (here, there) = (serve(builder.clone()).await, serve(builder).await);
    let kept = here.create(&NewSession::new("alice")).await.expect("the server answers");
    let ended = here.create(&NewSession::new("bob")).await.expect("the server answers");
    assert!(here.revoke(ended.handle()).await.expect("the server answers"));
    servers.kill_primary();
    let kept = until_back(|| refreshed(&here, &kept)).await;
    let late = refreshed(&here, &ended).await.expect_err("it ended before");
    assert!(matches!(late, SessionError::Unauthorised), "{late}");
    until_back(|| here.revoke(kept.handle())).await;
    until_refused(&there, &kept).await;
}

#[tokio::test]
async fn a_silent_sentinel_keeps_nobody_from_the_server() {
    let Some(servers) = RedisSentinel::start() else { return };
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let silent = format!("redis://{}", silent.local_addr().expect("a bound socket has an address"));
    let builder = RedisStore::sentinel([&*silent, &*servers.url()], RedisSentinel::SERVICE);
    let sessions = serve(builder.credentials("", Redis::PASSWORD)).await;
    sessions.create(&NewSession::new("alice")).await.expect("the server answers");
}

#[tokio::test]
async fn sessions_behind_a_sentinel_lie_in_the_database_of_its_url() {
    let Some(servers) = RedisSentinel::start() else { return };
    let url = format!("{}/3", servers.url());
    let builder = RedisStore::sentinel([&*url], RedisSentinel::SERVICE).credentials("", Redis::PASSWORD);
    serve(builder).await.create(&NewSession::new("alice")).await.expect("the server answers");
    assert_eq!(servers.ask(&["dbsize"]), "0");
    assert_ne!(servers.ask(&["-n", "3", "dbsize"]), "0");
}

#[tokio::test]
async fn a_sentinel_and_its_server_need_the_rights_that_are_documented_and_no_more() {
    let Some(servers) = RedisSentinel::start() else { return };
    let user = ["acl", "setuser", "app", "on", ">app's"];
    servers.ask_sentinel(&[&user[..], &["+role", "+sentinel|masters"]].concat());
    let rights = ["~{session*", "+@read", "+@write", "+@scripting", "+@connection", "+time"];
    servers.ask(&[&user[..], &rights].concat());
    let url = servers.url().replace("redis://", "redis://app:app's@");
    let builder = RedisStore::sentinel([&*url], RedisSentinel::SERVICE).credentials("app", "app's");
    let error = builder.clone().open().await.expect_err("one right is missing");
    assert!(error.to_string().to_lowercase().contains("perm"), "{error}");
    servers.ask(&["acl", "setuser", "app", "+role"]);
    serve(builder).await.create(&NewSession::new("alice")).await.expect("it may");
}

#[tokio::test]
async fn a_token_is_kept_to_the_end_of_the_millisecond_that_it_may_be_kept_in() {
    let Some(redis) = Redis::shared() else { return };
    let sessions = serve(RedisStore::builder(&redis.url()).key_prefix(fresh_prefix())).await;
    let mut kept = 0;
    // In strict mode, that is the one in which it was made. Where the script rotates then, the store fails.
    for _ in 0..2000 {
        let tokens = sessions.create(&NewSession::new("alice")).await.expect("the server answers");
        let token = tokens.refresh().expect("it was made").expose();
        let again = sessions.refresh(token).await.expect("an honest client is never refused");
        kept += usize::from(again.refresh().is_none());
        if kept == 5 {
            return;
        }
    }
    panic!("of so many tokens only {kept} came back within their first millisecond");
}

#[tokio::test]
async fn a_login_that_never_came_to_its_end_takes_nobodys_place_for_long() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::builder(&redis.url()).key_prefix(&prefix)).await;
    let builder = Sessions::builder(store).keys(KEYS).routes(&ROUTES);
    let sessions = builder.max_sessions_per_user(1, BeyondLimit::Refuse).build().await.expect("they work");
    let (user, handle) = (format!("{{{prefix}}}:user:alice"), "00112233445566778899aabbccddeeff");
    let reserve = |seconds_ago: u64| {
        let now: u64 =
            redis.ask(&["time"]).lines().next().and_then(|secs| secs.parse().ok()).expect("a time");
        redis.ask(&["zadd", &user, &((now - seconds_ago) * 1_000_000).to_string(), handle]);
    };

    reserve(1);
    let refused = sessions.create(&NewSession::new("alice")).await.expect_err("the row may be coming");
    assert!(matches!(refused, SessionError::TooManySessions), "{refused}");
    reserve(100);
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("the row will not come");
    assert_eq!(redis.ask(&["zrange", &user, "0", "-1"]), tokens.handle().to_string());
    // What stands in its place ends it, should it come all the same.
    assert_eq!(redis.ask(&["getrange", &format!("{{{prefix}}}:row:{handle}"), "0", "0"]), "\0");
}
