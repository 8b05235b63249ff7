//! Who asks, and what they may do.
//!
//! Without accounts, everything is the local user's. Once there is one, a request shows whose it is by a token.
mod accounts;
mod config;
mod jwt;
mod token;

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::db::Sight;

pub use accounts::{Accounts, TokenRow, User};
pub use config::{Algorithm, Config};
pub use jwt::Issuer;
pub use token::{LinkToken, Token};

/// What a token is good for; each scope has all that the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Queries and subscriptions.
    Read,
    /// Mutations too.
    Write,
    /// Everyone's, not only what its user may do.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    /// The word for it in commands and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Scope {
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
    pub scope: Option<Scope>,
}

/// Who is not told apart is the local user: what reads requests from clients sets it.
impl Default for Viewer {
    fn default() -> Self {
        Self::LOCAL
    }
}

impl Viewer {
    /// The user of a server without accounts, whose everything is.
    pub const LOCAL: Self = Self { user: None, scope: Some(Scope::Admin) };

    /// Who has no token on a server with accounts.
    pub const ANONYMOUS: Self = Self { user: None, scope: None };

    /// The account with what one of its tokens is good for.
    pub fn of(user: Uuid, scope: Scope) -> Self {
        Self { user: Some(user), scope: Some(scope) }
    }

    /// Whether mutations may be executed.
    pub fn may_write(self) -> bool {
        self.scope >= Some(Scope::Write)
    }

    /// Whether everyone's may be seen and changed.
    pub fn is_admin(self) -> bool {
        self.scope == Some(Scope::Admin)
    }

    /// Whose eyes the statements of the request read with.
    pub fn sight(self) -> Sight {
        match self.user {
            _ if self.is_admin() => Sight::All,
            Some(user) => Sight::User(user),
            None => Sight::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_what_those_before_it_have() {
        let viewer = |scope| Viewer::of(Uuid::nil(), scope);
        assert_eq!(Scope::ALL.map(|scope| viewer(scope).may_write()), [false, true, true]);
        let own = Sight::User(Uuid::nil());
        assert_eq!(Scope::ALL.map(|scope| viewer(scope).sight()), [own, own, Sight::All]);
        assert_eq!((Viewer::ANONYMOUS.may_write(), Viewer::ANONYMOUS.sight()), (false, Sight::Public));
        assert_eq!((Viewer::LOCAL.may_write(), Viewer::LOCAL.sight()), (true, Sight::All));
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("owner".parse::<Scope>().is_err());
    }
}
