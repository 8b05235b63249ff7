//! Who asks, and what they may do.
//!
//! Without accounts, everything is the local user's. Once there is one, a request shows whose it is by a token.
mod accounts;
mod config;
mod jwt;
mod token;

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::db::AccessScope;

pub use accounts::{Accounts, TokenRow, User};
pub use config::{Algorithm, Config};
pub use jwt::Issuer;
pub use token::{LinkToken, Token};

/// What a token is good for; each scope has all that the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenScope {
    /// Queries and subscriptions.
    Read,
    /// Mutations too.
    Write,
    /// Everyone's, not only what its user may do.
    Admin,
}

impl TokenScope {
    /// All of them.
    pub const ALL: [TokenScope; 3] = [TokenScope::Read, TokenScope::Write, TokenScope::Admin];

    /// The word for it in commands and in the database.
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
        found.ok_or_else(|| format!("`{text}` is no scope: it is read, write or admin"))
    }
}

/// On whose behalf a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The account; none is the local user of a server without accounts, or who has no token.
    pub user: Option<Uuid>,
    /// What may be done; nothing but reading what is public where it is none.
    pub scope: Option<TokenScope>,
}

/// Who is not told apart is the local user: what reads requests from clients sets it.
impl Default for Viewer {
    fn default() -> Self {
        Self::LOCAL
    }
}

impl Viewer {
    /// The user of a server without accounts, whose everything is.
    pub const LOCAL: Self = Self { user: None, scope: Some(TokenScope::Admin) };

    /// Who has no token on a server with accounts.
    pub const ANONYMOUS: Self = Self { user: None, scope: None };

    /// The account with what one of its tokens is good for.
    pub fn of(user: Uuid, scope: TokenScope) -> Self {
        Self { user: Some(user), scope: Some(scope) }
    }

    /// Whether mutations may be executed.
    pub fn may_write(self) -> bool {
        self.scope >= Some(TokenScope::Write)
    }

    /// Whether everyone's may be seen and changed.
    pub fn is_admin(self) -> bool {
        self.scope == Some(TokenScope::Admin)
    }

    /// Whose eyes the statements of the request read with.
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
    fn a_scope_has_what_those_before_it_have() {
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
