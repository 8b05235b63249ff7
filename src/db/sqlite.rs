//! The embedded database: many readers, one writer, one file.
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    config::{Config, Synchronous},
    feed::Feed,
};

/// The oldest SQLite that does not corrupt a write-ahead log when two connections checkpoint at once.
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// How many instructions of SQLite's virtual machine run between two looks at whether to stop.
const STOP_CHECK_INSTRUCTIONS: i32 = 10_000;

/// The connections to one file.
///
/// Not sqlx's pool: that one asks each connection whether it is alive before every use, and cannot stop the statement of
/// a request that went away.
pub(super) struct Sqlite {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    writer: Arc<AsyncMutex<Option<SqliteConnection>>>,
    timeout: Duration,
    readers_max: u32,
    path: PathBuf,
    /// Is told of each announcement that was kept.
    announced: Arc<Notify>,
}

/// A connection for reading, and the flag that stops its statement.
pub(super) struct Reader {
    connection: SqliteConnection,
    stop: Arc<AtomicBool>,
}

/// A connection lent to one statement. Unless it is given back, its statement is stopped and the connection closed.
pub(super) struct Lent<'a> {
    home: &'a Sqlite,
    reader: Option<Reader>,
    _permit: OwnedSemaphorePermit,
}

/// The one connection that writes, for as long as a transaction holds it.
pub(super) type Writer = OwnedMutexGuard<Option<SqliteConnection>>;

impl Sqlite {
    pub(super) async fn open(path: &Path, config: &Config) -> anyhow::Result<Self> {
        create_private(path)?;
        let options = options(path, config);
        let mut writer = options.connect().await.map_err(|error| cannot_open(path, &error))?;
        assert_version(&mut writer).await?;
        let readers_max = config.pool_size + config.max_overflow;
        Ok(Self {
            options,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(readers_max as usize)),
            writer: Arc::new(AsyncMutex::new(Some(writer))),
            timeout: config.pool_timeout,
            readers_max,
            path: path.to_owned(),
            announced: Arc::default(),
        })
    }

    /// A connection for one statement.
    pub(super) async fn reader(&self) -> sqlx::Result<Lent<'_>> {
        let permit = tokio::time::timeout(self.timeout, self.permits.clone().acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            // Boxed, because it is large and would be moved with each statement's future.
            None => Box::pin(self.connect()).await?,
        };
        Ok(Lent { home: self, reader: Some(reader), _permit: permit })
    }

    async fn connect(&self) -> sqlx::Result<Reader> {
        let mut connection = self.options.clone().pragma("query_only", "on").connect().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        connection
            .lock_handle()
            .await?
            .set_progress_handler(STOP_CHECK_INSTRUCTIONS, move || !flag.load(Ordering::Relaxed));
        Ok(Reader { connection, stop })
    }

    /// The connection that writes, once those before have given it back. A connection that was lost is opened anew.
    pub(super) async fn writer(&self) -> sqlx::Result<Writer> {
        let mut writer = tokio::time::timeout(self.timeout, self.writer.clone().lock_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?;
        if writer.is_none() {
            *writer = Some(self.options.connect().await?);
        }
        Ok(writer)
    }

    /// What transactions announce from now on.
    pub(super) async fn feed(&self) -> sqlx::Result<Feed> {
        Feed::sqlite(self.options.clone(), self.announced.clone()).await
    }

    /// Who is told of announcements.
    pub(super) fn announced(&self) -> Arc<Notify> {
        self.announced.clone()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Connections that are open or may be, in use, and at most.
    pub(super) fn usage(&self) -> (u32, u32, u32) {
        let in_use = self.readers_max.saturating_sub(u32::try_from(self.permits.available_permits()).unwrap_or(0));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        (in_use + u32::try_from(idle).unwrap_or(u32::MAX), in_use, self.readers_max)
    }

    /// Closes every connection, the writer last, so that the write-ahead log is folded into the file.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in idle {
            let _ = reader.connection.close().await;
        }
        if let Some(writer) = self.writer.lock().await.take() {
            let _ = writer.close().await;
        }
    }
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.reader.as_mut().expect("a lent connection is there until it is given back").connection
    }

    /// Gives the connection back after its statement has ended.
    pub(super) fn give_back(mut self) {
        if let Some(reader) = self.reader.take() {
            self.home.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The file that `url` names.
///
/// # Errors
/// The URL names no file: a database in memory would be another one for each connection.
pub(super) fn path(url: &str) -> anyhow::Result<PathBuf> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or_default();
    if rest.is_empty() || rest.contains(":memory:") {
        anyhow::bail!(
            "DATABASE_URL names no file: write sqlite://catalogue.db or sqlite:///var/lib/gatherum/catalogue.db"
        );
    }
    Ok(PathBuf::from(percent_encoding::percent_decode_str(rest).decode_utf8()?.into_owned()))
}

fn options(path: &Path, config: &Config) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match config.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .foreign_keys(true)
        .busy_timeout(config.busy_timeout)
        .statement_cache_capacity(256)
        .row_buffer_size(256)
        .pragma("temp_store", "memory")
        .pragma("cache_size", format!("-{}", config.cache_kib))
        .pragma("mmap_size", "268435456")
        .disable_statement_logging()
}

/// Makes the file, and its directory, readable by nobody but the owner.
pub(super) fn create_private(path: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        anyhow::ensure!(
            directory.is_dir(),
            "cannot open {}: directory {} does not exist: create it, or choose another",
            path.display(),
            directory.display()
        );
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(())
}

/// Why a file cannot be opened, and what to do.
fn cannot_open(path: &Path, error: &sqlx::Error) -> anyhow::Error {
    const CORRUPT: &str = "11";
    let (cause, is_damaged) = match error {
        sqlx::Error::Database(error) => (error.message().to_owned(), error.code().as_deref() == Some(CORRUPT)),
        error => (error.to_string(), false),
    };
    let remedy = if is_damaged { "load a backup" } else { "see that DATABASE_URL is right" };
    anyhow::anyhow!("cannot open {} as a SQLite database: {cause}: {remedy}", path.display())
}

async fn assert_version(connection: &mut SqliteConnection) -> anyhow::Result<()> {
    let text: String = sqlx::query_scalar("select sqlite_version()").fetch_one(connection).await?;
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let version = (part(), part(), part());
    anyhow::ensure!(
        version >= VERSION_MIN,
        "SQLite {text} can corrupt a write-ahead log: build gatherum with SQLite 3.51.3 or newer"
    );
    Ok(())
}
