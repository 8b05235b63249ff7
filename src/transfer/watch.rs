//! Imports a SkillMeat database whenever SkillMeat writes to it.
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use uuid::Uuid;

use super::{ImportReport, Source, SourceSync};
use crate::db::Db;

/// Interval at which the file's metadata is read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Minimum age of a file's modification time. Two writes within one tick of the system's clock have the same time, so a
/// younger file may change again without showing it.
const SETTLED_AGE: Duration = Duration::from_millis(50);

/// Imports `file` for the account `owner`, and again whenever it is written to, until the future is dropped.
///
/// Calls `on_import` with the result of each import; an error that it returns ends the watch. A failed import is retried,
/// and its error is reported once per change of the file.
///
/// # Errors
/// The first import fails, or `on_import` returns an error.
pub async fn watch(
    db: &Db,
    file: &Path,
    owner: Option<Uuid>,
    mut on_import: impl FnMut(Result<ImportReport>) -> Result<()>,
) -> Result<()> {
    let mut sync = SourceSync::new(owner);
    let mut imported = FileState::read(file);
    on_import(Ok(sync.import(db, Source::SkillMeat(file.to_owned())).await?))?;
    let mut needs_retry = false;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let current = FileState::read(file);
        let is_unchanged = current == imported && current.is_settled;
        if is_unchanged && !needs_retry {
            continue;
        }
        let outcome = sync.import(db, Source::SkillMeat(file.to_owned())).await;
        let is_reported = outcome.is_ok() || !is_unchanged;
        // A rejected record may be valid after the rows that were just written, such as one whose name was taken before.
        let is_incomplete = |report: &ImportReport| report.rejected() > 0 && report.written() > 0;
        (imported, needs_retry) = (current, outcome.as_ref().map_or(true, is_incomplete));
        if is_reported {
            on_import(outcome)?;
        }
    }
}

/// Metadata of a SQLite database that changes with every write.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileState {
    /// Length and modification time of the file.
    file: Option<(u64, SystemTime)>,
    /// Length and modification time of its write-ahead log.
    log: Option<(u64, SystemTime)>,
    /// Whether a further write would change the modification time.
    is_settled: bool,
}

impl FileState {
    fn read(file: &Path) -> Self {
        let state = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        };
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let (file, log) = (state(file), state(&PathBuf::from(log)));
        let newest = [&file, &log].into_iter().flatten().map(|(_, time)| *time).max();
        let is_settled = newest.is_none_or(|time| time.elapsed().is_ok_and(|age| age >= SETTLED_AGE));
        Self { file, log, is_settled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_to_the_file_or_its_log_shows() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let none = FileState::read(&path);
        fs::write(&path, "1").expect("a file");
        let one = FileState::read(&path);
        fs::write(directory.path().join("a.db-wal"), "1").expect("a log");
        let both = FileState::read(&path);
        fs::write(directory.path().join("a.db-wal"), "2 of more bytes").expect("a log");

        let states = [none, one, both, FileState::read(&path)];
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:#?}");
        assert!(states[0].is_settled && !states[3].is_settled);
    }
}
