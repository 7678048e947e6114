//! What the function named by `on_refused` sees and answers.

use std::{future::Future, pin::Pin};

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode, Uri, request::Parts},
    response::{IntoResponse, Redirect, Response},
};

use crate::error::SessionError;

/// A request that the guard does not let pass, as the function named by `on_refused` sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedRequest {
    /// Why.
    pub error: SessionError,
    /// The method of the request.
    pub method: Method,
    /// The URI of the request, as the client sent it, `Router::nest` or not.
    pub uri: Uri,
}

impl RefusedRequest {
    pub(super) fn new(error: SessionError, parts: &Parts) -> Self {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        Self { error, method: parts.method.clone(), uri: uri.clone() }
    }
}

/// What the function named by `on_refused` may return.
#[diagnostic::on_unimplemented(
    message = "a function named by `on_refused` can't return `{Self}`",
    note = "help: return a `Redirect`, a `Response`, a status and a body, or `None` for the usual answer"
)]
pub trait RefusalAnswer {
    /// The answer to the refused request; `None` for the usual one.
    #[doc(hidden)]
    fn answer(self) -> Option<Response>;
}

impl RefusalAnswer for Response {
    fn answer(self) -> Option<Response> {
        Some(self)
    }
}

impl RefusalAnswer for Redirect {
    fn answer(self) -> Option<Response> {
        Some(self.into_response())
    }
}

impl<R: IntoResponse> RefusalAnswer for (StatusCode, R) {
    fn answer(self) -> Option<Response> {
        Some(self.into_response())
    }
}

impl<A: RefusalAnswer> RefusalAnswer for Option<A> {
    fn answer(self) -> Option<Response> {
        self.and_then(A::answer)
    }
}

/// Runs the function named by `on_refused`.
#[doc(hidden)]
pub fn refusal_answer<F, A>(hook: F) -> Pin<Box<dyn Future<Output = Option<Response>> + Send>>
where
    F: Future<Output = A> + Send + 'static,
    A: RefusalAnswer,
{
    Box::pin(async move { hook.await.answer() })
}
