//! Accounts and their tokens in the database.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tracing::warn;
use uuid::Uuid;

use super::{
    Token, TokenScope, Viewer,
    jwt::{Claims, IdentityProvider},
    token,
};
use crate::{
    append,
    db::{Db, Dialect, Row, Time, nfc, text, with},
    error::{Code, Error, Result},
    statement,
};

/// Lifetime of cached authentications, after which a token that was revoked on another node is rejected.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Maximum number of cached authentications.
const CACHE_ENTRIES_MAX: usize = 10_000;

/// Resolution of the stored time of last use, in microseconds.
const LAST_USE_RESOLUTION_US: i64 = 60_000_000;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: Uuid,
    /// The unique name.
    pub name: String,
    /// Time of creation.
    pub created_at: Time,
}

/// A token as stored, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The id, which `revoke` takes.
    pub id: Uuid,
    /// The name of its account.
    pub user: String,
    /// The scope.
    pub scope: TokenScope,
    /// Time of creation.
    pub created_at: Time,
    /// Time of expiry; `None` for never.
    pub expires_at: Option<Time>,
    /// Time of last use, to the minute.
    pub last_used_at: Option<Time>,
    /// Time of revocation.
    pub revoked_at: Option<Time>,
}

impl TokenRow {
    /// `valid`, `expired` or `revoked`.
    pub fn state(&self, now: Time) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            (None, _) => "valid",
        }
    }
}

/// The result of looking up a token.
#[derive(Clone, Copy)]
struct Authentication {
    /// `None` for an invalid token.
    viewer: Option<Viewer>,
    expires_at: Option<Time>,
    checked_at: Instant,
}

/// Accounts and the authentication of requests. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    /// Recent authentications by the hash of the token.
    cache: Arc<Cache<String, Authentication>>,
    /// Whether an account exists. Accounts are never deleted, so this never changes back.
    exist: Arc<AtomicBool>,
    /// Time of the last query for accounts that found none.
    checked_at: Arc<std::sync::Mutex<Option<Instant>>>,
    identity_provider: Option<Arc<IdentityProvider>>,
}

impl Accounts {
    /// The accounts of a database.
    pub fn new(db: &Db) -> Self {
        Self {
            db: db.primary(),
            cache: Arc::new(Cache::new(CACHE_ENTRIES_MAX)),
            exist: Arc::default(),
            checked_at: Arc::default(),
            identity_provider: None,
        }
    }

    /// Also accepts tokens of an identity provider.
    #[must_use]
    pub fn with_identity_provider(self, provider: Option<IdentityProvider>) -> Self {
        Self { identity_provider: provider.map(Arc::new), ..self }
    }

    /// The viewer of a request with this token, or without one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for an invalid token, or the error of the database.
    pub async fn viewer(&self, token: Option<&str>) -> Result<Viewer> {
        match token {
            Some(token) => self.viewer_of(token).await,
            None if self.any().await? => Ok(Viewer::ANONYMOUS),
            None => Ok(Viewer::LOCAL),
        }
    }

    /// Whether the token was valid when it was last looked up, however long ago.
    pub fn is_known(&self, token: &str) -> bool {
        self.cache.peek(&token::digest(token)).is_some_and(|cached| cached.viewer.is_some())
    }

    /// Whether requests need a token: an account exists, or an identity provider may create one at any time. Queries the
    /// database at most once a second, until an account exists.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn any(&self) -> Result<bool> {
        if self.identity_provider.is_some() || self.exist.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if self.checked_at().is_some_and(|checked_at| checked_at.elapsed() < CACHE_TTL) {
            return Ok(false);
        }
        let sql = statement!(self.db, "select count(*) from (select 1 from users limit 1) u");
        let exist = self.db.fetch::<i64>("users.any", sql).await?.first() == Some(&1);
        self.exist.store(exist, Ordering::Relaxed);
        *self.checked_at() = Some(Instant::now());
        Ok(exist)
    }

    fn checked_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.checked_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn viewer_of(&self, token: &str) -> Result<Viewer> {
        let denied = || Error::new(Code::Unauthenticated, "the token is invalid, expired or revoked");
        let provider = self.identity_provider.as_ref().filter(|_| !token.starts_with(token::PREFIX));
        let hash = match provider {
            Some(_) => token::digest(token),
            None => Token::parse(token).ok_or_else(denied)?.hash(),
        };
        let cached = self.cache.get(&hash).filter(|cached| cached.checked_at.elapsed() < CACHE_TTL);
        let authentication = match cached {
            Some(authentication) => authentication,
            None => {
                let authentication = match provider {
                    Some(provider) => self.authenticate_jwt(provider, token).await?,
                    None => self.authenticate(&hash).await?,
                };
                self.cache.insert(hash, authentication);
                authentication
            }
        };
        let is_expired = authentication.expires_at.is_some_and(|end| end <= Time::now());
        authentication.viewer.filter(|_| !is_expired).ok_or_else(denied)
    }

    async fn authenticate_jwt(&self, provider: &IdentityProvider, token: &str) -> Result<Authentication> {
        let checked_at = Instant::now();
        let Some(claims) = provider.verify(token).await else {
            return Ok(Authentication { viewer: None, expires_at: None, checked_at });
        };
        let viewer = Viewer::of(self.account_of(&claims).await?, claims.scope);
        Ok(Authentication { viewer: Some(viewer), expires_at: Some(claims.expires_at), checked_at })
    }

    /// The account of a subject of the identity provider, which is created on first use.
    async fn account_of(&self, claims: &Claims) -> Result<Uuid> {
        // The first query finds existing accounts. Names are unique, so a taken name falls back to longer ones.
        let distinct = format!("{} ({})", claims.name, &token::digest(&claims.subject)[..8]);
        let unique = format!("account {}", Uuid::now_v7().simple());
        for name in [None, Some(claims.name.as_str()), Some(distinct.as_str()), Some(unique.as_str())] {
            if let Some(name) = name {
                let mut tx = self.db.begin().await?;
                let sql = statement!(
                    tx,
                    "insert into users (id, name, issuer, subject, created_at, updated_at)
                     values ({id}, {name}, {issuer}, {subject}, {now}, {now})
                     on conflict do nothing",
                    id = Uuid::now_v7(),
                    name,
                    issuer = &claims.issuer,
                    subject = &claims.subject,
                    now = Time::now(),
                );
                tx.execute("users.insert", sql).await?;
                tx.commit().await?;
            }
            let sql = statement!(
                self.db,
                "select u.id from users u where u.subject = {subject} and u.issuer = {issuer}",
                subject = &claims.subject,
                issuer = &claims.issuer,
            );
            if let Some(id) = self.db.fetch::<Uuid>("users.find", sql).await?.into_iter().next() {
                return Ok(id);
            }
        }
        Err(Error::internal("the account of a subject of the identity provider was not created"))
    }

    async fn authenticate(&self, hash: &str) -> Result<Authentication> {
        let sql = statement!(
            self.db,
            "select t.id, t.user_id, t.scope, t.expires_at, t.last_used_at
             from tokens t
             where t.hash = {hash} and t.revoked_at is null",
            hash,
        );
        let read = |row: &mut Row<'_>| {
            let id: Uuid = row.next()?;
            let user: Uuid = row.next()?;
            let scope: String = row.next()?;
            Ok((id, user, scope, row.next_or_null::<Time>()?, row.next_or_null::<Time>()?))
        };
        let found = self.db.fetch_with("tokens.find", sql, read).await?.into_iter().next();
        let checked_at = Instant::now();
        let Some((id, user, scope, expires_at, last_used_at)) = found else {
            return Ok(Authentication { viewer: None, expires_at: None, checked_at });
        };
        self.record_use(id, last_used_at);
        let scope = scope.parse().map_err(|_| Error::internal(anyhow::anyhow!("unknown scope `{scope}`")))?;
        Ok(Authentication { viewer: Some(Viewer::of(user, scope)), expires_at, checked_at })
    }

    /// Stores the time of use in the background, at most once a minute.
    fn record_use(&self, id: Uuid, last_used_at: Option<Time>) {
        let now = Time::now();
        if last_used_at.is_some_and(|last| now.0 - last.0 < LAST_USE_RESOLUTION_US) {
            return;
        }
        let db = self.db.clone();
        tokio::spawn(async move {
            let write = async {
                let mut tx = db.begin().await?;
                let sql = statement!(tx, "update tokens set last_used_at = {now} where id = {id}", now, id);
                tx.execute("tokens.use", sql).await?;
                tx.commit().await
            };
            if let Err(error) = write.await {
                warn!(cause = error.source_chain(), "cannot store the last use of a token");
            }
        });
    }

    /// Creates an account. The first account becomes the owner of all objects without one, and from then on requests need a
    /// token to access objects that are not public.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid name, `CONFLICT` for a name that is taken.
    pub async fn add(&self, name: &str) -> Result<User> {
        const NAME_MAX: usize = 255;
        let name = &*nfc(name.trim());
        if name.is_empty() || name.chars().count() > NAME_MAX || name.contains('\0') {
            return Err(Error::bad_user_input(format!("the name of an account must have 1 to {NAME_MAX} characters")));
        }
        let user = User { id: Uuid::now_v7(), name: name.to_owned(), created_at: Time::now() };
        let mut tx = self.db.begin().await?;
        let sql = statement!(
            tx,
            "insert into users (id, name, created_at, updated_at)
             values ({id}, {name}, {now}, {now})
             on conflict (name) do nothing",
            id = user.id,
            name,
            now = user.created_at,
        );
        if tx.execute("users.insert", sql).await? == 0 {
            return Err(Error::new(Code::Conflict, format!("account `{name}` exists already")));
        }
        // Accounts of an identity provider do not become owners, and do not count as the first account.
        let sql = statement!(tx, "select count(*) from (select 1 from users where subject is null limit 2) u");
        if tx.fetch::<i64>("users.count", sql).await?.first() == Some(&1) {
            for table in ["artifacts", "collections"] {
                let sql = statement!(
                    tx,
                    "update {table} set owner_id = {owner} where owner_id is null {exempt: the rows have no owner}",
                    table = text(table),
                    owner = user.id,
                );
                tx.execute("users.set_owner", sql).await?;
            }
            if tx.dialect() == Dialect::Postgres {
                // Until autovacuum does so, the planner would assume that no row has an owner.
                tx.execute("users.analyze", statement!(tx, "analyze artifacts, collections")).await?;
            }
        }
        tx.commit().await?;
        Ok(user)
    }

    /// All accounts, sorted by name.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn users(&self) -> Result<Vec<User>> {
        let sql = statement!(self.db, "select u.id, u.name, u.created_at from users u order by u.name");
        let read = |row: &mut Row<'_>| Ok(User { id: row.next()?, name: row.next()?, created_at: row.next()? });
        self.db.fetch_with("users.all", sql, read).await
    }

    /// The owner of imported objects: the account with this name, or the only account. `None` without accounts.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown name, `BAD_USER_INPUT` without a name if there are several accounts.
    pub async fn owner(&self, name: Option<&str>) -> Result<Option<Uuid>> {
        let name = name.map(nfc);
        let name = name.as_deref();
        let sql = statement!(
            self.db,
            "select u.id from users u where true {has_name} limit 2",
            has_name = with(&|sql| {
                if let Some(name) = name {
                    append!(sql, " and u.name = {name}", name);
                }
            }),
        );
        match (name, self.db.fetch::<Uuid>("users.owner", sql).await?.as_slice()) {
            (Some(name), []) => Err(Error::new(
                Code::NotFound,
                format!("account `{name}` does not exist: create it with `gatherum user add`"),
            )),
            (_, []) => Ok(None),
            (_, [only]) => Ok(Some(*only)),
            (_, _) => Err(Error::bad_user_input("there are several accounts: choose the owner with --owner")),
        }
    }

    /// Creates a token for an account. Returns the stored row and the token, which cannot be read again.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown account, `BAD_USER_INPUT` for an expiry in the past.
    pub async fn create_token(
        &self,
        user: &str,
        scope: TokenScope,
        expires_at: Option<Time>,
    ) -> Result<(TokenRow, Token)> {
        let user = &*nfc(user);
        let token = Token::generate().map_err(Error::internal)?;
        let now = Time::now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Error::bad_user_input("the time of expiry is in the past"));
        }
        let id = Uuid::now_v7();
        let mut tx = self.db.begin().await?;
        let sql = statement!(
            tx,
            "insert into tokens (id, user_id, hash, scope, created_at, expires_at)
             select {id}, u.id, {hash}, {scope}, {now}, {expires_at}
             from users u
             where u.name = {user}",
            id,
            hash = token.hash(),
            scope = scope.as_str(),
            now,
            expires_at,
            user,
        );
        if tx.execute("tokens.insert", sql).await? == 0 {
            return Err(Error::new(
                Code::NotFound,
                format!("account `{user}` does not exist: create it with `gatherum user add`"),
            ));
        }
        tx.commit().await?;
        let user = user.to_owned();
        let row = TokenRow { id, user, scope, created_at: now, expires_at, last_used_at: None, revoked_at: None };
        Ok((row, token))
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>> {
        let sql = statement!(
            self.db,
            "select t.id, u.name, t.scope, t.created_at, t.expires_at, t.last_used_at, t.revoked_at
             from tokens t
             join users u on u.id = t.user_id
             order by t.id",
        );
        let read = |row: &mut Row<'_>| {
            let (id, user): (Uuid, String) = (row.next()?, row.next()?);
            let scope: TokenScope =
                row.next::<String>()?.parse().map_err(|wrong: String| sqlx::Error::Decode(wrong.into()))?;
            let created_at = row.next()?;
            let (expires_at, last_used_at, revoked_at) =
                (row.next_or_null()?, row.next_or_null()?, row.next_or_null()?);
            Ok(TokenRow { id, user, scope, created_at, expires_at, last_used_at, revoked_at })
        };
        self.db.fetch_with("tokens.all", sql, read).await
    }

    /// Revokes a token: immediately on this node, within a second on others. Returns false if the token does not exist or was
    /// revoked before.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn revoke(&self, id: Uuid) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let sql = statement!(
            tx,
            "update tokens set revoked_at = {now} where id = {id} and revoked_at is null",
            now = Time::now(),
            id,
        );
        let is_revoked = tx.execute("tokens.revoke", sql).await? > 0;
        tx.commit().await?;
        self.cache.clear();
        Ok(is_revoked)
    }
}
