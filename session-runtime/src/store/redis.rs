//! The store in Redis, Valkey, or a cluster of them.

mod codec;
mod connection;
mod errands;
mod feed;
mod keys;
mod scripts;
mod server;
mod steps;
mod values;

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo,
    RedisError, TlsCertificates, TlsMode,
    cluster::ClusterClient,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use self::{
    connection::{Dialer, Link, Timeouts},
    keys::Keys,
    steps::Sessions,
};
use super::{
    Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Rotation, Row, SessionStore,
};
use crate::{error::StoreError, handle::SessionHandle};

/// Keeps sessions in Redis 6.2 or later, or Valkey: feature `redis`. One server, one behind Sentinel, or a cluster.
///
/// ```no_run
/// use session_runtime::store::RedisStore;
///
/// # async fn open() -> Result<(), session_runtime::StoreError> {
/// let store = RedisStore::open("redis://127.0.0.1:6379").await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// `Sessions::builder(store)` takes it, and requires keys that outlive the process too. Any number of processes may share the
/// sessions; when one of them ends a session, the others know within milliseconds. Cloning is cheap; clones share their
/// connections.
///
/// # What the server has to be
///
/// - **`maxmemory-policy noeviction`.** With any other policy a server that is short of memory throws sessions away, which logs
///   users out. With it, a server that is full refuses what is to be written, which is a [`StoreError`]: logins and refreshes,
///   and logouts, revocations and the ends of stolen sessions too, so that **nothing can be revoked then**. The purge goes on.
/// - **Persistent** (`appendonly yes`), if users shall stay logged in when it is restarted. With `appendfsync everysec` a crash
///   takes the last second: refreshes heal, because a client's newer token proves itself, but **who logged in then has to do so
///   again, and a session that was ended then may be live again**. `appendfsync always` loses nothing.
/// - **Its replicas are behind it.** When one is promoted, what it had not received yet is lost in the same way. Redis has no
///   remedy for that; `min-replicas-to-write` bounds the time in which a primary without replicas is written to. Such a one
///   still answers what is read, `check = store` included, as it was; what it can't find is an error. Where a revocation must
///   never be lost, use a store that replicates synchronously, or access tokens and idle lifetimes that are short.
/// - The user needs `+@read +@write +@scripting +@connection +time`, for a cluster also `+cluster|slots`, behind Sentinel also
///   `+role`, on the keys of the [prefix](RedisStoreBuilder::key_prefix), which are the only ones that are touched. With `+info`
///   too, opening the store refuses a server that is too old, and warns in the log of one that evicts. A user of the Sentinels needs
///   `+role +sentinel|masters`.
///
/// # How it works
///
/// Time is the server's, read inside the scripts. Each atomic step is one Lua script, which a server that doesn't know it is
/// taught on the way; so flushing scripts, restarts and failovers need no attention. A refresh is one round trip: the script
/// rotates the token if that is all there is to do, and in every other case leaves the row as it is and gives it to
/// [`Exchange::step`], whose outcome is written if the row is still the same, and decided anew if it isn't; an end or a change is
/// noted for a minute, so that one which is sent twice is known. A login is one round trip too, but of a user who is at the limit of
/// sessions a few more; verifying an access token is none.
///
/// A row is one string, which a refresh replaces. It expires by itself a day after its session did, should no process be
/// left to purge it; its place in the list of its user then stays until they are listed, all ended, or counted for a limit. With
/// that place and the one in the list of the purge, a session takes some 800 bytes, and its claims and data.
///
/// # On a cluster
///
/// A step must stay within one slot. A refresh token tells the session's handle and nothing of its user, so rows are spread by
/// handle, over 64 slots; the list of a user's sessions, and the time until which they were all ended, by user; the feed has one
/// slot. What concerns several slots is done in several steps, in an order that leaves nothing half done:
///
/// - A **login** takes its place in the user's list, where it gets its time and the limit is kept, then its row is made. Between
///   the two it is no session: its tokens are only made afterwards. If the process dies there, the place is given up after a
///   minute, and the row can't come any more.
/// - **`revoke_all`** first marks the user's list, after which no session is made that is as old; then it ends the sessions one
///   by one, and last it tells the feed. One whose row is still on its way ends when it arrives.
/// - **An end, and what comes of it** — the entry in the feed, the end of a session that was replaced or is over the limit —
///   leaves an errand in its own slot, in the same step, unless it lies there too and is done at once. Whoever left the errand does
///   it before the operation is answered; if that process dies, another does it within 20 seconds. Such an entry of the feed may
///   come twice, and entries about rows of different slots come in the order in which they got there.
///
/// While a slot is moved to another node, logins and ends that concern it may fail (`TRYAGAIN`).
///
/// Without a cluster all keys lie together. Then a login is one step, and so is an end with its entry in the feed and the
/// sessions that end with it, up to a hundred; only the sessions over the limit, and those that `revoke_all` ends, end one by one.
/// The keys differ between the two, so sessions don't move from a server to a cluster.
///
/// # Errors
///
/// What went wrong is a [`StoreError`] with the server's address and the cause: no connection, a wrong password, a server that
/// is loading its data or out of memory, a cluster without a majority. An operation that meets a connection which has just
/// broken is sent again on a new one. Redirections within a cluster are followed, and after a failover Sentinel is asked for the
/// new primary. Passwords stand in no message.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    sessions: Arc<Sessions>,
    news: watch::Sender<()>,
    tasks: [AbortHandle; 2],
}

impl RedisStore {
    /// Connects to one server, with default settings. The URL is
    /// `redis://[<user>][:<password>@]<host>[:<port>][/<database>]`, with `rediss://` for TLS, or `unix://<path>`.
    ///
    /// # Errors
    ///
    /// When the URL can't be read, or the server does not answer as it should.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).open().await
    }

    /// Settings for one server; see [`open`](Self::open) for its URL.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Servers::One, [url])
    }

    /// Settings for a cluster, of which some nodes are named by their URLs; the others are found. All have the user and the password of
    /// the first URL, and TLS if it asks for it; no other URL may name something else.
    ///
    /// ```no_run
    /// # use session_runtime::store::RedisStore;
    /// # async fn open() -> Result<(), session_runtime::StoreError> {
    /// let store = RedisStore::cluster(["redis://10.0.0.1", "redis://10.0.0.2"]).open().await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cluster(urls: impl IntoIterator<Item: Into<String>>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Servers::Cluster, urls)
    }

    /// Settings for the server that Sentinels, named by their URLs, call `service` and elect. TLS is used for both if the URLs
    /// ask for it, which is for all or none of them. User and password of the first URL are those of all Sentinels; the server's are
    /// [set apart](RedisStoreBuilder::credentials). Its database is the server's.
    ///
    /// ```no_run
    /// # use session_runtime::store::RedisStore;
    /// # async fn open(password: &str) -> Result<(), session_runtime::StoreError> {
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster").credentials("app", password).open().await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sentinel(urls: impl IntoIterator<Item: Into<String>>, service: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Servers::Sentinel { service: service.to_owned() }, urls)
    }

    /// Runs an operation to its end, even if nobody waits for it any more: several steps are not left half done.
    async fn carry_out<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let cut_short = |_| Err(StoreError::new("an operation of the session store was cut short"));
        tokio::spawn(operation).await.unwrap_or_else(cut_short)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("sessions", &self.0.sessions).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// How a [`RedisStore`] is opened.
///
/// ```no_run
/// use std::time::Duration;
/// use session_runtime::store::RedisStore;
///
/// # async fn open() -> Result<(), session_runtime::StoreError> {
/// let builder = RedisStore::builder("rediss://redis.internal").key_prefix("shop");
/// let store = builder.response_timeout(Duration::from_secs(1)).open().await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is opened until `open` is called"]
pub struct RedisStoreBuilder {
    servers: Servers,
    urls: Vec<String>,
    credentials: Option<(String, String)>,
    key_prefix: String,
    timeouts: Timeouts,
    root_certificate: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Servers {
    One,
    Cluster,
    Sentinel { service: String },
}

impl RedisStoreBuilder {
    fn new(servers: Servers, urls: impl IntoIterator<Item: Into<String>>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            servers,
            urls: urls.into_iter().map(Into::into).collect(),
            credentials: None,
            key_prefix: "session".to_owned(),
            timeouts: Timeouts { connect: 2 * second, response: 2 * second },
            root_certificate: None,
        }
    }

    /// What every key begins with; `session` by default. At most 64 bytes, without braces.
    ///
    /// The server may hold other things too, and several applications with a prefix each. The prefix stands in braces, so the keys
    /// are `{session}:…`, or `{session:17}:…` on a cluster, for an access list that allows `~{session*`.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// User and password of the servers, in place of those of the URL. An empty user is the server's default user.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// How long to wait for an answer; 2 s by default.
    ///
    /// Keep it below the [time-out of the store](crate::SessionsBuilder::store_timeout), or the reason of a failure does not show.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// How long to wait for a connection, its handshakes included; 2 s by default.
    ///
    /// A node of a cluster has a third of it, so that a silent one does not keep the others from being reached. With Sentinel, it
    /// covers the search for the server too, in which a silent Sentinel takes up to 1.5 s: with less than 2 s, the others may not be
    /// heard.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// The certificates, in PEM form, that the servers' certificates must come from; those that the system trusts by default.
    ///
    /// A certificate has to name the host of the URL. In a cluster, or behind Sentinel, it has to name the address that the server
    /// announces, which is an IP address unless the servers are told otherwise (`cluster-announce-hostname` and
    /// `cluster-preferred-endpoint-type hostname`, or `sentinel resolve-hostnames` and `sentinel announce-hostnames`).
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When a URL or the prefix can't be used, or the servers don't answer as they should.
    pub async fn open(self) -> Result<RedisStore, StoreError> {
        let keys = Keys::new(&self.key_prefix, matches!(self.servers, Servers::Cluster))?;
        let listening = Timeouts { response: self.timeouts.response + feed::WAIT, ..self.timeouts };
        let listener = self.link(1, listening)?;
        let sessions = Arc::new(Sessions { link: self.link(Link::LANES, self.timeouts)?, keys });
        server::check(&sessions.link).await?;
        // Shows whether the servers can be reached, and let the scripts run.
        sessions.revocations(Cursor::default()).await?;

        let news = watch::Sender::new(());
        let (feed, wake) = (sessions.keys.feed(), news.clone());
        let listen = tokio::spawn(async move { feed::listen(&listener, &feed, &wake).await });
        let tended = Arc::clone(&sessions);
        let tend = tokio::spawn(async move { errands::tend(&tended).await });
        let tasks = [listen.abort_handle(), tend.abort_handle()];
        Ok(RedisStore(Arc::new(Inner { sessions, news, tasks })))
    }

    fn link(&self, lanes: usize, timeouts: Timeouts) -> Result<Link, StoreError> {
        let infos = self.connection_infos()?;
        let servers: Vec<_> = infos.iter().map(|info| info.addr().to_string()).collect();
        if infos.iter().any(is_encrypted) && CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, which is as well.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let dialer = match &self.servers {
            Servers::One => self.one(infos, timeouts).map(|client| Dialer::Server(Box::new(client))),
            Servers::Cluster => self.cluster(infos, timeouts).map(|client| Dialer::Cluster(Box::new(client))),
            Servers::Sentinel { service } => self
                .sentinel(&infos, service, timeouts)
                .map(|client| Dialer::Sentinel(Box::new(Mutex::new(client)))),
        };
        let lanes = if matches!(self.servers, Servers::Cluster) { 1 } else { lanes };
        Ok(Link::new(dialer.map_err(StoreError::new)?, lanes, timeouts, servers.join(", ").into()))
    }

    fn connection_infos(&self) -> Result<Vec<ConnectionInfo>, StoreError> {
        let infos = self.urls.iter().zip(1..).map(|(url, number)| self.connection_info(number, url));
        let infos: Vec<_> = infos.collect::<Result<_, _>>()?;
        let Some(first) = infos.first().cloned() else {
            return Err(StoreError::new("no URL of a Redis server was given"));
        };
        let alike = infos.into_iter().zip(1..).map(|(info, number)| {
            let unlike = |what| StoreError::new(format!("Redis URL number {number} {what}"));
            self.like_first(&first, info).map_err(unlike)
        });
        alike.collect()
    }

    /// Gives a server what the first one has and its own URL does not name.
    fn like_first(
        &self,
        first: &ConnectionInfo,
        info: ConnectionInfo,
    ) -> Result<ConnectionInfo, &'static str> {
        let (model, mut settings) = (first.redis_settings(), info.redis_settings().clone());
        if settings.username().is_none() && settings.password().is_none() {
            settings = model.clone().set_db(settings.db());
        }
        if (settings.username(), settings.password()) != (model.username(), model.password()) {
            return Err("names another user or password than the first");
        }
        if ![0, model.db()].contains(&settings.db()) {
            return Err("names another database than the first");
        }
        let addr = match (first.addr(), info.addr()) {
            (&ConnectionAddr::TcpTls { insecure, .. }, ConnectionAddr::Tcp(host, port))
                if !self.is_sentinel() =>
            {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure, tls_params: None }
            }
            (_, addr) => addr.clone(),
        };
        let info = info.set_redis_settings(settings.set_db(model.db())).set_addr(addr);
        match (is_encrypted(first), is_encrypted(&info)) {
            (false, true) => Err("asks for TLS, which the first does not"),
            (true, false) => Err("asks for no TLS, which the first does"),
            _ => Ok(info),
        }
    }

    fn connection_info(&self, number: usize, url: &str) -> Result<ConnectionInfo, StoreError> {
        // Without the URL, in which there may be a password.
        let unreadable = |cause| StoreError::new(UnreadableUrl { number, cause });
        let info = url.into_connection_info().map_err(unreadable)?;
        let mut settings = info.redis_settings().clone();
        if let Some((user, password)) = self.credentials.as_ref().filter(|_| !self.is_sentinel()) {
            settings = RedisConnectionInfo::default().set_db(settings.db()).set_password(password);
            if !user.is_empty() {
                settings = settings.set_username(user);
            }
        }
        // In the newer protocol, some answers have another form.
        let settings = settings.set_protocol(ProtocolVersion::RESP2);
        Ok(info.set_redis_settings(settings))
    }

    fn is_sentinel(&self) -> bool {
        matches!(self.servers, Servers::Sentinel { .. })
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.root_certificate.clone()?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    fn one(&self, infos: Vec<ConnectionInfo>, timeouts: Timeouts) -> Result<Client, RedisError> {
        let info = infos.into_iter().next().map(|info| info.set_tcp_settings(timeouts.of_tcp()));
        match (info, self.certificates()) {
            (Some(info), Some(certificates)) => Client::build_with_tls(info, certificates),
            (Some(info), None) => Client::open(info),
            (None, _) => Client::open(""),
        }
    }

    fn cluster(&self, infos: Vec<ConnectionInfo>, timeouts: Timeouts) -> Result<ClusterClient, RedisError> {
        let mut builder = ClusterClient::builder(infos)
            .connection_timeout(timeouts.of_a_node())
            .response_timeout(timeouts.response)
            .tcp_settings(timeouts.of_tcp())
            .min_retry_wait(20)
            .max_retry_wait(200);
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        builder.build()
    }

    fn sentinel(
        &self,
        infos: &[ConnectionInfo],
        service: &str,
        timeouts: Timeouts,
    ) -> Result<SentinelClient, RedisError> {
        let addresses = infos.iter().map(|info| info.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(timeouts.of_tcp())
            .set_client_to_sentinel_tcp_settings(timeouts.of_tcp());
        for info in infos.iter().take(1) {
            builder = builder.set_client_to_redis_db(info.redis_settings().db());
            if let Some(user) = info.redis_settings().username() {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = info.redis_settings().password() {
                builder = builder.set_client_to_sentinel_password(password);
            }
            if is_encrypted(info) {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
        }
        if let Some((user, password)) = &self.credentials {
            builder = builder.set_client_to_redis_password(password);
            if !user.is_empty() {
                builder = builder.set_client_to_redis_username(user);
            }
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }
}

/// Without URLs and credentials, which hold passwords.
impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("servers", &self.servers)
            .field("key_prefix", &self.key_prefix)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

fn is_encrypted(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// A URL is none, or no server's.
#[derive(Debug, thiserror::Error)]
#[error("URL number {number} of the Redis servers can't be used: {cause}")]
struct UnreadableUrl {
    number: usize,
    cause: RedisError,
}

impl SessionStore for RedisStore {
    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.create(new).await }).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.rotate(exchange).await }).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.confirm(used).await }).await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.0.sessions.read(handle).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.update(handle, version, change).await }).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.end(handle, reason).await }).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.end_all(user, except, reason).await }).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.0.sessions.list(&user).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        let sessions = Arc::clone(&self.0.sessions);
        self.carry_out(async move { sessions.purge(retention, limit).await }).await
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let mut news = self.0.news.subscribe();
        let patience = Instant::now().checked_add(wait);
        loop {
            news.mark_unchanged();
            let batch = self.0.sessions.revocations(after).await?;
            let is_over = patience.is_some_and(|patience| patience <= Instant::now());
            if is_over || batch.next != after {
                return Ok(batch);
            }
            // The sender lives as long as the store. A time-out is the time to look without having been told.
            let next_look = Instant::now() + feed::WAIT;
            let _ =
                timeout_at(patience.map_or(next_look, |patience| patience.min(next_look)), news.changed())
                    .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_a_cluster_has_what_only_the_first_url_names() {
        let urls = ["rediss://app:its-password@a", "redis://b:1"];
        let infos = RedisStore::cluster(urls).connection_infos().unwrap();
        assert!(is_encrypted(&infos[1]));
        assert_eq!(infos[1].addr().to_string(), "b:1");
        let settings = infos[1].redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("app"), Some("its-password")));
    }
}
