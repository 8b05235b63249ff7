//! Accounts and their tokens, as the database has them.
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
    jwt::{Claims, Issuer},
    token,
};
use crate::{
    db::{Arg, Db, Dialect, Row, Time},
    error::{Code, Error, Result},
};

/// How long what was found of a token holds: one that is revoked elsewhere is good for no longer.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Tokens of which is remembered what was found.
const KNOWN_MAX: usize = 10_000;

/// How precisely the last use of a token is kept, in microseconds.
const LAST_USE_STEP_US: i64 = 60_000_000;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: Uuid,
    /// The name, of which there is one.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The id, by which it is revoked.
    pub id: Uuid,
    /// The name of its account.
    pub user: String,
    /// What it is good for.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: Time,
    /// When it ends; none is never.
    pub expires_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
    /// When it was revoked.
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

/// What was found of a token.
#[derive(Clone, Copy)]
struct Known {
    viewer: Option<Viewer>,
    expires_at: Option<Time>,
    found: Instant,
}

/// Accounts, and who asks by which token. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    known: Arc<Cache<String, Known>>,
    /// Whether there is an account. None is ever deleted.
    exist: Arc<AtomicBool>,
    /// When it was last asked whether there is one.
    asked: Arc<std::sync::Mutex<Option<Instant>>>,
    /// Who issues tokens besides.
    issuer: Option<Arc<Issuer>>,
}

impl Accounts {
    /// The accounts of a database.
    pub fn new(db: &Db) -> Self {
        Self {
            db: db.primary(),
            known: Arc::new(Cache::new(KNOWN_MAX)),
            exist: Arc::default(),
            asked: Arc::default(),
            issuer: None,
        }
    }

    /// The accounts, where an identity provider vouches for some.
    #[must_use]
    pub fn with_issuer(self, issuer: Option<Issuer>) -> Self {
        Self { issuer: issuer.map(Arc::new), ..self }
    }

    /// Who sends a request with this token, or without one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a token that is not valid; that of the database.
    pub async fn viewer(&self, token: Option<&str>) -> Result<Viewer> {
        match token {
            Some(token) => self.viewer_of(token).await,
            None if self.any().await? => Ok(Viewer::ANONYMOUS),
            None => Ok(Viewer::LOCAL),
        }
    }

    /// Whether the token was found to be valid, however long ago.
    pub fn is_known(&self, token: &str) -> bool {
        self.known.peek(&token::digest(token)).is_some_and(|known| known.viewer.is_some())
    }

    /// Whether there is an account, or may be at any time by the word of an identity provider. Asks the database once a
    /// second until there is.
    ///
    /// # Errors
    /// That of the database.
    pub async fn any(&self) -> Result<bool> {
        if self.issuer.is_some() || self.exist.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if self.asked().is_some_and(|asked| asked.elapsed() < KNOWN_FOR) {
            return Ok(false);
        }
        let mut sql = self.db.sql();
        sql.push("select count(*) from (select 1 from users limit 1) u");
        let exist = self.db.fetch::<i64>("users.any", sql).await?.first() == Some(&1);
        self.exist.store(exist, Ordering::Relaxed);
        *self.asked() = Some(Instant::now());
        Ok(exist)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn viewer_of(&self, token: &str) -> Result<Viewer> {
        let denied =
            || Error::new(Code::Unauthenticated, "the token is not valid: it may have expired or been revoked");
        let issuer = self.issuer.as_ref().filter(|_| !token.starts_with(token::PREFIX));
        let hash = match issuer {
            Some(_) => token::digest(token),
            None => Token::parse(token).ok_or_else(denied)?.hash(),
        };
        let known = match self.known.get(&hash).filter(|known| known.found.elapsed() < KNOWN_FOR) {
            Some(known) => known,
            None => {
                let known = match issuer {
                    Some(issuer) => self.ask_issuer(issuer, token).await?,
                    None => self.look_up(&hash).await?,
                };
                self.known.insert(hash, known);
                known
            }
        };
        let has_ended = known.expires_at.is_some_and(|end| end <= Time::now());
        known.viewer.filter(|_| !has_ended).ok_or_else(denied)
    }

    async fn ask_issuer(&self, issuer: &Issuer, token: &str) -> Result<Known> {
        let found = Instant::now();
        let Some(claims) = issuer.check(token).await else {
            return Ok(Known { viewer: None, expires_at: None, found });
        };
        let viewer = Viewer::of(self.account_of(&claims).await?, claims.scope);
        Ok(Known { viewer: Some(viewer), expires_at: Some(claims.expires_at), found })
    }

    /// The account that an identity provider vouches for; it is made when it is first seen.
    async fn account_of(&self, claims: &Claims) -> Result<Uuid> {
        let text = |text: &str| Arg::Text(Some(text.to_owned()));
        // Another account may have the name.
        let distinct = format!("{} ({})", claims.name, &token::digest(&claims.subject)[..8]);
        let unique = format!("account {}", Uuid::now_v7().simple());
        for name in [None, Some(claims.name.as_str()), Some(distinct.as_str()), Some(unique.as_str())] {
            if let Some(name) = name {
                let mut tx = self.db.begin().await?;
                let (mut sql, now) = (tx.sql(), Time::now());
                sql.push("insert into users (id, name, issuer, subject, created_at, updated_at) values (");
                sql.bind(Arg::Id(Uuid::now_v7())).push(", ").bind(text(name)).push(", ").bind(text(&claims.issuer));
                sql.push(", ").bind(text(&claims.subject)).push(", ").bind(Arg::Time(now)).push(", ");
                sql.bind(Arg::Time(now)).push(") on conflict do nothing");
                tx.execute("users.insert", sql).await?;
                tx.commit().await?;
            }
            let mut sql = self.db.sql();
            sql.push("select u.id from users u where u.subject = ").bind(text(&claims.subject));
            sql.push(" and u.issuer = ").bind(text(&claims.issuer));
            if let Some(id) = self.db.fetch::<Uuid>("users.find", sql).await?.into_iter().next() {
                return Ok(id);
            }
        }
        Err(Error::internal("an account that an issuer vouches for was not made"))
    }

    async fn look_up(&self, hash: &str) -> Result<Known> {
        let mut sql = self.db.sql();
        sql.push("select t.id, t.user_id, t.scope, t.expires_at, t.last_used_at from tokens t where t.hash = ");
        sql.bind(Arg::Text(Some(hash.to_owned()))).push(" and t.revoked_at is null");
        let read = |row: &mut Row<'_>| {
            let id: Uuid = row.next()?;
            let user: Uuid = row.next()?;
            let scope: String = row.next()?;
            Ok((id, user, scope, row.next_or_null::<Time>()?, row.next_or_null::<Time>()?))
        };
        let found = self.db.fetch_with("tokens.find", sql, read).await?.into_iter().next();
        let known = match found {
            None => Known { viewer: None, expires_at: None, found: Instant::now() },
            Some((id, user, scope, expires_at, last_used_at)) => {
                self.note_use(id, last_used_at);
                let scope =
                    scope.parse().map_err(|_| Error::internal(anyhow::anyhow!("a scope of another release")))?;
                Known { viewer: Some(Viewer::of(user, scope)), expires_at, found: Instant::now() }
            }
        };
        Ok(known)
    }

    /// Keeps that a token was used, beside the request, once a minute at most.
    fn note_use(&self, id: Uuid, last_used_at: Option<Time>) {
        let now = Time::now();
        if last_used_at.is_some_and(|last| now.0 - last.0 < LAST_USE_STEP_US) {
            return;
        }
        let db = self.db.clone();
        tokio::spawn(async move {
            let write = async {
                let mut tx = db.begin().await?;
                let mut sql = tx.sql();
                sql.push("update tokens set last_used_at = ")
                    .bind(Arg::Time(now))
                    .push(" where id = ")
                    .bind(Arg::Id(id));
                tx.execute("tokens.use", sql).await?;
                tx.commit().await
            };
            if let Err(error) = write.await {
                warn!(cause = error.source_chain(), "the last use of a token was not kept");
            }
        });
    }

    /// Makes an account. From the first one on, requests need a token for what is not public, and what has no owner yet is
    /// the first one's.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a name that is none, `CONFLICT` where there is an account of this name.
    pub async fn add(&self, name: &str) -> Result<User> {
        const NAME_MAX: usize = 255;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX || name.contains('\0') {
            return Err(Error::bad_user_input(format!("a name has 1 to {NAME_MAX} characters")));
        }
        let user = User { id: Uuid::now_v7(), name: name.to_owned(), created_at: Time::now() };
        let mut tx = self.db.begin().await?;
        let mut sql = tx.sql();
        sql.push("insert into users (id, name, created_at, updated_at) values (").bind(Arg::Id(user.id)).push(", ");
        sql.bind(Arg::Text(Some(user.name.clone()))).push(", ").bind(Arg::Time(user.created_at)).push(", ");
        sql.bind(Arg::Time(user.created_at)).push(") on conflict (name) do nothing");
        if tx.execute("users.insert", sql).await? == 0 {
            return Err(Error::new(Code::Conflict, format!("there is an account `{name}` already")));
        }
        let mut sql = tx.sql();
        // Those that an identity provider vouches for take nothing over, and do not count.
        sql.push("select count(*) from (select 1 from users where subject is null limit 2) u");
        if tx.fetch::<i64>("users.count", sql).await?.first() == Some(&1) {
            for table in ["update artifacts set owner_id = ", "update collections set owner_id = "] {
                let mut sql = tx.sql();
                sql.push(table).bind(Arg::Id(user.id)).push(" where owner_id is null");
                tx.execute("users.take_over", sql).await?;
            }
            if tx.dialect() == Dialect::Postgres {
                // Until its daemon comes by, plans would be made for nobody owning anything.
                let mut sql = tx.sql();
                sql.push("analyze artifacts, collections");
                tx.execute("users.analyze", sql).await?;
            }
        }
        tx.commit().await?;
        Ok(user)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// That of the database.
    pub async fn users(&self) -> Result<Vec<User>> {
        let mut sql = self.db.sql();
        sql.push("select u.id, u.name, u.created_at from users u order by u.name");
        let read = |row: &mut Row<'_>| Ok(User { id: row.next()?, name: row.next()?, created_at: row.next()? });
        self.db.fetch_with("users.all", sql, read).await
    }

    /// Whose what is imported will be: of the account with this name, or of the only one there is.
    ///
    /// # Errors
    /// `NOT_FOUND` where there is no account of this name, `BAD_USER_INPUT` where there are several and none is named.
    pub async fn owner(&self, name: Option<&str>) -> Result<Option<Uuid>> {
        let mut sql = self.db.sql();
        sql.push("select u.id from users u");
        if let Some(name) = name {
            sql.push(" where u.name = ").bind(Arg::Text(Some(name.to_owned())));
        }
        sql.push(" limit 2");
        match (name, self.db.fetch::<Uuid>("users.owner", sql).await?.as_slice()) {
            (Some(name), []) => Err(Error::new(Code::NotFound, format!("there is no account `{name}`: add it first"))),
            (_, []) => Ok(None),
            (_, [only]) => Ok(Some(*only)),
            (_, _) => Err(Error::bad_user_input("there are several accounts: say whose it will be with --owner")),
        }
    }

    /// Makes a token for an account: what is kept of it, and the token, which nothing tells afterwards.
    ///
    /// # Errors
    /// `NOT_FOUND` where there is no account of this name, `BAD_USER_INPUT` for an end that has passed.
    pub async fn create_token(
        &self,
        user: &str,
        scope: TokenScope,
        expires_at: Option<Time>,
    ) -> Result<(TokenRow, Token)> {
        let token = Token::generate().map_err(Error::internal)?;
        let now = Time::now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Error::bad_user_input("the token would have expired already"));
        }
        let id = Uuid::now_v7();
        let mut tx = self.db.begin().await?;
        let mut sql = tx.sql();
        sql.push("insert into tokens (id, user_id, hash, scope, created_at, expires_at) select ").bind(Arg::Id(id));
        sql.push(", u.id, ").bind(Arg::Text(Some(token.hash()))).push(", ");
        sql.bind(Arg::Text(Some(scope.as_str().to_owned()))).push(", ").bind(Arg::Time(now)).push(", ");
        match expires_at {
            Some(end) => sql.bind(Arg::Time(end)),
            None => sql.push("null"),
        };
        sql.push(" from users u where u.name = ").bind(Arg::Text(Some(user.to_owned())));
        if tx.execute("tokens.insert", sql).await? == 0 {
            return Err(Error::new(Code::NotFound, format!("there is no account `{user}`: add it first")));
        }
        tx.commit().await?;
        let user = user.to_owned();
        let row = TokenRow { id, user, scope, created_at: now, expires_at, last_used_at: None, revoked_at: None };
        Ok((row, token))
    }

    /// All tokens, the newest last.
    ///
    /// # Errors
    /// That of the database.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>> {
        let mut sql = self.db.sql();
        sql.push(
            "select t.id, u.name, t.scope, t.created_at, t.expires_at, t.last_used_at, t.revoked_at from tokens t ",
        );
        sql.push("join users u on u.id = t.user_id order by t.id");
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

    /// Ends a token: at once here, within a second on other nodes. Whether there was one that had not ended so.
    ///
    /// # Errors
    /// That of the database.
    pub async fn revoke(&self, id: Uuid) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let mut sql = tx.sql();
        sql.push("update tokens set revoked_at = ").bind(Arg::Time(Time::now())).push(" where id = ").bind(Arg::Id(id));
        sql.push(" and revoked_at is null");
        let is_revoked = tx.execute("tokens.revoke", sql).await? > 0;
        tx.commit().await?;
        self.known.clear();
        Ok(is_revoked)
    }
}
