//! Connections: where they lead, how they are lent and given back.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::{
    FutureExt as _,
    future::{maybe_done, poll_immediate},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::{
    Config, Row, Statement,
    config::{Host, SslMode, TargetSessionAttrs},
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Failure, dialer::Dialer, schema::Query};
use crate::error::StoreError;

/// What stands for the parameters of a statement.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Where a server is, and how it is talked to.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Address {
    /// Reads a URL. No part of it is repeated in an error: it holds a password.
    pub(super) async fn parse(
        url: &str,
        certificates: &[Vec<u8>],
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let mut config: Config = url.parse().map_err(|_| unreadable())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::new("the URL of the database names no host"));
        }
        // What follows the first `@` of a password that was not encoded is no host, and is not to be shown as one.
        let is_cut = |host: &Host| matches!(host, Host::Tcp(host) if host.contains('@'));
        if config.get_hosts().iter().any(is_cut) || config.get_dbname().is_some_and(|name| name.contains('@'))
        {
            return Err(unreadable());
        }
        // A session that was just ended must not be read from a replica that does not know of it.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        if config.get_application_name().is_none() {
            config.application_name("session-runtime");
        }
        // What nobody acknowledges any more is found out together, not by one operation after the other.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(patience);
        }
        // A listener that hears nothing has to find out that nobody speaks any more.
        config.keepalives_idle(config.get_keepalives_idle().min(Duration::from_secs(30)));
        let is_encrypted = config.get_ssl_mode() != SslMode::Disable;
        let certificates = certificates.to_vec();
        let load = move || client_config(&certificates, is_encrypted);
        let tls = tokio::task::spawn_blocking(load).await.map_err(StoreError::new)??;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// The server and the database, without the password.
    pub(super) fn place(&self) -> String {
        let mut place = String::new();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let ports = self.config.get_ports();
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            let separator = if at > 0 { "," } else { "" };
            let host = match host {
                Host::Tcp(host) => host.into(),
                Host::Unix(path) => path.to_string_lossy(),
            };
            // Writing to a string can't fail.
            let _ = write!(place, "{separator}{host}:{port}");
        }
        if let Some(database) = self.config.get_dbname() {
            let _ = write!(place, "/{database}");
        }
        place
    }

    pub(super) fn pool(self, connections: usize, patience: Duration) -> Result<Pool, StoreError> {
        // A connection is asked for nothing before it is lent: it has closed itself if it was unwell.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let dialer = Dialer::new(self.tls, patience);
        let manager = Manager::from_connect(self.config, dialer, recycling);
        let pool = Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1);
        pool.create_timeout(Some(patience)).build().map_err(StoreError::new)
    }
}

fn unreadable() -> StoreError {
    StoreError::new(
        "the URL of the database can't be read: `postgres://user:password@host:port/database?option=value`, \
         in which special characters of the password are percent-encoded",
    )
}

/// How connections are encrypted: by the library's own cryptography, trusting the system's authorities and the given ones.
fn client_config(certificates: &[Vec<u8>], is_encrypted: bool) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    if is_encrypted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for pem in certificates {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| not_pem())?;
            roots.add(certificate).map_err(StoreError::new)?;
            count += 1;
        }
        if count == 0 {
            return Err(not_pem());
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(StoreError::new)?.with_root_certificates(roots).with_no_client_auth())
}

fn not_pem() -> StoreError {
    StoreError::new("the root certificate is not in PEM form")
}

/// Where connections are had from.
pub(super) struct Connections {
    pub(super) pool: Pool,
    pub(super) prepares: bool,
    /// How the server is reached beside the pool; nothing if that is the application's.
    pub(super) tls: Option<MakeRustlsConnect>,
}

impl Connections {
    pub(super) async fn lend(&self, deadline: Instant) -> Result<Loan<'_>, Failure> {
        let connection = timeout_at(deadline, self.pool.get()).await.map_err(|_| Failure::NoConnection)??;
        Ok(Loan { connection: Some(connection), from: self, deadline, is_in_transaction: false })
    }
}

/// How long a server may take to be told that nobody waits for a statement any more.
const CANCELLATION: Duration = Duration::from_secs(5);

/// A connection on loan from the pool.
///
/// The driver matches answers to requests by their order, also those of requests whose caller went away; so a connection can be
/// given back at any time. What must not stay behind is an open transaction, and a server that doesn't answer.
pub(super) struct Loan<'a> {
    connection: Option<Object>,
    from: &'a Connections,
    deadline: Instant,
    is_in_transaction: bool,
}

/// A statement that can be sent at once.
pub(super) enum Ready<'a> {
    Prepared(Statement),
    Unnamed(&'a Query),
}

impl Loan<'_> {
    /// Runs one statement: one round trip, once it was prepared on this connection.
    pub(super) async fn run(
        &mut self,
        query: &Query,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let ready = self.ready(query).await?;
        let rows = self.run_all(&[(&ready, parameters.to_vec())]).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Makes a statement ready to be sent.
    pub(super) async fn ready<'q>(&mut self, query: &'q Query) -> Result<Ready<'q>, Failure> {
        if !self.from.prepares {
            return Ok(Ready::Unnamed(query));
        }
        let connection = self.connection.as_ref().ok_or(Failure::Late)?;
        let prepare = connection.prepare_typed_cached(&query.text, &query.types);
        match timeout_at(self.deadline, prepare).await {
            Ok(statement) => Ok(Ready::Prepared(statement?)),
            Err(_) => Err(self.give_up()),
        }
    }

    /// Sends several statements together, in one round trip, and answers the rows of each. After one that fails the others have
    /// not happened if they belong to a transaction.
    pub(super) async fn run_all(
        &mut self,
        queries: &[(&Ready<'_>, Vec<Parameter<'_>>)],
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let connection = self.connection.as_ref().ok_or(Failure::Late)?;
        let mut sent: Vec<_> = queries
            .iter()
            .map(|(ready, parameters)| Box::pin(maybe_done(send(connection, ready, parameters))))
            .collect();
        let answers = async {
            // A request is sent when it is first polled: so they are, one after the other.
            for request in &mut sent {
                let _ = poll_immediate(request.as_mut()).await;
            }
            let mut answers = Vec::with_capacity(sent.len());
            for mut request in sent {
                request.as_mut().await;
                answers.push(request.as_mut().take_output().unwrap_or_else(|| Ok(Vec::new()))?);
            }
            Ok(answers)
        };
        match timeout_at(self.deadline, answers).await {
            Ok(answers) => answers,
            Err(_) => Err(self.give_up()),
        }
    }

    /// Notes that a transaction is about to be begun, which is undone if the loan ends before [`end`](Self::end).
    pub(super) fn begin(&mut self) {
        self.is_in_transaction = true;
    }

    /// Notes that the transaction has been ended.
    pub(super) fn end(&mut self) {
        self.is_in_transaction = false;
    }

    /// Closes a connection that does not answer, rather than lend it to the next one.
    ///
    /// A server that waits for a lock, or for a standby, does not notice that: it is told to stop, or the waiting ones would become
    /// more until it takes no connections any more.
    fn give_up(&mut self) -> Failure {
        if let Some(connection) = self.connection.take() {
            let connection = Object::take(connection);
            if let Some(tls) = self.from.tls.clone() {
                let token = connection.cancel_token();
                tokio::spawn(async move { timeout(CANCELLATION, token.cancel_query(tls)).await });
            }
        }
        Failure::Late
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && self.is_in_transaction
        {
            // Sent by being polled once, ahead of whatever the next borrower sends. Nobody needs the answer.
            let _ = connection.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

async fn send(
    connection: &Object,
    ready: &Ready<'_>,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    match ready {
        Ready::Prepared(statement) => connection.query(statement, parameters).await,
        Ready::Unnamed(query) => {
            let typed: Vec<_> = parameters.iter().copied().zip(query.types.iter().cloned()).collect();
            connection.query_typed(&query.text, &typed).await
        }
    }
}
