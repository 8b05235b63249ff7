//! Authentication and authorization: accounts, tokens and viewers.
//!
//! A server without accounts treats every request as coming from the local user, who may do everything. Once an account
//! exists, requests authenticate with a token.
mod accounts;
mod config;
mod jwt;
mod token;

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::db::AccessScope;

pub use accounts::{Accounts, TokenRow, User};
pub use config::{Algorithm, Config};
pub use jwt::IdentityProvider;
pub use token::{LinkToken, Token};

/// The operations that a token permits. Each scope includes the scopes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenScope {
    /// Queries and subscriptions.
    Read,
    /// Also mutations.
    Write,
    /// Also objects of all accounts.
    Admin,
}

impl TokenScope {
    /// All scopes.
    pub const ALL: [TokenScope; 3] = [TokenScope::Read, TokenScope::Write, TokenScope::Admin];

    /// The name in commands and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for TokenScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a scope: use read, write or admin"))
    }
}

/// The identity on whose behalf a request is executed. Defaults to the local user; the HTTP layer overrides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The account. `None` for the local user and for anonymous viewers.
    pub user: Option<Uuid>,
    /// The scope. `None` for anonymous viewers, who may read public objects only.
    pub scope: Option<TokenScope>,
}

impl Default for Viewer {
    fn default() -> Self {
        Self::LOCAL
    }
}

impl Viewer {
    /// The user of a server without accounts, who may do everything.
    pub const LOCAL: Self = Self { user: None, scope: Some(TokenScope::Admin) };

    /// A viewer without a token on a server with accounts.
    pub const ANONYMOUS: Self = Self { user: None, scope: None };

    /// An account with the scope of one of its tokens.
    pub fn of(user: Uuid, scope: TokenScope) -> Self {
        Self { user: Some(user), scope: Some(scope) }
    }

    /// Whether the viewer may execute mutations.
    pub fn may_write(self) -> bool {
        self.scope >= Some(TokenScope::Write)
    }

    /// Whether the viewer may read and change objects of all accounts.
    pub fn is_admin(self) -> bool {
        self.scope == Some(TokenScope::Admin)
    }

    /// The rows that statements of the request may read.
    pub fn access_scope(self) -> AccessScope {
        match self.user {
            _ if self.is_admin() => AccessScope::Unrestricted,
            Some(user) => AccessScope::User(user),
            None => AccessScope::Anonymous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_the_scopes_before_it() {
        let viewer = |scope| Viewer::of(Uuid::nil(), scope);
        assert_eq!(TokenScope::ALL.map(|scope| viewer(scope).may_write()), [false, true, true]);
        let own = AccessScope::User(Uuid::nil());
        assert_eq!(TokenScope::ALL.map(|scope| viewer(scope).access_scope()), [own, own, AccessScope::Unrestricted]);
        assert_eq!((Viewer::ANONYMOUS.may_write(), Viewer::ANONYMOUS.access_scope()), (false, AccessScope::Anonymous));
        assert_eq!((Viewer::LOCAL.may_write(), Viewer::LOCAL.access_scope()), (true, AccessScope::Unrestricted));
        for scope in TokenScope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("owner".parse::<TokenScope>().is_err());
    }
}
