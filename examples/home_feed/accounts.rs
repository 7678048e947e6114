//! The demo's accounts, where an application has its database.

use std::collections::HashMap;
use std::sync::Arc;

/// Who may log in, with what password.
#[derive(Clone)]
pub(crate) struct Accounts(Arc<HashMap<&'static str, Account>>);

/// A user of the demo.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) id: &'static str,
    pub(crate) roles: &'static [&'static str],
    password: &'static str,
}

impl Accounts {
    /// `alice`, a user, and `bob`, an admin; both with the password `demo`.
    pub(crate) fn demo() -> Self {
        let account = |id, roles| (id, Account { id, roles, password: "demo" });
        Self(Arc::new(HashMap::from([account("alice", &["user"]), account("bob", &["user", "admin"])])))
    }

    /// The account, if the password is right. A real application compares password hashes here, with argon2 or the like.
    pub(crate) fn check(&self, user: &str, password: &str) -> Option<Account> {
        self.0.get(user).copied().filter(|account| account.password == password)
    }
}
