//! Pages of other origins: what browsers are told about who may use the session (Fetch standard, "CORS protocol").

use std::{fmt, sync::Arc, time::Duration};

use axum::http::{
    HeaderName, HeaderValue,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE},
};
use tower_http::{
    cors::{self, AllowMethods, AllowOrigin, CorsLayer},
    set_header::{SetResponseHeader, SetResponseHeaderLayer},
};
use tower_layer::Layer;

use super::{csrf::CsrfConfig, header};

/// Lets pages of the [allowed origins](crate::SessionsBuilder::allowed_origins) use the session; from
/// [`Sessions::cors`](crate::Sessions::cors).
///
/// A layer for the whole router, outside of every guard. It asks the very list that the defence against cross-site requests
/// asks, so an origin can do both or neither.
///
/// - A preflight is answered here and reaches no guard, and neither does any other request with the method `OPTIONS`.
/// - Browsers are told the one origin that asked, never `*`, and that cookies may go along.
/// - Every method is allowed, and the headers that the session's clients send: `content-type`, `authorization`, `rid`,
///   `fdi-version`, `anti-csrf`, `st-auth-mode`, `st-nonce`.
/// - `Vary` keeps caches from giving one origin's answer to another.
///
/// ```
/// # use session_runtime::*;
/// # use std::time::Duration;
/// # #[refresh_endpoint(POST "/refresh")] async fn refresh() {}
/// use axum::http::HeaderName;
///
/// static ROUTES: Routes<Sessions> = routes![refresh];
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BuildError> {
/// let sessions = Sessions::builder(MemoryStore::new())
///     .routes(&ROUTES)
///     .allowed_origins(["https://app.example.com"])
///     .build()
///     .await?;
///
/// let cors = sessions
///     .cors()
///     .allow_headers([HeaderName::from_static("x-request-id")])
///     .expose_headers([HeaderName::from_static("x-total-count")]);
/// let app = ROUTES.router(sessions).layer(cors);
/// # let _: axum::Router = app;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing before it is added to a router"]
pub struct Cors {
    origins: Arc<CsrfConfig>,
    allowed: Vec<HeaderName>,
    exposed: Vec<HeaderName>,
    max_age: Duration,
}

impl Cors {
    pub(crate) fn new(csrf: &CsrfConfig) -> Self {
        Self {
            origins: Arc::new(csrf.clone()),
            allowed: vec![
                CONTENT_TYPE,
                AUTHORIZATION,
                header::RID,
                header::FDI_VERSION,
                header::ANTI_CSRF,
                header::AUTH_MODE,
                header::NONCE,
            ],
            exposed: Vec::new(),
            max_age: Duration::from_secs(3600),
        }
    }

    /// Headers of the application's own that its pages may send. Default: none. A second call adds to the first.
    pub fn allow_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.allowed.extend(names);
        self
    }

    /// Headers of the application's own that its pages may read. Default: none. A second call adds to the first.
    ///
    /// The session's are listed on every response that carries them, without this.
    pub fn expose_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed.extend(names);
        self
    }

    /// For how long a browser need not ask again before it sends such a request, in whole seconds. Default: 1 hour; browsers
    /// cut it to 2 hours or less.
    ///
    /// An origin that is taken off the list may go on for as long to send what it can't read the answer of; the defence against
    /// cross-site requests refuses it at once.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    fn preflights(&self) -> CorsLayer {
        let origins = Arc::clone(&self.origins);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| origins.allows(origin)))
            .allow_credentials(true)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(self.allowed.clone())
            .max_age(self.max_age)
    }

    /// The value with which the application's own headers are added to those that a response exposes already.
    fn exposure(&self) -> Option<HeaderValue> {
        let names: Vec<_> = self.exposed.iter().map(HeaderName::as_str).collect();
        HeaderValue::try_from(names.join(", ")).ok().filter(|list| !list.is_empty())
    }
}

impl<S> Layer<S> for Cors {
    type Service = cors::Cors<SetResponseHeader<S, Option<HeaderValue>>>;

    fn layer(&self, inner: S) -> Self::Service {
        let expose = SetResponseHeaderLayer::appending(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposure());
        self.preflights().layer(expose.layer(inner))
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("origins", &self.origins.allowed_origins)
            .field("allowed", &self.allowed)
            .field("exposed", &self.exposed)
            .field("max_age", &self.max_age)
            .finish()
    }
}
