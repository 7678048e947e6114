//! What routes require beyond a session: claims, fetched where they are missing; functions; a recent authentication. And the
//! switches of single routes.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    extract::{FromRef, FromRequestParts, Path, State},
    http::{Method, StatusCode, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
};
use serde_json::{Value, json};
use session_runtime::{
    Claim, ClaimRequest, Login, NewSession, RefusedRequest, RequirementFailure, Routes, Session,
    SessionError, Sessions, SessionsBuilder, all, any, login_endpoint, logout_endpoint, not, protected,
    refresh_endpoint, requirement, routes,
};
use tests::hidden::Log;

use crate::{
    client::{ACCESS_COOKIE, Answer, Client},
    store::{Fault, Operation},
    world::{ACCESS, G, MS, World},
};

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    posts: Posts,
}

/// Who wrote which post.
#[derive(Clone)]
struct Posts(Arc<Vec<&'static str>>);

static ROUTES: Routes<App> = routes![
    login,
    refresh,
    logout,
    plain,
    admin,
    fresh_plan,
    either,
    nested,
    tags,
    only_session,
    only_tags,
    maybe,
    own_post,
    all_at_once,
    reasons,
    untold,
    extra,
    write_post,
    step_up,
    recent,
    csrf_off,
    csrf_on,
    by_cookie,
    by_header,
    page,
    admin_page,
    choosy_page,
    own_refusal,
];

macro_rules! claims {
    ($($name:ident($key:literal): $value:ty $(, $max_age:expr)?;)+) => {$(
        struct $name;

        impl Claim for $name {
            const KEY: &'static str = $key;
            $(const MAX_AGE: Option<Duration> = Some($max_age);)?
            type Value = $value;
        }
    )+};
}

const MINUTE: Duration = Duration::from_secs(60);

claims! {
    Role("role"): Vec<String>;
    Plan("plan"): String, MINUTE;
    Tags("tags"): HashSet<u8>;
    Verified("verified"): bool;
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(form): Json<Value>) {
    let new = login.create(form["user"].as_str().unwrap());
    if let Some(roles) = form.get("roles") {
        new.claim(Role, serde_json::from_value::<Vec<String>>(roles.clone()).unwrap());
    }
    if let Some(verified) = form.get("verified") {
        new.claim(Verified, verified.as_bool().unwrap());
    }
    new.claim(Tags, HashSet::from([3, 1, 2]));
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh() {}

#[logout_endpoint(POST "/logout")]
async fn logout() {}

#[protected(GET "/plain")]
async fn plain(session: Session) -> String {
    session.user_id().to_owned()
}

#[protected(GET "/admin", require = [Role.includes("admin")])]
async fn admin(session: Session) -> Json<Option<Vec<String>>> {
    Json(session.claim(Role))
}

#[protected(GET "/fresh-plan", require = [Plan.is("pro")])]
async fn fresh_plan(session: Session) -> Json<Option<String>> {
    Json(session.claim(Plan))
}

#[protected(GET "/either", require = [any([Role.includes("admin"), all([Role.includes("author"), Verified.is_true()])])])]
async fn either() {}

#[protected(GET "/nested", require = [not(Role.includes("guest")), Role.includes_any(["author", "admin"])])]
async fn nested() {}

#[protected(GET "/tags", require = [Tags.is([1, 2, 3])])]
async fn tags() {}

#[protected(GET "/only-session", require_only = [])]
async fn only_session() {}

#[protected(GET "/only-tags", require_only = [Tags.includes(1), is_alice])]
async fn only_tags() {}

#[protected(GET "/maybe", optional)]
async fn maybe() {}

#[requirement]
async fn owns_post(session: &Session, Path(id): Path<usize>, State(Posts(authors)): State<Posts>) -> bool {
    authors.get(id).copied() == Some(session.user_id())
}

#[requirement]
fn is_alice(session: &Session) -> bool {
    session.user_id() == "alice"
}

mod hours {
    use super::*;

    #[requirement]
    pub(super) fn open(_: &Session) -> Result<(), RequirementFailure> {
        Err("closed on Sundays".into())
    }
}

#[requirement]
async fn can_be_told(session: &Session) -> Result<bool, SessionError> {
    session.data::<bool>().await.map(Option::unwrap_or_default)
}

#[protected(GET "/posts/{id}", require = [owns_post])]
async fn own_post(_: Session, Path(id): Path<usize>) -> String {
    id.to_string()
}

#[protected(POST "/posts/{id}", require = [owns_post])]
async fn write_post(_: Session, Path(_): Path<usize>, Json(_): Json<String>) {}

#[protected(
    GET "/all/{id}",
    require = [Role.includes("admin"), owns_post, hours::open, Verified.is_true()],
    max_auth_age = "15m",
)]
async fn all_at_once() {}

#[protected(GET "/reasons", require = [hours::open])]
async fn reasons() {}

#[protected(GET "/untold", require = [can_be_told])]
async fn untold() {}

/// An extractor that sees what the requirements have seen.
struct Order(usize);

static ASKED: AtomicUsize = AtomicUsize::new(0);

impl<S: Sync> FromRequestParts<S> for Order {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(ASKED.fetch_add(1, Ordering::SeqCst)))
    }
}

#[requirement]
fn first(_: &Session, Order(order): Order) -> bool {
    order == 0
}

#[requirement]
fn second(_: &Session, Order(order): Order) -> bool {
    order == 1
}

#[protected(GET "/extra", require = [first, second])]
async fn extra(_: Session, Order(order): Order) -> String {
    order.to_string()
}

#[protected(POST "/step-up", csrf = dangerously_off)]
async fn step_up(session: Session) -> Result<Json<u64>, SessionError> {
    session.reauthenticated().await?;
    Ok(Json(session.authenticated_at().as_secs()))
}

#[protected(GET "/recent", max_auth_age = "15m")]
async fn recent() {}

#[protected(POST "/csrf-off", csrf = dangerously_off)]
async fn csrf_off() {}

#[protected(POST "/csrf-on")]
async fn csrf_on() {}

#[protected(GET "/by-cookie", transport = cookie)]
async fn by_cookie(session: Session) -> String {
    session.user_id().to_owned()
}

#[protected(GET "/by-header", transport = header)]
async fn by_header(session: Session) -> String {
    session.user_id().to_owned()
}

static REFUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

async fn to_login_page(refused: RefusedRequest) -> Redirect {
    REFUSED.lock().unwrap().push(format!("{} {}", refused.method, refused.uri));
    Redirect::to(&format!("/login?then={}", refused.uri.path()))
}

async fn choose(refused: RefusedRequest) -> Option<Response> {
    matches!(refused.error, SessionError::TryRefreshToken)
        .then(|| (StatusCode::OK, "refreshing…").into_response())
}

#[protected(GET "/page", on_refused = to_login_page)]
async fn page() {}

#[protected(GET "/admin-page", require = [Role.includes("admin")], on_refused = to_login_page)]
async fn admin_page() {}

#[protected(GET "/choosy-page", on_refused = choose)]
async fn choosy_page() {}

#[protected(GET "/own-refusal", require = [is_alice])]
async fn own_refusal(session: Result<Session, SessionError>) -> String {
    session.map_or_else(|error| error.to_string(), |session| session.user_id().to_owned())
}

async fn world_with(settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> World {
    let world = World::with(settings).await;
    let posts = Posts(Arc::new(vec!["alice", "bob"]));
    let app = ROUTES.router(App { sessions: world.sessions.clone(), posts });
    world.behind(app)
}

async fn world() -> World {
    world_with(|settings| settings).await
}

async fn login_as(world: &World, form: Value) -> Client {
    let mut client = world.browser();
    client.post("/login", &form).await.assert_ok();
    client
}

/// A source whose answers a test sets, and whose calls it counts.
#[derive(Clone, Default)]
struct Directory {
    plan: Arc<Mutex<Option<&'static str>>>,
    calls: Arc<AtomicUsize>,
}

impl Directory {
    fn of(plan: &'static str) -> Self {
        let directory = Self::default();
        directory.says(Some(plan));
        directory
    }

    fn says(&self, plan: Option<&'static str>) {
        *self.plan.lock().unwrap() = plan;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn on(&self, settings: SessionsBuilder) -> SessionsBuilder {
        let directory = self.clone();
        settings.claim_source(Plan, move |request: ClaimRequest| {
            assert_eq!((&*request.user_id, &*request.tenant), ("alice", "public"));
            directory.calls.fetch_add(1, Ordering::SeqCst);
            let plan = *directory.plan.lock().unwrap();
            async move { Ok::<_, Infallible>(plan.map(str::to_owned)) }
        })
    }
}

fn ids(answer: &Answer) -> Vec<Value> {
    let body = answer.assert_refused(403, "invalid_claim").json();
    body["claimValidationErrors"].as_array().unwrap().iter().map(|failure| failure["id"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_missing_claim_is_fetched_stored_and_sent() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.advance(G);
    let before = client.access_token();
    let answer = client.get("/fresh-plan").await;
    assert_eq!(answer.assert_ok().json(), "pro");
    let (old, new) = (crate::client::payload_of(&before), answer.access().unwrap());
    assert_eq!(new["plan"], json!({ "v": "pro", "t": world.clock.now().as_millis() }));
    assert_eq!((&new["exp"], &new["auth_time"]), (&old["exp"], &old["auth_time"]), "it lives no longer");
    assert_eq!(answer.front_token()["up"], new);
    assert_eq!(answer.refresh_token(), None);
    assert_eq!(
        world.sessions.claims(client.handle()).await.unwrap().unwrap().get(Plan).as_deref(),
        Some("pro")
    );

    let calls = world.store.calls_of_requests();
    client.get("/fresh-plan").await.assert_ok().assert_keeps_tokens();
    client.refresh().await.assert_ok();
    client.get("/fresh-plan").await.assert_ok();
    assert_eq!((directory.calls(), world.store.calls_of_requests()), (1, calls + 1), "the refresh apart");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_fetched_again_when_it_is_older_than_it_may_be() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    client.get("/fresh-plan").await.assert_ok();
    directory.says(Some("free"));
    world.advance(MINUTE);
    client.get("/fresh-plan").await.assert_ok();
    world.advance(MS);
    let refused = client.get("/fresh-plan").await;
    assert_eq!(ids(&refused), ["plan"]);
    assert_eq!(
        refused.access().unwrap()["plan"]["v"],
        "free",
        "what was fetched is sent though it does not do"
    );
    assert_eq!(ids(&client.get("/fresh-plan").await), ["plan"]);
    assert_eq!(directory.calls(), 2, "and need not be fetched for the next request");

    directory.says(None);
    world.advance(MINUTE + MS);
    let refused = client.get("/fresh-plan").await;
    assert_eq!(refused.json()["claimValidationErrors"][0]["reason"]["message"], "value does not exist");
    assert_eq!(refused.access().unwrap().get("plan"), None);
}

#[tokio::test(start_paused = true)]
async fn an_old_claim_without_a_source_passes_nothing_until_it_is_set() {
    let world = world().await;
    let mut new = NewSession::new("alice");
    let tokens = world.sessions.create(new.claim(Plan, "pro")).await.unwrap();
    let mut client = world.browser();
    client.access = Some(tokens.access().expose().to_owned());
    client.get("/fresh-plan").await.assert_ok();
    world.advance(MINUTE + MS);
    let refused = client.get("/fresh-plan").await;
    assert_eq!(
        refused.json()["claimValidationErrors"],
        json!([{ "id": "plan", "reason": { "message": "expired", "ageInSeconds": 60, "maxAgeInSeconds": 60 } }])
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_request_has_stored_is_taken_and_not_fetched() {
    let directory = Directory::of("free");
    let world = world_with(|settings| directory.on(settings)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.sessions.set_claim(client.handle(), Plan, "pro").await.unwrap();
    assert_eq!(client.get("/fresh-plan").await.assert_ok().json(), "pro");
    assert_eq!(directory.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_set_while_the_source_is_asked_stays() {
    let sessions: Arc<Mutex<Option<Sessions>>> = Arc::default();
    let known = Arc::clone(&sessions);
    let world = world_with(|settings| {
        settings.claim_source(Plan, move |request: ClaimRequest| {
            let sessions = known.lock().unwrap().clone().unwrap();
            async move {
                sessions.set_claim(request.session_handle, Plan, "free").await?;
                sessions.set_claim(request.session_handle, Role, ["author".to_owned()]).await?;
                Ok::<_, SessionError>(Some("pro".to_owned()))
            }
        })
    })
    .await;
    *sessions.lock().unwrap() = Some(world.sessions.clone());
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    let refused = client.get("/fresh-plan").await;
    assert_eq!(ids(&refused), ["plan"]);
    let claims = refused.access().unwrap();
    assert_eq!((&claims["plan"]["v"], &claims["role"]["v"]), (&json!("free"), &json!(["author"])));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_or_hangs_is_503_and_never_passes() {
    for hangs in [false, true] {
        let world = world_with(|settings| {
            settings.store_timeout(Duration::from_secs(2)).claim_source(Plan, move |_| async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Err::<Option<String>, _>("the directory is down")
            })
        })
        .await;
        let mut client = login_as(&world, json!({ "user": "alice" })).await;
        let log = Log::of_this_thread();
        let refused = client.get("/fresh-plan").await;
        refused.assert_refused(503, "claim_unavailable").assert_keeps_tokens();
        assert_eq!(refused.json(), json!({ "message": "claim unavailable" }));
        assert_eq!(refused.header("retry-after"), Some("1"));
        let cause = if hangs { "no answer within 2s" } else { "the directory is down" };
        assert!(
            log.text().lines().any(|line| line.contains("ERROR") && line.contains(cause)),
            "{}",
            log.text()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_while_a_claim_is_fetched_is_503() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    for (operation, calls) in [(Operation::Read, 0), (Operation::Update, 1)] {
        world.store.break_down(operation, Fault::Fails);
        let refused = client.get("/fresh-plan").await;
        refused.assert_refused(503, "store_unavailable").assert_keeps_tokens();
        assert_eq!(directory.calls(), calls);
        world.store.mend();
    }
    client.get("/fresh-plan").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_elsewhere_is_found_out_when_a_claim_is_fetched() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings).keys(crate::world::KEYS)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    let other_node = world.store.of_another_node();
    let there = World::on(&world.clock, other_node, |settings| settings.keys(crate::world::KEYS)).await;
    world.store.break_down(Operation::Feed, Fault::Hangs);
    there.sessions.revoke(client.handle()).await.unwrap();
    client.get("/fresh-plan").await.assert_refused(401, "unauthorised");
    assert!(client.has_forgotten());
    assert_eq!(directory.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_replaced_elsewhere_keeps_the_newer_tokens_when_a_claim_is_fetched() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings).keys(crate::world::KEYS)).await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    let mut late = client.clone();
    let other_node = world.store.of_another_node();
    let there = World::on(&world.clock, other_node, |settings| settings.keys(crate::world::KEYS)).await;
    world.store.break_down(Operation::Feed, Fault::Hangs);
    client = client.at(there.app.clone());
    client.login("alice").await.assert_ok();
    client.get("/me").await.assert_ok();
    there.until_ended(late.handle()).await;
    late.get("/fresh-plan").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
    assert_eq!(directory.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn sources_are_asked_by_the_routes_that_need_them_only() {
    let directory = Directory::of("pro");
    let world = world_with(|settings| directory.on(settings)).await;
    let mut client = login_as(&world, json!({ "user": "alice", "roles": ["admin"] })).await;
    let calls = world.store.calls_of_requests();
    for path in ["/plain", "/admin", "/tags", "/either", "/maybe"] {
        client.get(path).await.assert_ok().assert_keeps_tokens();
    }
    assert_eq!((directory.calls(), world.store.calls_of_requests()), (0, calls));
}

#[tokio::test(start_paused = true)]
async fn sources_that_can_not_work_are_refused_at_the_start() {
    struct Subject;
    impl Claim for Subject {
        const KEY: &'static str = "sub";
        type Value = String;
    }
    let nobody = |_| async { Ok::<Option<String>, Infallible>(None) };
    let error = Sessions::builder(session_runtime::MemoryStore::new())
        .refresh_path("/refresh")
        .claim_source(Plan, nobody)
        .claim_source(Plan, nobody)
        .claim_source(Subject, nobody)
        .build()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("`claim_source` is given twice for the claim `plan`"), "{error}");
    assert!(error.contains("the claim name `sub` is used by the token itself"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn requirements_combine_and_say_what_would_do() {
    let world = world().await;
    let mut admin = login_as(&world, json!({ "user": "alice", "roles": ["admin"] })).await;
    let mut author = login_as(&world, json!({ "user": "bob", "roles": ["author"], "verified": true })).await;
    let mut guest = login_as(&world, json!({ "user": "eve", "roles": ["guest", "author"] })).await;
    for client in [&mut admin, &mut author] {
        client.get("/either").await.assert_ok();
        client.get("/nested").await.assert_ok();
        client.get("/tags").await.assert_ok();
    }
    assert_eq!(
        guest.get("/either").await.assert_refused(403, "invalid_claim").json()["claimValidationErrors"],
        json!([{ "id": "any", "reason": { "message": "none of these holds", "anyOf": [
            { "id": "role", "reason": {
                "message": "wrong value", "expectedToInclude": "admin", "actualValue": ["guest", "author"],
            } },
            { "id": "all", "reason": { "message": "not all of these hold", "allOf": [
                { "id": "verified", "reason": { "message": "value does not exist", "expectedValue": true } },
            ] } },
        ] } }])
    );
    assert_eq!(ids(&guest.get("/nested").await), ["not"]);
}

#[tokio::test(start_paused = true)]
async fn the_application_requires_of_every_protected_route_that_does_not_say_otherwise() {
    let world = world_with(|settings| settings.require([Verified.is_true()])).await;
    let mut verified = login_as(&world, json!({ "user": "alice", "verified": true })).await;
    verified.get("/plain").await.assert_ok();
    assert_eq!(ids(&verified.get("/admin").await), ["role"]);

    let mut unverified = login_as(&world, json!({ "user": "alice", "verified": false })).await;
    assert_eq!(ids(&unverified.get("/plain").await), ["verified"]);
    assert_eq!(ids(&unverified.get("/admin").await), ["verified", "role"]);
    for path in ["/only-session", "/only-tags", "/maybe"] {
        unverified.get(path).await.assert_ok();
    }
    unverified.refresh().await.assert_ok();
    unverified.logout().await.assert_ok();
    let mut other = login_as(&world, json!({ "user": "bob" })).await;
    assert_eq!(ids(&other.get("/only-tags").await), ["is_alice"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_can_be_required_and_sees_the_session_the_request_and_the_state() {
    let world = world().await;
    let mut alice = login_as(&world, json!({ "user": "alice" })).await;
    assert_eq!(alice.get("/posts/0").await.assert_ok().text(), "0");
    let refused = alice.get("/posts/1").await;
    assert_eq!(
        refused.assert_refused(403, "invalid_claim").assert_keeps_tokens().json()["claimValidationErrors"],
        json!([{ "id": "owns_post", "reason": { "message": "requirement not met" } }])
    );
    assert_eq!(
        alice.get("/reasons").await.json()["claimValidationErrors"],
        json!([{ "id": "open", "reason": { "message": "closed on Sundays" } }])
    );
    world.browser().get("/posts/0").await.assert_refused(401, "unauthorised");
    assert_eq!(alice.get("/own-refusal").await.text(), "alice");
    let mut bob = login_as(&world, json!({ "user": "bob" })).await;
    assert_eq!(bob.get("/own-refusal").await.text(), "invalid claim");
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_told_at_once() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.advance(16 * MINUTE);
    let refused = client.get("/all/1").await;
    assert_eq!(ids(&refused), ["role", "verified", "auth_time", "owns_post", "open"]);
    assert!(refused.header("www-authenticate").unwrap().contains("insufficient_user_authentication"));
}

#[tokio::test(start_paused = true)]
async fn an_extractor_of_a_function_that_rejects_the_request_answers_it_unless_it_is_refused_anyway() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    let rejected = client.get("/posts/none").await;
    assert_eq!((rejected.status.as_u16(), rejected.header("session-error")), (400, None));
    assert_eq!(ids(&client.get("/all/none").await), ["role", "verified", "open"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_can_not_tell_never_passes() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    assert_eq!(ids(&client.get("/untold").await), ["can_be_told"]);
    world.store.break_down(Operation::Read, Fault::Fails);
    let answer = client.get("/untold").await;
    answer.assert_refused(503, "store_unavailable").assert_keeps_tokens();
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.store.mend();
    world.sessions.set_data(client.handle(), &true).await.unwrap();
    client.get("/untold").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn functions_run_in_order_and_before_the_handlers_own_arguments_and_the_body() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    assert_eq!(client.get("/extra").await.assert_ok().text(), "2");
    // The body is no JSON string, which the handler's own extractor would answer with 422.
    assert_eq!(ids(&client.post("/posts/1", &Value::Null).await), ["owns_post"]);
    assert_eq!(client.post("/posts/0", &Value::Null).await.status, 422);
}

#[tokio::test(start_paused = true)]
async fn a_proof_given_again_renews_the_time_of_authentication_in_token_and_store() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.advance(15 * MINUTE + MS);
    let refused = client.get("/recent").await;
    refused.assert_refused(403, "invalid_claim").assert_keeps_tokens();
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_user_authentication") && challenge.contains("max_age=\"900\""));
    assert_eq!(
        refused.json()["claimValidationErrors"],
        json!([{ "id": "auth_time", "reason": { "message": "re-authentication required", "maxAge": 900 } }])
    );

    let (before, now) = (crate::client::payload_of(&client.access_token()), world.clock.now());
    let answer = client.call(Method::POST, "/step-up").await;
    assert_eq!(answer.assert_ok().json(), now.as_secs());
    let after = answer.access().unwrap();
    assert_eq!((&after["auth_time"], &after["exp"]), (&json!(now.as_secs()), &before["exp"]));
    let info = world.sessions.info(client.handle()).await.unwrap().unwrap();
    assert_eq!((info.authenticated_at, info.created_at), (now, crate::world::BEGINNING));
    client.get("/recent").await.assert_ok();
    world.advance(G);
    client.refresh().await.assert_ok();
    client.get("/recent").await.assert_ok();
    world.advance(15 * MINUTE);
    client.refresh().await.assert_ok();
    client.get("/recent").await.assert_refused(403, "invalid_claim");
}

#[tokio::test(start_paused = true)]
async fn a_proof_given_again_to_an_ended_session_or_a_broken_store_renews_nothing() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.advance(16 * MINUTE);
    world.store.break_down(Operation::Update, Fault::Fails);
    client
        .call(Method::POST, "/step-up")
        .await
        .assert_refused(503, "store_unavailable")
        .assert_keeps_tokens();
    world.store.mend();
    client.get("/recent").await.assert_refused(403, "invalid_claim");
    let session = world.sessions.verify(&client.access_token()).unwrap();
    client.logout().await.assert_ok();
    assert!(matches!(session.reauthenticated().await, Err(SessionError::Unauthorised)));
}

#[tokio::test(start_paused = true)]
async fn the_defence_against_other_sites_can_be_switched_off_for_one_route() {
    let world = world().await;
    let client = login_as(&world, json!({ "user": "alice" })).await;
    let mut victim = client.with("sec-fetch-site", "cross-site").with("origin", "https://evil.example");
    victim.call(Method::POST, "/csrf-on").await.assert_refused(403, "csrf");
    victim.call(Method::POST, "/csrf-off").await.assert_ok();
    world.browser().call(Method::POST, "/csrf-off").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_route_for_one_transport_does_not_see_the_tokens_of_the_other() {
    let world = world().await;
    let mut by_cookie = login_as(&world, json!({ "user": "alice" })).await;
    let mut by_header = world.browser().in_header_mode();
    by_header.post("/login", &json!({ "user": "bob" })).await.assert_ok();
    by_cookie.get("/by-cookie").await.assert_ok();
    by_header.get("/by-header").await.assert_ok();
    by_cookie.get("/by-header").await.assert_refused(401, "unauthorised").assert_keeps_tokens();
    by_header.get("/by-cookie").await.assert_refused(401, "unauthorised").assert_keeps_tokens();

    let mut both = by_cookie.clone();
    both.access = by_header.access.clone();
    assert_eq!(both.get("/plain").await.text(), "bob");
    assert_eq!(both.get("/by-cookie").await.text(), "alice");
    assert_eq!(both.get("/by-header").await.text(), "bob");
    both.set_cookie(ACCESS_COOKIE, "junk");
    both.get("/by-cookie").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_can_be_answered_with_a_redirect() {
    let world = world().await;
    let mut client = world.browser();
    let answer = client.get("/page?tab=2").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/login?then=/page")));
    assert!(REFUSED.lock().unwrap().contains(&"GET /page?tab=2".to_owned()));
    answer.assert_keeps_tokens();
    assert_eq!(answer.header("session-error"), None);

    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    client.get("/page").await.assert_ok();
    assert_eq!(
        client.get("/admin-page").await.assert_keeps_tokens().header("location"),
        Some("/login?then=/admin-page")
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_refusal_clears_is_cleared_whoever_answers_it() {
    let world = world().await;
    for path in ["/page", "/choosy-page"] {
        let mut client = login_as(&world, json!({ "user": "alice" })).await;
        world.sessions.revoke(client.handle()).await.unwrap();
        client.get(path).await;
        assert!(client.has_forgotten(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_usual_answer_is_given_to_what_the_function_leaves_alone() {
    let world = world().await;
    let mut client = login_as(&world, json!({ "user": "alice" })).await;
    world.browser().get("/choosy-page").await.assert_refused(401, "unauthorised");
    world.advance(ACCESS);
    let answer = client.get("/choosy-page").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "refreshing…"));
    answer.assert_keeps_tokens();
}
