//! A pointer that keeps the compiler from proving the same again for every handler.

use std::{fmt, ops::Deref, sync::Arc};

/// An `Arc<T>` that is `Send` and `Sync` at a glance.
///
/// For each handler rustc proves that its future is `Send`, and so is all that it holds. With a [`Session`](crate::Session) these
/// would be a thousand types, and rustc does not remember what it proved of them for another handler. It need not look
/// into a trait object.
pub(crate) struct Shared<T>(Arc<dyn Erased<T> + Send + Sync>);

impl<T: Send + Sync + 'static> Shared<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(value)
    }

    pub(crate) fn to_arc(&self) -> Arc<T> {
        <dyn Erased<T> + Send + Sync>::into_arc(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        (*self.0).get()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

trait Erased<T> {
    fn get(&self) -> &T;

    fn into_arc(self: Arc<Self>) -> Arc<T>;
}

impl<T> Erased<T> for T {
    fn get(&self) -> &T {
        self
    }

    fn into_arc(self: Arc<Self>) -> Arc<T> {
        self
    }
}
