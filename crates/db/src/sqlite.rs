//! Connections to a SQLite file: many readers and one writer.
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
    availability::Availability,
    config::{Config, Synchronous},
    feed::Feed,
    migrate::lock_file,
};

/// The oldest supported version: earlier ones can corrupt the write-ahead log when two connections checkpoint at once.
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// Number of SQLite virtual machine instructions between two checks for cancellation.
const CANCEL_CHECK_INSTRUCTIONS: i32 = 10_000;

/// A pool of connections to one file.
///
/// sqlx's pool is not used, because it checks each connection before every use and cannot cancel the statement of an
/// abandoned request.
pub(super) struct SqlitePool {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    writer: Arc<AsyncMutex<Option<SqliteConnection>>>,
    acquire_timeout: Duration,
    readers_max: u32,
    path: PathBuf,
    /// Notified when a transaction of this process with an announcement commits.
    announced: Arc<Notify>,
    availability: Arc<Availability>,
}

/// A read-only connection and the flag that cancels its statement.
pub(super) struct Reader {
    connection: SqliteConnection,
    is_cancelled: Arc<AtomicBool>,
}

/// A connection for one statement. If it is dropped without [`PooledReader::release`], its statement is cancelled and the
/// connection closed.
pub(super) struct PooledReader<'a> {
    pool: &'a SqlitePool,
    reader: Option<Reader>,
    _permit: OwnedSemaphorePermit,
}

/// Exclusive access to the write connection.
pub(super) type Writer = OwnedMutexGuard<Option<SqliteConnection>>;

impl SqlitePool {
    pub(super) async fn open(path: &Path, config: &Config) -> anyhow::Result<Self> {
        create_private(path)?;
        let options = options(path, config);
        // Two processes that create the file at once could fail to change its journal mode.
        let is_new = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
        let lock = if is_new { Some(lock_file(path).await?) } else { None };
        let mut writer = options.connect().await.map_err(|error| cannot_open(path, &error))?;
        drop(lock);
        assert_version(&mut writer).await?;
        let readers_max = config.pool_size + config.max_overflow;
        Ok(Self {
            options,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(readers_max as usize)),
            writer: Arc::new(AsyncMutex::new(Some(writer))),
            acquire_timeout: config.pool_timeout,
            readers_max,
            path: path.to_owned(),
            announced: Arc::default(),
            availability: Availability::new(config.wait_timeout),
        })
    }

    /// Acquires a connection for one statement.
    pub(super) async fn acquire_reader(&self) -> sqlx::Result<PooledReader<'_>> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // The rare case is boxed, because every statement's future reserves memory for all that it may await.
            Err(_) => Box::pin(self.permit()).await?,
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            // Boxed, because the large future would become part of each statement's future.
            None => Box::pin(self.connect()).await?,
        };
        Ok(PooledReader { pool: self, reader: Some(reader), _permit: permit })
    }

    async fn permit(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        tokio::time::timeout(self.acquire_timeout, self.permits.clone().acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)
    }

    /// Whether the database answers.
    pub(super) fn availability(&self) -> &Arc<Availability> {
        &self.availability
    }

    /// Observes whether the file can be read, until dropped.
    pub(super) async fn monitor(&self) {
        let options = self.options.clone().create_if_missing(false).pragma("query_only", "on");
        self.availability.monitor::<SqliteConnection>("primary", options, "select count(*) from sqlite_schema").await;
    }

    async fn connect(&self) -> sqlx::Result<Reader> {
        let mut connection = self.options.clone().pragma("query_only", "on").connect().await?;
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let flag = is_cancelled.clone();
        connection
            .lock_handle()
            .await?
            .set_progress_handler(CANCEL_CHECK_INSTRUCTIONS, move || !flag.load(Ordering::Relaxed));
        Ok(Reader { connection, is_cancelled })
    }

    /// Waits for exclusive access to the write connection, and reopens it if it was closed.
    pub(super) async fn acquire_writer(&self) -> sqlx::Result<Writer> {
        let mut writer = tokio::time::timeout(self.acquire_timeout, self.writer.clone().lock_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?;
        if writer.is_none() {
            *writer = Some(self.options.connect().await?);
        }
        Ok(writer)
    }

    /// Subscribes to announcements.
    pub(super) async fn feed(&self) -> sqlx::Result<Feed> {
        Feed::sqlite(self.options.clone(), self.announced.clone()).await
    }

    /// Notified when a transaction of this process with an announcement commits.
    pub(super) fn announced(&self) -> Arc<Notify> {
        self.announced.clone()
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of connections: open, in use, and maximum.
    pub(super) fn usage(&self) -> (u32, u32, u32) {
        let in_use = self.readers_max.saturating_sub(u32::try_from(self.permits.available_permits()).unwrap_or(0));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        (in_use + u32::try_from(idle).unwrap_or(u32::MAX), in_use, self.readers_max)
    }

    /// Closes all connections. The write connection comes last and checkpoints the write-ahead log.
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

impl PooledReader<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.reader.as_mut().expect("the reader is taken by release and drop only").connection
    }

    /// Returns the connection to the pool after its statement has ended.
    pub(super) fn release(mut self) {
        if let Some(reader) = self.reader.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}

impl Drop for PooledReader<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.is_cancelled.store(true, Ordering::Relaxed);
        }
    }
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

/// Creates the file if it is missing, readable and writable by its owner only.
pub(super) fn create_private(path: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        anyhow::ensure!(
            directory.is_dir(),
            "cannot open {}: directory {} does not exist: create it or choose another",
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

/// The error for a file that cannot be opened, with a remedy.
fn cannot_open(path: &Path, error: &sqlx::Error) -> anyhow::Error {
    const CORRUPT: &str = "11";
    let (cause, is_damaged) = match error {
        sqlx::Error::Database(error) => (error.message().to_owned(), error.code().as_deref() == Some(CORRUPT)),
        error => (error.to_string(), false),
    };
    let remedy = if is_damaged { "restore a backup" } else { "check DATABASE_URL" };
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
