//! Settings that can't work are refused before anything starts, all at once, each by its name.

use std::time::Duration;

use session_runtime::{
    BeyondLimit, BuildError, Clock, CsrfMode, KeyRing, MemoryStore, SameSite, Sessions, SessionsBuilder,
    WhenBehind,
};

use crate::{
    app::ROUTES,
    store::ObservedStore,
    world::{BEGINNING, KEYS},
};

fn settings() -> SessionsBuilder {
    Sessions::builder(MemoryStore::new()).key_ring(KeyRing::random()).routes(&ROUTES)
}

async fn problems(builder: SessionsBuilder) -> Vec<String> {
    match builder.build().await {
        Err(BuildError::Settings(problems)) => problems,
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

#[tokio::test]
async fn every_problem_is_told_at_once_with_the_name_of_its_setting() {
    let zero = Duration::ZERO;
    let broken = Sessions::builder(MemoryStore::new())
        .access_lifetime(Duration::from_millis(1500))
        .access_jitter(0.9)
        .refresh_lifetime(Duration::from_secs(1))
        .absolute_lifetime(Duration::from_secs(1))
        .grace(Duration::from_secs(301))
        .leeway(Duration::from_secs(301))
        .key_epoch(zero)
        .max_sessions_per_user(0, BeyondLimit::Refuse)
        .store_timeout(zero)
        .when_feed_is_behind(zero, WhenBehind::FailClosed)
        .purge_interval(zero)
        .token_cache_bytes(1)
        .public_prefix("gw/")
        .refresh_path("refresh")
        .cookie_names("a b", "a b")
        .cookie_domain("https://example.com")
        .same_site(SameSite::None)
        .dangerous_insecure_cookies()
        .csrf(CsrfMode::None)
        .allowed_origins(["example.com"])
        .public_origins(["https://example.com/path"])
        .expired_status(200)
        .invalid_claim_status(999)
        .keys("c2hvcnQ=");
    let problems = problems(broken).await;
    for setting in [
        "access_lifetime",
        "access_jitter",
        "refresh_lifetime",
        "absolute_lifetime",
        "grace",
        "leeway",
        "key_epoch",
        "max_sessions_per_user",
        "store_timeout",
        "when_feed_is_behind",
        "purge_interval",
        "token_cache_bytes",
        "public_prefix",
        "refresh_path",
        "cookie_names",
        "cookie_domain",
        "same_site",
        "csrf",
        "allowed_origins",
        "public_origins",
        "expired_status",
        "invalid_claim_status",
        "keys",
    ] {
        let quoted = format!("`{setting}`");
        assert!(problems.iter().any(|problem| problem.contains(&quoted)), "{setting}: {problems:#?}");
    }
}

#[tokio::test]
async fn each_setting_is_refused_alone_too() {
    let secs = Duration::from_secs;
    let alone: [(&str, SessionsBuilder); 15] = [
        ("access_lifetime", settings().access_lifetime(secs(0))),
        ("access_jitter", settings().access_jitter(-0.1)),
        ("access_jitter", settings().access_jitter(f64::NAN)),
        ("refresh_lifetime", settings().refresh_lifetime(secs(3600))),
        ("absolute_lifetime", settings().absolute_lifetime(secs(3600))),
        ("grace", settings().grace(secs(301))),
        ("leeway", settings().leeway(secs(301))),
        ("max_sessions_per_user", settings().max_sessions_per_user(0, BeyondLimit::EvictOldest)),
        ("store_timeout", settings().store_timeout(secs(0))),
        ("purge_interval", settings().purge_interval(secs(0))),
        ("token_cache_bytes", settings().token_cache_bytes(0)),
        ("public_prefix", settings().public_prefix("/gw/")),
        ("expired_status", settings().expired_status(500)),
        ("expired_status", settings().expired_status(403)),
        ("same_site", settings().same_site(SameSite::None).csrf(CsrfMode::None)),
    ];
    for (setting, builder) in alone {
        let problems = problems(builder).await;
        assert_eq!(problems.len(), 1, "{setting}: {problems:#?}");
        assert!(problems[0].contains(&format!("`{setting}`")), "{problems:#?}");
    }
    assert!(problems(settings()).await.is_empty());
}

#[tokio::test]
async fn cookie_prefixes_are_held_to_their_rules() {
    assert!(problems(settings().cookie_names("__Host-access", "refresh")).await.is_empty());
    assert!(problems(settings().cookie_names("__Secure-access", "__Secure-refresh")).await.is_empty());
    for builder in [
        settings().cookie_names("access", "__Host-refresh"),
        settings().cookie_names("__Host-access", "refresh").cookie_domain("example.com"),
        settings().cookie_names("__Secure-access", "refresh").dangerous_insecure_cookies(),
    ] {
        assert_eq!(problems(builder).await.len(), 1);
    }
}

#[tokio::test]
async fn a_missing_refresh_path_is_told_with_the_remedy() {
    let problems = problems(Sessions::builder(MemoryStore::new()).key_ring(KeyRing::random())).await;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains(".routes(&ROUTES)") && problems[0].contains(".refresh_path("));
}

#[tokio::test]
async fn a_refresh_path_beside_that_of_a_table_is_refused() {
    let problems = problems(settings().refresh_path("/api/refresh")).await;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("`refresh_path` is `/api/refresh`") && problems[0].contains("`/refresh`"));
}

#[tokio::test]
async fn secrets_that_could_be_guessed_are_refused() {
    for (keys, why) in [
        ("", "empty"),
        ("c2hvcnQ=", "at least 32"),
        (&"a".repeat(64), "pattern"),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "pattern"),
        ("change-me-change-me-change-me-change-me-change-me", "text"),
        (&format!("{KEYS},{KEYS}"), "repeats"),
    ] {
        let problems = problems(settings().keys(keys)).await;
        assert!(problems.len() == 1 && problems[0].contains("`keys`"), "{why}: {problems:?}");
        assert!(
            problems[0].contains(why) && problems[0].contains("openssl rand") || why == "repeats",
            "{problems:?}"
        );
    }
    assert!(problems(settings().keys(KEYS)).await.is_empty());
}

#[tokio::test]
async fn a_store_that_outlives_the_process_needs_keys_and_is_told_how_to_make_them() {
    let durable = || ObservedStore::new(&Clock::set_to(BEGINNING)).that_outlives_the_process();
    if std::env::var_os("SESSION_KEYS").is_none() {
        let problems = problems(Sessions::builder(durable()).routes(&ROUTES)).await;
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("SESSION_KEYS") && problems[0].contains("openssl rand"));
    }
    assert!(problems(Sessions::builder(durable()).routes(&ROUTES).keys(KEYS)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_can_not_be_reached_is_no_problem_of_the_settings() {
    use crate::store::{Fault, Operation};
    for fault in [Fault::Fails, Fault::Hangs] {
        let store = ObservedStore::new(&Clock::set_to(BEGINNING));
        store.break_down(Operation::Feed, fault);
        let failed = Sessions::builder(store).routes(&ROUTES).build().await;
        assert!(matches!(failed, Err(BuildError::Store(_))));
    }
}
