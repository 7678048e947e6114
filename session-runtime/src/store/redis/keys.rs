//! What the keys are called, and which of them lie together.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::digest;

use crate::{error::StoreError, handle::SessionHandle};

/// Keys that share a hash tag, and with it a slot of the cluster: what one script may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition(u8);

impl Partition {
    /// The one with the feed.
    pub(super) const FEED: Self = Self(0);
}

/// The names of all keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Arc<str>,
    partitions: u8,
}

impl Keys {
    /// How many partitions a cluster's sessions are spread over. A number for ever: another one would look elsewhere.
    const OF_A_CLUSTER: u8 = 64;

    pub(super) fn new(prefix: &str, is_cluster: bool) -> Result<Self, StoreError> {
        if prefix.is_empty() || prefix.len() > 64 || prefix.contains(['{', '}']) {
            return Err(StoreError::new(format!(
                "the key prefix {prefix:?} can't be used: it must have 1 to 64 bytes and no braces"
            )));
        }
        let partitions = if is_cluster { Self::OF_A_CLUSTER } else { 1 };
        Ok(Self { prefix: prefix.into(), partitions })
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    /// Where the session's row is. The handle is all that a refresh token tells, and it is random.
    pub(super) fn of_handle(&self, handle: SessionHandle) -> Partition {
        Partition(handle.as_bytes()[15] % self.partitions)
    }

    /// Where the list of the user's sessions is.
    pub(super) fn of_user(&self, user: &str) -> Partition {
        Partition(digest::digest(&digest::SHA256, user.as_bytes()).as_ref()[0] % self.partitions)
    }

    /// The session's row, or a marker in its place.
    pub(super) fn row(&self, handle: SessionHandle) -> String {
        let mut key = self.rows(self.of_handle(handle));
        // Writing to a string can't fail.
        let _ = write!(key, "{handle}");
        key
    }

    /// What the keys of a partition's rows begin with.
    pub(super) fn rows(&self, partition: Partition) -> String {
        self.key(partition, "row:")
    }

    /// When which row is to be looked at by the purge.
    pub(super) fn due(&self, partition: Partition) -> String {
        self.key(partition, "due")
    }

    /// What was begun in this partition and has to be finished in another.
    pub(super) fn errands(&self, partition: Partition) -> String {
        self.key(partition, "errands")
    }

    /// That the write of this number was done.
    pub(super) fn note(&self, partition: Partition, id: [u8; 16]) -> String {
        self.key(partition, &format!("note:{:032x}", u128::from_be_bytes(id)))
    }

    /// The user's sessions, in the order in which they were made.
    pub(super) fn user(&self, user: &str) -> String {
        self.key(self.of_user(user), "user:") + user
    }

    /// No session of the user that is made now is as old as this.
    pub(super) fn mark(&self, user: &str) -> String {
        self.key(self.of_user(user), "mark:") + user
    }

    /// The ends of sessions.
    pub(super) fn feed(&self) -> String {
        self.key(Partition::FEED, "feed")
    }

    /// The feed, where it lies in this partition.
    pub(super) fn feed_in(&self, partition: Partition) -> Option<String> {
        (partition == Partition::FEED).then(|| self.feed())
    }

    /// Who looks after abandoned errands at present.
    pub(super) fn tending(&self) -> String {
        self.key(Partition::FEED, "tending")
    }

    fn key(&self, partition: Partition, name: &str) -> String {
        match self.partitions {
            1 => format!("{{{}}}:{name}", self.prefix),
            _ => format!("{{{}:{}}}:{name}", self.prefix, partition.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_keys_of_a_single_server_lie_together() {
        let keys = Keys::new("app", false).unwrap();
        let handle = SessionHandle::from_bytes([0xab; 16]);
        assert_eq!(keys.row(handle), format!("{{app}}:row:{handle}"));
        assert_eq!(keys.user("alice"), "{app}:user:alice");
        assert_eq!(keys.feed_in(keys.of_handle(handle)), Some("{app}:feed".to_owned()));
    }

    #[test]
    fn a_clusters_sessions_and_users_are_spread() {
        let keys = Keys::new("app", true).unwrap();
        let handles: BTreeSet<_> =
            (0..=255).map(|byte| keys.of_handle(SessionHandle::from_bytes([byte; 16]))).collect();
        let users: BTreeSet<_> = (0..2000).map(|number| keys.of_user(&number.to_string())).collect();
        assert_eq!((handles.len(), users.len()), (64, 64));
        let row = keys.row(SessionHandle::from_bytes([65; 16]));
        assert!(row.starts_with("{app:1}:row:4141"), "{row}");
    }

    #[test]
    fn a_prefix_that_would_break_the_hash_tag_is_refused() {
        for prefix in ["", "a{b", "a}b", &"x".repeat(65)] {
            assert!(Keys::new(prefix, true).is_err(), "{prefix:?}");
        }
    }
}
