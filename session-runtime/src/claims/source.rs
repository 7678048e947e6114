//! Where claims are fetched from.

use std::{collections::BTreeMap, error::Error as StdError, fmt, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use serde_json::Value;

use super::Claim;
use crate::handle::SessionHandle;

/// Whose claim a [source](crate::SessionsBuilder::claim_source) is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The user.
    pub user_id: Arc<str>,
    /// The user's tenant; `public` unless the login set one.
    pub tenant: Arc<str>,
    /// The session that the claim is for.
    pub session_handle: SessionHandle,
}

/// The sources of claims, by key.
pub(crate) type ClaimSources = BTreeMap<&'static str, ClaimSource>;

/// The function that tells a claim, its types forgotten.
#[derive(Clone)]
pub(crate) struct ClaimSource(Arc<dyn Fn(ClaimRequest) -> Answer + Send + Sync>);

/// The claim's value as JSON; nothing if the user has none.
type Answer = BoxFuture<'static, Result<Option<Value>, BoxError>>;

type BoxError = Box<dyn StdError + Send + Sync>;

impl ClaimSource {
    pub(crate) fn new<C, F, E>(source: impl Fn(ClaimRequest) -> F + Send + Sync + 'static) -> Self
    where
        C: Claim,
        F: Future<Output = Result<Option<C::Value>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let to_json = |answer: Result<Option<C::Value>, E>| match answer {
            Ok(value) => Ok(value.map(serde_json::to_value).transpose()?),
            Err(error) => Err(error.into()),
        };
        Self(Arc::new(move |request| source(request).map(to_json).boxed()))
    }

    pub(crate) fn fetch(&self, request: ClaimRequest) -> Answer {
        (self.0)(request)
    }
}

impl fmt::Debug for ClaimSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimSource")
    }
}
