//! What the function named by `on_theft` sees and answers.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{handle::SessionHandle, rotation::TheftKind};

/// A theft, as the function named by `on_theft` sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Theft {
    /// Whose session it was.
    pub user_id: Arc<str>,
    /// Which session it was. It has ended.
    pub session_handle: SessionHandle,
    /// What gave the theft away.
    pub kind: TheftKind,
}

/// What the function named by `on_theft` may return.
#[diagnostic::on_unimplemented(
    message = "a function named by `on_theft` can't return `{Self}`",
    note = "help: return `()` to keep the usual answer, or a `Response`, or an `Option<Response>`"
)]
pub trait TheftAnswer {
    /// The answer to the request that gave the theft away; `None` for the usual one.
    #[doc(hidden)]
    fn answer(self) -> Option<Response>;
}

impl TheftAnswer for () {
    fn answer(self) -> Option<Response> {
        None
    }
}

impl TheftAnswer for Response {
    fn answer(self) -> Option<Response> {
        Some(self)
    }
}

impl<R: IntoResponse> TheftAnswer for Option<R> {
    fn answer(self) -> Option<Response> {
        self.map(IntoResponse::into_response)
    }
}

impl<R: IntoResponse> TheftAnswer for (StatusCode, R) {
    fn answer(self) -> Option<Response> {
        Some(self.into_response())
    }
}

/// Runs the function named by `on_theft`.
#[doc(hidden)]
pub fn theft_answer<F, A>(hook: F) -> Pin<Box<dyn Future<Output = Option<Response>> + Send>>
where
    F: Future<Output = A> + Send + 'static,
    A: TheftAnswer,
{
    Box::pin(async move { hook.await.answer() })
}
