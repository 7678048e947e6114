//! Protected routes for axum, and the sessions behind them.
//!
//! A handler says in one attribute what it needs. The attribute generates the extraction of the session, the signal "your
//! session has expired" and the rotation of tokens; the table [`routes!`] has rustc check what belongs together. Underneath is
//! a complete session system: a short-lived access token that is checked without store I/O, and a rotating refresh token whose
//! theft is detected.
//!
//! ```no_run
//! use axum::{Json, extract::{FromRef, State}, http::StatusCode};
//! use session_runtime::{
//!     Login, MemoryStore, Routes, Session, Sessions, login_endpoint, logout_endpoint, protected, public, refresh_endpoint,
//!     routes,
//! };
//! # #[derive(Clone)] struct Db;
//! # #[derive(serde::Deserialize)] struct Credentials { user: String }
//! # impl Db { async fn check(&self, form: &Credentials) -> Option<String> { Some(form.user.clone()) } }
//!
//! #[derive(Clone, FromRef)]
//! struct App {
//!     sessions: Sessions,
//!     db: Db,
//! }
//!
//! #[login_endpoint(POST "/login")]
//! async fn login(mut login: Login, State(db): State<Db>, Json(form): Json<Credentials>) -> StatusCode {
//!     let Some(user) = db.check(&form).await else { return StatusCode::FORBIDDEN };
//!     login.create(&user); // staged: made, and its tokens sent, if this handler succeeds
//!     StatusCode::OK
//! }
//!
//! #[protected(GET "/getHomeFeed")]
//! async fn home_feed(session: Session) -> String {
//!     format!("hello {}", session.user_id())
//! }
//!
//! #[refresh_endpoint(POST "/refresh")]
//! async fn refresh(_: Session) {} // runs after the rotation
//!
//! #[logout_endpoint(POST "/logout")]
//! async fn logout(_: Session) {}
//!
//! #[public(GET "/health")]
//! async fn health() -> &'static str {
//!     "ok"
//! }
//!
//! static ROUTES: Routes<App> = routes![login, refresh, logout, home_feed, health];
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let sessions = Sessions::builder(MemoryStore::new()).routes(&ROUTES).build().await?;
//!     let app = ROUTES.router(App { sessions, db: Db });
//!     axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?;
//!     Ok(())
//! }
//! ```
//!
//! `#[derive(FromRef)]` is axum's, of its feature `macros`: `axum = { version = "0.8", features = ["macros"] }`.
//!
//! # Where to read on
//!
//! - The attributes, each with its keys: [`protected`], [`login_endpoint`], [`refresh_endpoint`], [`logout_endpoint`],
//!   [`public`]; functions that routes require: [`macro@requirement`]. The table: [`routes!`], a part of one:
//!   [`route_group!`], what it shows: [`Manifest`].
//! - What a handler holds: [`Session`], [`Login`]. What an application holds: [`Sessions`]. How it is set up, with every
//!   default: [`SessionsBuilder`]. How pages of other origins use it: [`Sessions::cors`].
//! - What a caller sees when refused: [`SessionError`].
//! - The rules by which refresh tokens rotate: [`rotation`]. Where sessions are kept: [`store`].
//! - What does not compile, and why: [`guide::compile_errors`]. How to move here: from `tower-sessions` and `axum-login`,
//!   [`guide::from_tower_sessions`]; from a JWT extractor, [`guide::from_jwt_extractor`]. How to run it, from the choice of a store
//!   to what to watch: [`guide::operating`].
//! - How an application's own tests log in, let time pass, lose answers and steal tokens: `testing`, a feature.
//!
//! # What is promised
//!
//! - **A route is protected or it does not compile.** Only annotated handlers can be listed in [`routes!`], the annotated name is
//!   always the guarded handler, and a [`Session`] can't be extracted without an attribute.
//! - **An honest client is not logged out** by a lost answer, a second tab or a retry, **and a stolen refresh token is found
//!   out**. The premises are stated in [`rotation`].
//! - **A valid request costs no store I/O**, and a revoked session is refused all the same: each node keeps the sessions that
//!   ended while access tokens of theirs may be alive.
//! - **A store that fails is never "no session".** It answers 503, and no cookie is touched.
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sqlite` | off | [`store::SqliteStore`]: sessions in a database file. SQLite comes with it, built from C |
//! | `postgres` | off | [`store::PostgresStore`]: sessions in a PostgreSQL database |
//! | `redis` | off | [`store::RedisStore`]: sessions in Redis or Valkey, behind Sentinel and in clusters too |
//! | `testing` | off | the module `testing`; for `[dev-dependencies]`. It changes nothing of what is there without it |

pub mod claims;
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod handle;
pub mod rotation;
pub mod route;
pub mod session;
pub mod sessions;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;

mod background;
mod engine;
mod exchange;
mod guard;
mod node_clock;
mod revocation;
mod shared;
mod transport;

// What the macros emit names this crate, and the kit's login is a handler like any other.
#[cfg(feature = "testing")]
extern crate self as session_runtime;

pub use claims::{Claim, ClaimFailure, ClaimRequest, ClaimSet, Requirement, all, any, not};
pub use clock::{Clock, Timestamp};
pub use config::{BuildError, SessionsBuilder, WhenBehind};
pub use error::{NonceProblem, SessionError, StoreError};
pub use event::{Event, EventKind, Events};
pub use guard::{
    RefusalAnswer, RefusedRequest, RequirementAnswer, RequirementFailure, SessionArgument, Theft, TheftAnswer,
};
pub use handle::{InvalidSessionHandle, SessionHandle};
pub use rotation::{Grace, TheftKind};
pub use route::{Manifest, Method, RouteGroup, RouteInfo, Routes, kind::RouteKind};
pub use session::{Login, Session};
pub use sessions::{NewSession, SessionInfo, Sessions, Tokens};
#[cfg(feature = "postgres")]
pub use store::PostgresStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{BeyondLimit, EndReason, MemoryStore, SessionStore};
pub use token::{Algorithm, Jwks, KeyRing, SigningAlgorithm};
pub use transport::{Cors, CsrfMode, InvalidTransport, SameSite, Transport};

/// Puts a handler behind the guard: it runs only with a session.
///
/// `#[protected(METHOD "/path", key, key = value, …)]`. The method is one of the nine that axum routes, in capitals; `GET` answers
/// `HEAD` too. The path is axum's, with captures in braces. With a path the handler can be listed in [`routes!`]; with or
/// without, it is a plain axum handler.
///
/// ```
/// # use axum::{Router, extract::{FromRef, Path}, http::StatusCode, routing::get};
/// use session_runtime::{Claim, Session, SessionError, protected};
/// # #[derive(Clone, Copy)] struct Role;
/// # impl Claim for Role { const KEY: &'static str = "role"; type Value = Vec<String>; }
///
/// #[protected(GET "/me")]
/// async fn me(session: Session) -> String {
///     session.user_id().to_owned()
/// }
///
/// #[protected(DELETE "/posts/{id}", require = [Role.includes("admin")], max_auth_age = "15m", check = store)]
/// async fn delete_post(_: Session, Path(id): Path<u64>) -> StatusCode {
///     StatusCode::NO_CONTENT
/// }
///
/// #[protected(optional)] // no path: for `Router::route`
/// async fn greeting(session: Option<Session>) -> String {
///     format!("hello {}", session.as_ref().map_or("stranger", Session::user_id))
/// }
///
/// #[protected(GET "/feed")]
/// async fn feed(session: Result<Session, SessionError>) -> (StatusCode, String) {
///     match session {
///         Ok(session) => (StatusCode::OK, session.user_id().to_owned()),
///         Err(SessionError::TryRefreshToken) => (StatusCode::UNAUTHORIZED, "refresh, then call again".into()),
///         Err(_) => (StatusCode::UNAUTHORIZED, "please log in".into()),
///     }
/// }
/// # #[derive(Clone, FromRef)] struct App { sessions: session_runtime::Sessions }
/// # let _ = Router::<App>::new().route("/", get(greeting));
/// ```
///
/// # The first argument
///
/// | type | the handler runs |
/// |---|---|
/// | [`Session`], or no argument at all | with a session; every refusal is answered as [`SessionError`] states |
/// | `Result<Session, SessionError>` | always, and answers refusals itself; what the refusal clears is cleared all the same |
/// | `Option<Session>`, with `optional` | with a session or without; a session that has ended counts as none; an expired token is still told to refresh |
/// | `Result<Option<Session>, SessionError>`, with `optional` | always |
///
/// It is known by its place, not by its name, so aliases work. All other arguments are extractors as usual, and run after the
/// guard: the body of a request that was refused is never read.
///
/// # Keys
///
/// | key | default | what it does | refusal |
/// |---|---|---|---|
/// | `optional` | off | lets requests without a session pass | |
/// | `require = [requirement, …]` | none | what the route requires beside [what the application does](SessionsBuilder::require): see below | 403 `invalid claim` with every requirement that is not met |
/// | `require_only = [requirement, …]` | none | what the route requires in place of what the application does; `[]` for a session and nothing more | the same |
/// | `max_auth_age = "15m"` | none | how long ago the user may have authenticated: `s`, `m`, `h`, `d` | 403 `invalid claim`, entry `auth_time`; `WWW-Authenticate` as in RFC 9470 |
/// | `check = store` | off | asks the store whether the session is live, at the cost of one read | 401; 503 if the store fails |
/// | `transport = cookie`, `= header` | both | sees only tokens that come so; a request with others has no session | 401, nothing cleared |
/// | `csrf = dangerously_off` | on | serves requests that another site's page may have made in the user's name: for what harms nobody when it is called unasked | while it is on: 403 `cross-site request refused` |
/// | `on_refused = function` | the usual answer | an async function that takes a [`RefusedRequest`] and answers it: see [`RefusalAnswer`] | as the function says |
///
/// Each key stands once. `optional` goes with neither `require`, `require_only` nor `max_auth_age`, `require` not with
/// `require_only`, `csrf` not with `transport = header`, and `on_refused` not with a `Result` as first argument. What else is
/// refused at compile time, and how, shows [`guide::compile_errors`].
///
/// # Requirements
///
/// A requirement is made from a [`Claim`], as in `Role.includes("admin")`, [`any`], [`all`] and [`not`] combine such, or it is the
/// path of a function with [`#[requirement]`](macro@requirement), which sees the session and the request. All of them are asked, claims first, and
/// every failure is told. It takes no I/O, but where a claim is missing or too old and has a
/// [source](SessionsBuilder::claim_source), and what the functions do themselves.
///
/// ```
/// # use axum::extract::{FromRef, Path, State};
/// # use session_runtime::{Claim, Session, Sessions, any, not, protected, requirement};
/// # #[derive(Clone)] struct Db;
/// # impl Db { async fn author(&self, _: u64) -> Option<String> { None } }
/// # #[derive(Clone, FromRef)] struct App { sessions: Sessions, db: Db }
/// # struct Role; impl Claim for Role { const KEY: &'static str = "role"; type Value = Vec<String>; }
/// # struct Banned; impl Claim for Banned { const KEY: &'static str = "banned"; type Value = bool; }
/// #[requirement]
/// async fn owns_post(session: &Session, Path(id): Path<u64>, State(db): State<Db>) -> bool {
///     db.author(id).await.as_deref() == Some(session.user_id())
/// }
///
/// #[protected(PUT "/posts/{id}", require = [owns_post, not(Banned.is_true())])]
/// async fn edit_post(_: Session, Path(id): Path<u64>, text: String) {}
///
/// #[protected(GET "/reports", require = [any([Role.includes("admin"), Role.includes("auditor")])])]
/// async fn reports(_: Session) {}
/// # static ROUTES: session_runtime::Routes<App> = session_runtime::routes![refresh, edit_post, reports];
/// # #[session_runtime::refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// ```
///
/// # Step-up
///
/// A route with `max_auth_age` refuses a session whose user proved who they are longer ago than that. A refresh does not help, so the
/// refusal is no 401 but a 403 whose challenge says `insufficient_user_authentication`: the client asks the user for the
/// password again. The handler that checks it calls [`Session::reauthenticated`]; a login does as well.
///
/// # Pages
///
/// A browser that opens a page can't make use of a JSON body. `on_refused` has it sent to the login page; what the refusal clears is
/// cleared all the same. A handler that takes a `Result` answers refusals itself, so the two don't go together.
///
/// ```
/// use axum::response::{Html, Redirect};
/// use session_runtime::{RefusedRequest, Session, protected};
///
/// #[protected(GET "/account", on_refused = to_login_page)]
/// async fn account(session: Session) -> Html<String> {
///     Html(format!("<h1>{}</h1>", session.handle()))
/// }
///
/// async fn to_login_page(_: RefusedRequest) -> Redirect {
///     Redirect::to("/login")
/// }
/// ```
///
/// # Other attributes
///
/// Documentation, `cfg`, `deprecated`, lints and `tracing::instrument` go where they belong, above or below.
/// `#[axum::debug_handler(state = App)]` stands below.
pub use session_macros::protected;

/// Makes a function one that routes can require: `#[protected(…, require = [function])]`.
///
/// ```
/// use axum::extract::Path;
/// use session_runtime::{RequirementFailure, Session, protected, requirement};
///
/// #[requirement]
/// fn own_page(session: &Session, Path(user): Path<String>) -> Result<(), RequirementFailure> {
///     if session.user_id() == user { Ok(()) } else { Err("this page is another user's".into()) }
/// }
///
/// #[protected(GET "/users/{user}", require = [own_page])]
/// async fn user_page(_: Session) {}
/// ```
///
/// The function takes `&Session` first and then any extractors that leave the body alone (`FromRequestParts`). It is sync or async,
/// and not generic. It runs for each request that has a session, after the checks of claims, in the order of the route's list,
/// before the handler's own extractors and before the body is read. Elsewhere, in a test for instance, it is a function like any
/// other. In [`any`], [`all`] and [`not`] it can't stand, as these speak of claims only.
///
/// | it returns | the requirement is met | otherwise |
/// |---|---|---|
/// | `bool` | with `true` | 403 `invalid claim`, an entry with the function's name and `requirement not met` |
/// | `Result<(), RequirementFailure>` | with `Ok` | the same, with the message of the [`RequirementFailure`] |
/// | `Result<A, E>` of one of these and a response, for what can't always be told | as `A` says | as `A` says; the response `E`, if nothing else refuses the request |
///
/// An extractor that rejects the request answers it in the same way as such an `E`. A session that the function changes is changed
/// for the handler and the client too.
pub use session_macros::requirement;

/// Makes a handler a login: it gets a [`Login`] and, if it succeeds, leaves a session behind.
///
/// `#[login_endpoint(POST "/path")]`. The method is `POST`, the path has no captures; there are no keys. Without a path it is a plain
/// axum handler. The first argument is [`Login`].
///
/// ```
/// # use axum::{Json, http::StatusCode};
/// # #[derive(serde::Deserialize)] struct Credentials { user: String, password: String }
/// use session_runtime::{Login, login_endpoint};
///
/// #[login_endpoint(POST "/login")]
/// async fn login(mut login: Login, Json(form): Json<Credentials>) -> StatusCode {
///     if form.password != "correct horse battery staple" {
///         return StatusCode::FORBIDDEN; // nothing is left behind
///     }
///     login.create(&form.user).remember(false);
///     StatusCode::OK
/// }
/// ```
///
/// The session is made when the handler has answered below 400, and the response then carries its tokens, by cookie or by header
/// as the client asks in `st-auth-mode`. If the store fails, the answer is 503 instead; if the user has as many sessions as
/// [allowed](SessionsBuilder::max_sessions_per_user), and more are refused, it is 409. The session that the request carried is
/// replaced, but ends only when the new one is first used, so that a login whose answer is lost logs nobody out.
///
/// A login that another site's page caused is refused with 403 `cross-site request refused`, for its victim would go on in the
/// attacker's account.
pub use session_macros::login_endpoint;

/// Makes a handler the refresh endpoint: it runs after the rotation, with the session.
///
/// `#[refresh_endpoint(POST "/path", on_theft = function)]`; without a path it is `POST "/auth/session/refresh"`, where the
/// official browser SDK looks for it. There is one in a table of [`routes!`], and its path is the path of the refresh cookie: the
/// browser sends the refresh token nowhere else. So the path has no captures, and no `/` at its end.
///
/// ```
/// use session_runtime::{Session, Theft, refresh_endpoint};
///
/// #[refresh_endpoint(POST "/refresh", on_theft = report)]
/// async fn refresh(_: Session) {}
///
/// async fn report(theft: Theft) {
///     println!("session {} of {} was stolen and has been ended", theft.session_handle, theft.user_id);
/// }
/// ```
///
/// The response carries the new tokens whatever the handler answers, for the old ones are spent. The first argument is
/// [`Session`], or `Result<Session, SessionError>` to answer refusals and theft itself; none is fine. A further argument that
/// rejects the request, such as a body that does not parse, keeps the tokens from the client until it tries again.
///
/// A refresh token that is none, has expired or belongs to a session that has ended is refused with 401 `unauthorised`, a stolen
/// one with 401 `token theft detected`; either has the client forget its tokens, unless a newer login has given it others. Without
/// a token it is 401 too, and nothing is forgotten. A refresh that another site's page caused is refused with 403, and a store
/// that fails with 503; both leave the tokens as they are.
///
/// The function named by `on_theft`, by default none, is async, takes a [`Theft`] and returns `()`, or a response to answer
/// with: see [`TheftAnswer`]. It is called by the request that found the theft. Thefts found otherwise, on other nodes too, are told by
/// [`Sessions::events`].
///
/// # Bound clients
///
/// A client that adds a random nonce of its own to each refresh makes a copy of the refresh token useless to whoever has the copy
/// alone: the thief is found at the first use, and an answer that got lost can be asked for again after any delay. The endpoint needs
/// no setting for it, and clients that send no nonce are served as ever; the session is bound by the first exchange that comes
/// with one.
///
/// The client sends `st-nonce: <generation>.<nonce>`: the `generation` that its access token claims, which a script reads as
/// `up.generation` in the front token, and 22 to 64 characters of base64url, at least 128 bits from a cryptographic generator.
/// It has one nonce for each generation of each session, which it shares among its tabs, writes durably before the request, and keeps
/// until it has a token three generations later. From another origin the header has to be among those that CORS allows.
///
/// | the client sends | it is answered | |
/// |---|---|---|
/// | no nonce, with a token that is bound | 409, `session-error: nonce_required` | |
/// | a nonce of another generation | 409, `session-error: nonce_generation` | another tab has refreshed, or a page was killed before it read an answer: read the state again |
/// | a malformed nonce, or several | 400, `session-error: nonce_malformed` | |
/// | its own nonce, with a token that it exchanged before | the same successor again | |
/// | another nonce than the token was exchanged with | `token theft detected` | the session has ended |
///
/// The first three change nothing and clear nothing. The rules are in [`rotation`](rotation#bound-clients).
pub use session_macros::refresh_endpoint;

/// Makes a handler the logout: when it succeeds, its session ends.
///
/// `#[logout_endpoint(POST "/path")]`; without a path it is `POST "/auth/signout"`, where the official browser SDK looks for it. The
/// path has no captures; there are no keys.
///
/// ```
/// use session_runtime::{Session, logout_endpoint};
///
/// #[logout_endpoint(POST "/logout")]
/// async fn logout(_: Session) {}
/// ```
///
/// The session ends when the handler has answered below 400, and the response has the client forget its tokens. A handler that
/// returns nothing is answered with `{"status":"OK"}`. If the store fails, the answer is 503 and nothing is forgotten. An
/// expired access token is told to refresh first, as on any protected route. What the application
/// [requires of every route](SessionsBuilder::require) is not required here.
///
/// The first argument is [`Session`], or `Result<Session, SessionError>` to answer refusals itself; none is fine.
pub use session_macros::logout_endpoint;

/// States that a handler is open to everyone, so that it can be listed in [`routes!`].
///
/// `#[public(METHOD "/path")]`. The handler goes through no guard and asks nothing of the state; there are no keys.
///
/// ```
/// use session_runtime::public;
///
/// #[public(GET "/health")]
/// async fn health() -> &'static str {
///     "ok"
/// }
/// ```
pub use session_macros::public;

/// The table of an application's routes, checked by rustc as a whole.
///
/// `routes![handler, module::handler, "/prefix" => [handler, …], ..module::TABLE, …]` is a [`Routes`], to be kept in a `static`.
///
/// ```
/// # use axum::extract::FromRef;
/// # use session_runtime::*;
/// # #[derive(Clone, FromRef)] struct App { sessions: Sessions }
/// # #[login_endpoint(POST "/login")] async fn login(_: Login) {}
/// # #[refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// # #[protected(GET "/me")] async fn me() {}
/// # #[public(GET "/health")] async fn health() {}
/// static ROUTES: Routes<App> = routes![
///     health,
///     "/api" => [login, refresh, me],
/// ];
///
/// assert_eq!(ROUTES.refresh_path().as_deref(), Some("/api/refresh"));
/// ```
///
/// It does not compile
///
/// - with a handler that has no attribute, or an attribute without a path, or that is listed twice;
/// - with two routes of the same method and path, or of paths that axum's router would refuse beside each other;
/// - with logins or protected routes but no refresh endpoint, or with two of them;
/// - with another route at or below the path of the refresh cookie, or a service around it, which would be sent the refresh
///   token;
/// - with a prefix that is malformed or has captures;
/// - when the router's state holds no [`Sessions`], or can't give the state of an included table.
///
/// [`guide::compile_errors`] shows the error of each.
///
/// An entry, a group or an included table may carry `#[cfg(…)]`; other attributes belong to the handler.
///
/// [`Routes::router`] makes an axum router of it. It may be merged with others. If it is nested, the table does not know the path at
/// which it is reached, and the first login or refresh fails with 500 and says so: write the prefix into the table.
///
/// # Other tables
///
/// `..module::TABLE` includes a table of another module or crate, complete or a [`route_group!`]. Every check is made across
/// all of them, and tells both handlers by file and line. The included table may be over another state, if that state is
/// [`FromRef`](axum::extract::FromRef) of this table's. A complete table brings its refresh endpoint with it.
///
/// ```
/// # use axum::extract::FromRef;
/// # use session_runtime::*;
/// # #[refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// mod admin {
/// #   use axum::extract::{FromRef, State};
/// #   use session_runtime::*;
/// #   #[derive(Clone)] pub struct Db;
///     #[derive(Clone, FromRef)]
///     pub struct Admin {
///         pub sessions: Sessions,
///         pub db: Db,
///     }
///
///     #[protected(GET "/users/{id}")]
///     async fn user(_: Session, State(db): State<Db>) {}
///
///     pub static ROUTES: RouteGroup<Admin> = route_group![user];
/// }
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     sessions: Sessions,
///     admin: admin::Admin,
/// }
///
/// static ROUTES: Routes<App> = routes![refresh, "/admin" => [..admin::ROUTES]];
///
/// let paths: Vec<_> = ROUTES.iter().map(RouteInfo::path).collect();
/// assert_eq!(paths, ["/refresh", "/admin/users/{id}"]);
/// ```
///
/// # Services
///
/// What is no handler of yours, such as static files or a third party's router, is listed by the function that makes it of the
/// state. It gets every request below its prefix that no other route takes, of every method, with the prefix taken off its path
/// as by axum's `Router::nest`.
///
/// - `"/prefix" => public_service(function, reason = "…")` is open to everyone, and says why, for the [`Manifest`] to show.
/// - `"/prefix" => protected_service(function)` stands behind the same guard as a handler with [`protected`], and takes the same
///   keys, `optional` apart. The service finds its [`Session`] in the extensions of the request.
///
/// ```
/// # use axum::{Extension, Router, extract::FromRef, routing::get};
/// # use session_runtime::*;
/// # #[derive(Clone, FromRef)] struct App { sessions: Sessions }
/// # #[refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// # #[derive(Clone, Copy)] struct Role;
/// # impl Claim for Role { const KEY: &'static str = "role"; type Value = Vec<String>; }
/// # mod third_party { pub fn assets() -> axum::Router { axum::Router::new() } }
/// fn assets(_: &App) -> Router {
///     third_party::assets()
/// }
///
/// fn legacy(_: &App) -> Router {
///     Router::new().route("/whoami", get(async |session: Extension<Session>| session.user_id().to_owned()))
/// }
///
/// static ROUTES: Routes<App> = routes![
///     refresh,
///     "/assets" => public_service(assets, reason = "static files"),
///     "/legacy" => protected_service(legacy, require = [Role.includes("staff")]),
/// ];
/// ```
///
/// The function may return whatever axum takes for a service; where it returns `impl Service<…>`, add `+ use<>`, since the
/// service outlives the reference to the state.
///
/// # Deny by default
///
/// A route that is mounted past the table has no attribute, and no check sees it. The list of `disallowed-methods` in the
/// `clippy.toml` of this project's repository makes an error of every method of axum's `Router` that can do so; copy it, and
/// set `disallowed_methods = "deny"` under `[lints.clippy]` in your `Cargo.toml`. What is in the table shows in its
/// [`Manifest`].
pub use session_macros::routes;

/// A part of a table, for [`routes!`] to include: a [`RouteGroup`], in a `static`.
///
/// It is written as `routes!` is, and checked as far as it goes: it may lack a refresh endpoint. So it can't be mounted, only
/// included.
///
/// ```
/// # use session_runtime::*;
/// # #[refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// #[protected(GET "/me")]
/// async fn me(session: Session) {}
///
/// static ACCOUNT: RouteGroup<Sessions> = route_group!["/account" => [me]];
///
/// static ROUTES: Routes<Sessions> = routes![refresh, ..ACCOUNT];
/// ```
pub use session_macros::route_group;

#[doc(hidden)]
pub mod __private {
    pub use axum::{extract::FromRequestParts, http::request::Parts, response::Response};

    pub use crate::{
        Requirement,
        guard::{
            Answers, AskFuture, Asked, Guard, NoRequirement, Require, RequireAll, RequirementAnswer,
            RequirementFn, Unmet, extract, refusal_answer, respond, theft_answer,
        },
        route::{
            Completeness, Endpoint, Finding, GuardOptions, HandlerFuture, Hash, Hashes, Included,
            ListedHandler, Method, Mount, Mounting, Part, Protection, RefusalHook, Remarks, RouteInfo,
            RouteSpec, TheftHook, Unlisted, Wild, capacity, check, conflict, flatten, joined_len,
            joined_prefixes, kind, route_count, route_group, routes, verdicts,
        },
    };
}
