//! How a session system is set up, and what is refused before it starts.

use std::{any::TypeId, collections::HashMap, env, error::Error as StdError, fmt, sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode, header};

use crate::{
    claims::{Claim, ClaimRequest, ClaimSource, ClaimSources, Requirement},
    clock::{Clock, Timestamp},
    error::{Statuses, StoreError},
    rotation::Grace,
    route::{RouteInfo, Routes, kind::RouteKind},
    sessions::Sessions,
    store::{BeyondLimit, DynStore, SessionLimit, SessionStore},
    token::{Epochs, KeyRing, Keys, SigningAlgorithm, access},
    transport::{
        CsrfMode, SameSite, Transport,
        cookie::CookieConfig,
        csrf::{CsrfConfig, Origin},
    },
};

/// What the running system reads. Made by [`SessionsBuilder::build`], which lets through only what can work.
pub(crate) struct Config {
    pub(crate) access_lifetime: Duration,
    pub(crate) access_jitter: f64,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) absolute_lifetime: Option<Duration>,
    pub(crate) grace: Grace,
    pub(crate) leeway: Duration,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) audience: Option<Arc<str>>,
    pub(crate) transport: Transport,
    pub(crate) cookies: CookieConfig,
    pub(crate) csrf: CsrfConfig,
    pub(crate) statuses: Statuses,
    pub(crate) limit: Option<SessionLimit>,
    pub(crate) store_timeout: Duration,
    pub(crate) feed_bound: Duration,
    pub(crate) when_behind: WhenBehind,
    pub(crate) purge_interval: Duration,
    pub(crate) cache_bytes: u64,
    pub(crate) fingerprint: FingerprintParts,
    pub(crate) placement: Placement,
    /// What every protected route requires, unless it says otherwise.
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) claim_sources: ClaimSources,
    /// No session is older than this.
    pub(crate) born_at: Timestamp,
}

impl Config {
    /// The longest that an access token is accepted after it was made, clocks that differ included: how long the end of a
    /// session has to be remembered.
    pub(crate) fn access_retention(&self) -> Duration {
        self.access_lifetime + self.leeway + Epochs::CLOCK_SLACK
    }
}

/// What a client shows of itself, as bytes that are hashed together.
pub(crate) type FingerprintParts = Arc<dyn Fn(&HeaderMap) -> Vec<Vec<u8>> + Send + Sync>;

/// Where the endpoints that set the refresh cookie answer, as this process sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placement {
    /// The path of the refresh endpoint.
    pub(crate) refresh: String,
    /// The paths of the endpoints in the route table.
    pub(crate) endpoints: HashMap<TypeId, String>,
}

impl Placement {
    fn of<S>(routes: &Routes<S>) -> Self {
        let sets_the_cookie =
            |info: &&RouteInfo| matches!(info.kind(), RouteKind::Login | RouteKind::Refresh);
        Self {
            refresh: routes.refresh_path().unwrap_or_default(),
            endpoints: routes
                .iter()
                .filter(sets_the_cookie)
                .map(|info| (info.endpoint(), info.path()))
                .collect(),
        }
    }

    /// The path at which the endpoint `id` has to answer; `None` where any will do.
    pub(crate) fn expected(&self, id: TypeId, is_refresh: bool) -> Option<&str> {
        self.endpoints.get(&id).or(is_refresh.then_some(&self.refresh)).map(String::as_str)
    }
}

/// What happens to valid access tokens while this node may have missed revocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBehind {
    /// They are accepted until they expire: a node that is cut off from the store serves on. A session revoked meanwhile
    /// lives for up to the access lifetime longer there. Routes with `check = store` ask the store anyway.
    #[default]
    FailOpen,
    /// They are refused with 503: no revoked session is served, and an outage of the store takes every protected route
    /// with it.
    FailClosed,
}

/// Sets up a session system; from [`Sessions::builder`].
///
/// Every setting has a default but the routes. [`build`](Self::build) checks them all and lists every problem at once.
///
/// ```
/// use std::time::Duration;
/// use session_runtime::{MemoryStore, Sessions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), session_runtime::BuildError> {
/// let sessions = Sessions::builder(MemoryStore::new())
///     .refresh_path("/refresh")              // or `.routes(&ROUTES)`
///     .access_lifetime(Duration::from_secs(15 * 60))
///     .absolute_lifetime(Duration::from_secs(365 * 24 * 60 * 60))
///     .build()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is set up before `build` is called"]
pub struct SessionsBuilder {
    store: Arc<dyn DynStore>,
    clock: Option<Clock>,
    born_at: Option<Timestamp>,
    keys: Option<Result<KeyRing, String>>,
    algorithm: SigningAlgorithm,
    key_epoch: Duration,
    access_lifetime: Duration,
    access_jitter: f64,
    refresh_lifetime: Duration,
    absolute_lifetime: Option<Duration>,
    grace: Grace,
    leeway: Duration,
    issuer: Option<Arc<str>>,
    audience: Option<Arc<str>>,
    transport: Transport,
    cookies: CookieConfig,
    csrf: CsrfMode,
    allowed_origins: Vec<String>,
    public_origins: Vec<String>,
    expired_status: u16,
    invalid_claim_status: u16,
    retry_after: Duration,
    limit: Option<SessionLimit>,
    store_timeout: Duration,
    feed_bound: Duration,
    when_behind: WhenBehind,
    purge_interval: Duration,
    cache_bytes: u64,
    fingerprint: FingerprintParts,
    placement: Placement,
    requirements: Vec<Requirement>,
    claim_sources: Vec<(&'static str, ClaimSource)>,
    refresh_path: Option<String>,
    public_prefix: String,
}

impl SessionsBuilder {
    pub(crate) fn new<S: SessionStore>(store: S) -> Self {
        Self {
            clock: store.clock(),
            born_at: store.born_at(),
            store: Arc::new(store),
            keys: None,
            algorithm: SigningAlgorithm::default(),
            key_epoch: Epochs::DEFAULT_LENGTH,
            access_lifetime: Duration::from_secs(3600),
            access_jitter: 0.1,
            refresh_lifetime: days(100),
            absolute_lifetime: None,
            grace: Grace::default(),
            leeway: Duration::ZERO,
            issuer: None,
            audience: None,
            transport: Transport::default(),
            cookies: CookieConfig::new(""),
            csrf: CsrfMode::default(),
            allowed_origins: Vec::new(),
            public_origins: Vec::new(),
            expired_status: 401,
            invalid_claim_status: 403,
            retry_after: Duration::from_secs(1),
            limit: None,
            store_timeout: Duration::from_secs(5),
            feed_bound: Duration::from_secs(10),
            when_behind: WhenBehind::default(),
            purge_interval: Duration::from_secs(60),
            cache_bytes: 32 << 20,
            fingerprint: Arc::new(|headers| {
                let value =
                    |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.as_bytes().to_vec());
                [header::USER_AGENT, header::ACCEPT_LANGUAGE]
                    .map(|name| value(name).unwrap_or_default())
                    .into()
            }),
            placement: Placement::default(),
            requirements: Vec::new(),
            claim_sources: Vec::new(),
            refresh_path: None,
            public_prefix: String::new(),
        }
    }

    /// The table of the application's routes: from it come the refresh path, and with it the path of the refresh cookie.
    pub fn routes<S>(mut self, routes: &Routes<S>) -> Self {
        self.placement = Placement::of(routes);
        self
    }

    /// The path of the refresh endpoint, for an application that mounts its handlers without a table: the path that this
    /// process is asked for, the prefixes of `Router::nest` included.
    pub fn refresh_path(mut self, path: impl Into<String>) -> Self {
        self.refresh_path = Some(path.into());
        self
    }

    /// A path that a reverse proxy takes off before it passes a request on. Default: none.
    ///
    /// It is put before the path of the refresh cookie, which is the browser's view. A wrong one keeps the browser from ever
    /// sending the refresh token.
    pub fn public_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.public_prefix = prefix.into();
        self
    }

    /// The operator's secrets, each 32 random bytes or more in base64 or hexadecimal, the newest first: `"new,old"`.
    ///
    /// Make one with `openssl rand -base64 32`. Default: the environment variable `SESSION_KEYS`; without it, the memory store
    /// makes a random one, and every other store refuses to start. To change it without logging anyone out, give every node
    /// `old,new` first, then `new,old`, and `new` once the longest refresh lifetime has passed.
    pub fn keys(mut self, keys: &str) -> Self {
        self.keys = Some(KeyRing::parse(keys).map_err(|error| format!("`keys`: {error}")));
        self
    }

    /// The operator's secrets, read elsewhere: see [`keys`](Self::keys).
    pub fn key_ring(mut self, keys: KeyRing) -> Self {
        self.keys = Some(Ok(keys));
        self
    }

    /// How access tokens are signed. Default: EdDSA. With HS256 nobody else can check them, since the JWKS can't hold the key.
    pub fn algorithm(mut self, algorithm: impl Into<SigningAlgorithm>) -> Self {
        self.algorithm = algorithm.into();
        self
    }

    /// For how long one signing key is used. Default: 7 days.
    pub fn key_epoch(mut self, epoch: Duration) -> Self {
        self.key_epoch = epoch;
        self
    }

    /// How long an access token lives, in whole seconds. Default: 1 hour.
    ///
    /// It is how long an access token that was stolen is good for, and for how long a node that is cut off from the store
    /// accepts the tokens of a revoked session.
    ///
    /// It is the same on every node: each deletes from the store the revocations that it needs no longer itself, and one with longer
    /// lifetimes that starts after that does not know of them. To change it, stop all nodes first, or accept that for as long as
    /// both kinds run.
    pub fn access_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_lifetime = lifetime;
        self
    }

    /// By which part of itself the lifetime of an access token may be shorter, differently for each session, so that
    /// sessions made together don't refresh together. Default: 0.1; 0 to 0.5.
    pub fn access_jitter(mut self, part: f64) -> Self {
        self.access_jitter = part;
        self
    }

    /// How long a session lives without a refresh. Default: 100 days.
    pub fn refresh_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_lifetime = lifetime;
        self
    }

    /// How long a session lives at most, refreshed or not. Default: for ever.
    ///
    /// It is how long a thief keeps a session whose owner never comes back.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute_lifetime = Some(lifetime);
        self
    }

    /// The longest that a message of an honest client is under way. Default: 10 seconds. See [`Grace`].
    ///
    /// It is under way until the store has carried it out: keep it well above the [`store_timeout`](Self::store_timeout).
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Grace::new(grace);
        self
    }

    /// How long an access token is accepted after its expiry. Default: not at all.
    ///
    /// Nodes keep time by the store's clock, so none is needed for clocks that differ.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The `iss` of access tokens; another one is refused. Default: none.
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The `aud` of access tokens; another one is refused. Default: none.
    pub fn audience(mut self, audience: impl Into<Arc<str>>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How the tokens of a new session travel, unless the client asks for one in `st-auth-mode`. Default: cookies.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The names of the cookies. Defaults: `sAccessToken`, `sRefreshToken`, which the official browser SDK's users know.
    ///
    /// The access cookie may be named `__Host-…`; the refresh cookie may not, because its path is that of the refresh endpoint.
    pub fn cookie_names(mut self, access: impl Into<String>, refresh: impl Into<String>) -> Self {
        self.cookies.access_name = access.into();
        self.cookies.refresh_name = refresh.into();
        self
    }

    /// The `Domain` of the cookies. Default: none, so that only the host that set them gets them.
    ///
    /// Every host below the domain sees the tokens and can overwrite the cookies.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookies.domain = Some(domain.into());
        self
    }

    /// Domains that the cookies had before, `None` for none. Default: none.
    ///
    /// A browser keeps a cookie of another domain beside ours and sends both; where one is seen, it is removed.
    pub fn older_cookie_domains<D: Into<String>>(
        mut self,
        domains: impl IntoIterator<Item = Option<D>>,
    ) -> Self {
        self.cookies.older_domains = domains.into_iter().map(|domain| domain.map(Into::into)).collect();
        self
    }

    /// Paths that the cookies had before, such as that of a former refresh endpoint. Default: none. As with the domains.
    pub fn older_cookie_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.cookies.older_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// The `SameSite` of the cookies. Default: [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookies.same_site = same_site;
        self
    }

    /// Cookies without `Secure`, which travel over plain HTTP where anyone on the way can read them: for development.
    pub fn dangerous_insecure_cookies(mut self) -> Self {
        self.cookies.secure = false;
        self
    }

    /// How cross-site requests are told apart, for tokens that come in cookies. Default: [`CsrfMode::FetchMetadata`].
    pub fn csrf(mut self, mode: CsrfMode) -> Self {
        self.csrf = mode;
        self
    }

    /// Other origins whose pages may use the session, such as `https://app.example.com`. Default: none.
    ///
    /// Each of them can do all that the user can. Their browsers are told by the layer of [`Sessions::cors`].
    pub fn allowed_origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// The origins under which browsers know this server, such as `https://api.example.com`. Default: whatever `Host` says.
    ///
    /// Needed behind a proxy that rewrites `Host`.
    pub fn public_origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.public_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// The status of a refusal that a refresh or a login can mend. Default: 401; 400 to 499.
    pub fn expired_status(mut self, status: u16) -> Self {
        self.expired_status = status;
        self
    }

    /// The status of a refusal for claims. Default: 403; 400 to 499.
    pub fn invalid_claim_status(mut self, status: u16) -> Self {
        self.invalid_claim_status = status;
        self
    }

    /// After what time a client should try again when the store is unavailable. Default: 1 second.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = after;
        self
    }

    /// How many sessions a user may have at once, and what a login beyond that does. Default: as many as they like.
    pub fn max_sessions_per_user(mut self, max: u32, beyond: BeyondLimit) -> Self {
        self.limit = Some(SessionLimit { max, beyond });
        self
    }

    /// How long an operation of the store may take before it counts as failed. Default: 5 seconds.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// What happens when this node has not heard from the store's feed of revocations for `bound`. Default: 10 seconds,
    /// [`WhenBehind::FailOpen`].
    pub fn when_feed_is_behind(mut self, bound: Duration, policy: WhenBehind) -> Self {
        self.feed_bound = bound;
        self.when_behind = policy;
        self
    }

    /// How often expired sessions are deleted. Default: every minute.
    pub fn purge_interval(mut self, interval: Duration) -> Self {
        self.purge_interval = interval;
        self
    }

    /// How much memory verified access tokens may take, in bytes, so that their signature need not be checked again.
    /// Default: 32 MiB.
    pub fn token_cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// What of a request tells one client from another. Default: `User-Agent` and `Accept-Language`.
    ///
    /// Where a refresh token is accepted from another client than before, the application is told
    /// ([`EventKind::OtherClient`](crate::EventKind::OtherClient)); nothing is refused for it.
    pub fn fingerprint(mut self, parts: impl Fn(&HeaderMap) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.fingerprint = Arc::new(parts);
        self
    }

    /// What every `#[protected]` route requires, before what it requires itself. Default: nothing.
    ///
    /// Routes with `optional` are left out, logins, refreshes and logouts too. A route with `require_only = […]` requires what
    /// stands there instead. A second call adds to the first.
    ///
    /// ```
    /// # use session_runtime::{Claim, MemoryStore, Session, Sessions, protected};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), session_runtime::BuildError> {
    /// struct Verified;
    ///
    /// impl Claim for Verified {
    ///     const KEY: &'static str = "verified";
    ///     type Value = bool;
    /// }
    ///
    /// // How else would anyone come to be verified?
    /// #[protected(POST "/verify", require_only = [])]
    /// async fn verify(_: Session) {}
    ///
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .refresh_path("/refresh")
    ///     .require([Verified.is_true()])
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn require(mut self, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        self.requirements.extend(requirements);
        self
    }

    /// Where a claim is fetched from. Default: nowhere; a claim is what was set.
    ///
    /// Asked when a route requires the claim and the session has none, or one older than [`Claim::MAX_AGE`]. The answer is
    /// stored in the session, unless somebody else has set the claim meanwhile, and the response carries an access token with
    /// it. `None` removes the claim; while there is none, every request to such a route asks again. Several requests at once
    /// may each ask.
    ///
    /// A source that fails, or does not answer within the [`store_timeout`](Self::store_timeout), has the request refused with
    /// [`SessionError::ClaimUnavailable`](crate::SessionError::ClaimUnavailable), 503; its error is logged, so no secret may be
    /// in its text.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use session_runtime::{Claim, ClaimRequest, MemoryStore, Sessions};
    /// # #[derive(Clone)] struct Db;
    /// # impl Db { async fn roles(&self, _: &str) -> Result<Option<Vec<String>>, Infallible> { Ok(None) } }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), session_runtime::BuildError> {
    /// struct Role;
    ///
    /// impl Claim for Role {
    ///     const KEY: &'static str = "role";
    ///     const MAX_AGE: Option<Duration> = Some(Duration::from_secs(300));
    ///     type Value = Vec<String>;
    /// }
    ///
    /// # let db = Db;
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .refresh_path("/refresh")
    ///     .claim_source(Role, move |of: ClaimRequest| {
    ///         let db = db.clone();
    ///         async move { db.roles(&of.user_id).await }
    ///     })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn claim_source<C, F, E>(
        mut self,
        _: C,
        source: impl Fn(ClaimRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        C: Claim,
        F: Future<Output = Result<Option<C::Value>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.claim_sources.push((C::KEY, ClaimSource::new::<C, F, E>(source)));
        self
    }

    /// Checks the settings, connects to the store and starts the session system.
    ///
    /// # Errors
    ///
    /// [`BuildError::Settings`] with every setting that can't work; [`BuildError::Store`] if the store can't be reached.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn build(mut self) -> Result<Sessions, BuildError> {
        let mut problems = Problems::default();
        self.check_lifetimes(&mut problems);
        self.check_limits(&mut problems);
        self.check_claim_sources(&mut problems);
        let csrf = self.check_transport(&mut problems);
        let statuses = self.check_statuses(&mut problems);
        let keys = self.check_keys(&mut problems);
        let (Some(keys), Some(statuses)) = (keys, statuses) else { return Err(problems.into_error()) };
        if !problems.0.is_empty() {
            return Err(problems.into_error());
        }
        let config = Config {
            access_lifetime: self.access_lifetime,
            access_jitter: self.access_jitter,
            refresh_lifetime: self.refresh_lifetime,
            absolute_lifetime: self.absolute_lifetime,
            grace: self.grace,
            leeway: self.leeway,
            issuer: self.issuer,
            audience: self.audience,
            transport: self.transport,
            cookies: self.cookies,
            csrf,
            statuses,
            limit: self.limit,
            store_timeout: self.store_timeout,
            feed_bound: self.feed_bound,
            when_behind: self.when_behind,
            purge_interval: self.purge_interval,
            cache_bytes: self.cache_bytes,
            fingerprint: self.fingerprint,
            placement: self.placement,
            requirements: self.requirements,
            claim_sources: self.claim_sources.into_iter().collect(),
            born_at: self.born_at.unwrap_or_default(),
        };
        Sessions::start(config, keys, self.store, self.clock).await.map_err(BuildError::Store)
    }

    fn check_lifetimes(&self, problems: &mut Problems) {
        let second = Duration::from_secs(1);
        problems.check(self.access_lifetime >= second && self.access_lifetime <= days(400), || {
            format!("`access_lifetime` is {:?}; use 1 second to 400 days", self.access_lifetime)
        });
        problems.check(self.access_lifetime.subsec_nanos() == 0, || {
            format!("`access_lifetime` is {:?}; a JWT counts whole seconds", self.access_lifetime)
        });
        problems.check((0.0..=0.5).contains(&self.access_jitter), || {
            format!("`access_jitter` is {}; use 0 to 0.5", self.access_jitter)
        });
        problems.check(self.refresh_lifetime > self.access_lifetime, || {
            format!(
                "`refresh_lifetime` ({:?}) is not longer than `access_lifetime` ({:?}), so no session could be refreshed",
                self.refresh_lifetime, self.access_lifetime
            )
        });
        if let Some(absolute) = self.absolute_lifetime {
            problems.check(absolute > self.access_lifetime, || {
                format!(
                    "`absolute_lifetime` ({absolute:?}) is not longer than `access_lifetime` ({:?}), so no session could be \
                     refreshed",
                    self.access_lifetime
                )
            });
        }
        problems.check(self.grace.window() <= Duration::from_secs(300), || {
            format!(
                "`grace` is {:?}; use at most 5 minutes, since a thief is tolerated for as long",
                self.grace.window()
            )
        });
        problems.check(self.grace.floor() < self.refresh_lifetime, || {
            format!(
                "`refresh_lifetime` ({:?}) is not longer than three times `grace` ({:?}), so no token would ever rotate",
                self.refresh_lifetime,
                self.grace.window()
            )
        });
        problems.check(self.leeway <= Duration::from_secs(300), || {
            format!("`leeway` is {:?}; use at most 5 minutes", self.leeway)
        });
    }

    fn check_limits(&self, problems: &mut Problems) {
        problems.check(self.limit.is_none_or(|limit| limit.max > 0), || {
            "`max_sessions_per_user` is 0, so nobody could log in; use 1 or more".into()
        });
        for (setting, value) in [
            ("store_timeout", self.store_timeout),
            ("when_feed_is_behind", self.feed_bound),
            ("purge_interval", self.purge_interval),
        ] {
            problems.check(!value.is_zero() && value <= days(1), || {
                format!("`{setting}` is {value:?}; use more than zero and at most a day")
            });
        }
        problems.check(self.cache_bytes >= 64 << 10, || {
            format!("`token_cache_bytes` is {}; use at least 65536", self.cache_bytes)
        });
    }

    fn check_claim_sources(&self, problems: &mut Problems) {
        for (position, (key, _)) in self.claim_sources.iter().enumerate() {
            problems.check(!access::is_reserved(key), || {
                format!("`claim_source`: the claim name `{key}` is used by the token itself; choose another")
            });
            let is_first = self.claim_sources[..position].iter().all(|(earlier, _)| earlier != key);
            problems.check(is_first, || format!("`claim_source` is given twice for the claim `{key}`"));
        }
    }

    fn check_transport(&mut self, problems: &mut Problems) -> CsrfConfig {
        match self.refresh_path.take() {
            Some(path) if self.placement.refresh.is_empty() => self.placement.refresh = path,
            Some(path) => problems.push(format!(
                "`refresh_path` is `{path}`, but the refresh path of `routes` is `{}`; give one of the two",
                self.placement.refresh
            )),
            None => {}
        }
        if self.placement.refresh.is_empty() {
            problems.push(
                "no refresh path: give the route table with `.routes(&ROUTES)`, or a path with `.refresh_path(\"/refresh\")`",
            );
        }
        let prefix = self.public_prefix.as_str();
        problems.check(prefix.is_empty() || prefix.starts_with('/') && !prefix.ends_with('/'), || {
            format!("`public_prefix` is `{prefix}`; it begins with `/` and does not end with one")
        });
        self.cookies.refresh_path = format!("{prefix}{}", self.placement.refresh);
        if !self.placement.refresh.is_empty() {
            self.cookies.problems().into_iter().for_each(|problem| problems.push(problem));
        }
        let cookies = &self.cookies;
        for name in [&cookies.access_name, &cookies.refresh_name] {
            problems.check(name.len() <= access::MAX_COOKIE_NAME_LEN, || {
                let most = access::MAX_COOKIE_NAME_LEN;
                format!("`cookie_names`: `{name}` has {} bytes; use at most {most}", name.len())
            });
        }
        let csrf = CsrfConfig {
            mode: self.csrf,
            allowed_origins: problems.origins("allowed_origins", &self.allowed_origins),
            public_origins: problems.origins("public_origins", &self.public_origins),
        };
        csrf.problems(self.cookies.same_site).into_iter().for_each(|problem| problems.push(problem));
        csrf
    }

    fn check_statuses(&self, problems: &mut Problems) -> Option<Statuses> {
        let mut status = |setting: &str, code: u16| {
            let status = StatusCode::from_u16(code).ok().filter(StatusCode::is_client_error);
            problems.check(status.is_some(), || format!("`{setting}` is {code}; use 400 to 499"));
            status
        };
        let expired = status("expired_status", self.expired_status);
        let invalid_claim = status("invalid_claim_status", self.invalid_claim_status);
        problems.check(expired.is_none() || expired != invalid_claim, || {
            "`expired_status` and `invalid_claim_status` are the same, so a client could not tell them apart".into()
        });
        Some(Statuses { expired: expired?, invalid_claim: invalid_claim?, retry_after: self.retry_after })
    }

    fn check_keys(&mut self, problems: &mut Problems) -> Option<Keys> {
        let given = self.keys.take().or_else(|| {
            let keys = env::var("SESSION_KEYS").ok()?;
            Some(KeyRing::parse(&keys).map_err(|error| format!("`SESSION_KEYS`: {error}")))
        });
        let ring = match given {
            Some(Ok(ring)) => Some(ring),
            Some(Err(problem)) => {
                problems.push(problem);
                None
            }
            None if self.born_at.is_some() => Some(KeyRing::random()),
            None => {
                problems.push(
                    "no keys, and the store outlives the process: set `SESSION_KEYS`, or call `.keys(…)`; \
                     make one with `openssl rand -base64 32`",
                );
                None
            }
        };
        match Epochs::new(self.key_epoch, self.access_lifetime + self.leeway) {
            Ok(epochs) => Some(Keys::new(&ring?, &self.algorithm, epochs)),
            Err(error) => {
                problems.push(format!("`key_epoch`: {error}"));
                None
            }
        }
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder").finish_non_exhaustive()
    }
}

/// Why a session system does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Settings that can't work: all of them, each with its name and the remedy.
    #[error("the session settings can't work:{}", .0.iter().map(|problem| format!("\n  - {problem}")).collect::<String>())]
    Settings(Vec<String>),
    /// The store can't be reached.
    #[error("the session store can't be reached")]
    Store(#[source] StoreError),
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn push(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    fn check(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(problem());
        }
    }

    fn origins(&mut self, setting: &str, origins: &[String]) -> Vec<Origin> {
        let mut read = |origin: &String| match origin.parse() {
            Ok(origin) => Some(origin),
            Err(error) => {
                self.push(format!("`{setting}`: {error}"));
                None
            }
        };
        origins.iter().filter_map(&mut read).collect()
    }

    fn into_error(self) -> BuildError {
        BuildError::Settings(self.0)
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}
