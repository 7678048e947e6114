//! Fetching the claims that a route requires.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use tokio::time::timeout;

use super::{Engine, read_claims};
use crate::{
    claims::{ClaimRequest, ClaimSet, Requirement},
    clock::Timestamp,
    error::SessionError,
    session::Accepted,
    sessions::ClaimChange,
    store::Row,
};

impl Engine {
    /// Whether a claim that one of `required` needs and that `claims` lack or have too old can be fetched.
    pub(crate) fn can_renew<'a>(
        &self,
        required: impl Iterator<Item = &'a Requirement>,
        claims: &ClaimSet,
        now: Timestamp,
    ) -> bool {
        let sources = &self.config.claim_sources;
        let mut found = false;
        if !sources.is_empty() {
            required.for_each(|required| {
                required.find_outdated(claims, now, &mut |key| found |= sources.contains_key(key));
            });
        }
        found
    }

    /// Fetches what the session lacks or has too old. Returns its row after that; `None` if there is no such session.
    ///
    /// The store may be ahead of the token. What another request sets after `now` is newer than what is fetched here, and
    /// stays.
    pub(crate) async fn renew_claims(
        &self,
        accepted: &Accepted,
        required: &[&Requirement],
        now: Timestamp,
    ) -> Result<Option<Row>, SessionError> {
        let handle = accepted.claims.handle;
        let Some(row) = self.live_row(handle).await? else { return Ok(None) };
        let claims = read_claims(&row)?;
        let keys = self.outdated(required, &claims, now);
        let fetched = try_join_all(keys.iter().map(|key| self.fetch_claim(accepted, key))).await?;
        let merged = |mut claims: ClaimSet| {
            for change in &fetched {
                if claims.dated(change.key()).is_none_or(|(_, set)| set < now) {
                    change.clone().carry_out(&mut claims, now);
                }
            }
            claims
        };
        if merged(claims.clone()) == claims {
            return Ok(Some(row));
        }
        self.change(handle, &mut |row| self.new_claims(row, &merged(read_claims(row)?))).await
    }

    fn outdated(
        &self,
        required: &[&Requirement],
        claims: &ClaimSet,
        now: Timestamp,
    ) -> BTreeSet<&'static str> {
        let mut keys = BTreeSet::new();
        for required in required {
            required.find_outdated(claims, now, &mut |key| {
                keys.insert(key);
            });
        }
        keys.retain(|key| self.config.claim_sources.contains_key(key));
        keys
    }

    async fn fetch_claim(&self, accepted: &Accepted, key: &'static str) -> Result<ClaimChange, SessionError> {
        let claims = &accepted.claims;
        let request = ClaimRequest {
            user_id: (&*claims.user).into(),
            tenant: (&*claims.tenant).into(),
            session_handle: claims.handle,
        };
        let limit = self.config.store_timeout;
        let answer = match timeout(limit, self.config.claim_sources[key].fetch(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {limit:?}").into()),
        };
        match answer {
            Ok(Some(value)) => Ok(ClaimChange::Set(key, value)),
            Ok(None) => Ok(ClaimChange::Remove(key)),
            Err(error) => {
                tracing::error!(claim = key, %error, "a claim could not be fetched");
                Err(SessionError::ClaimUnavailable { claim: key, source: error.into() })
            }
        }
    }
}
