//! Follows a SkillMeat database while SkillMeat goes on writing it.
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use uuid::Uuid;

use super::{Mirror, Report, Source};
use crate::db::Db;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How old a file's time must be before it tells of all that was written: the system's clock moves in steps.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

/// Imports `file` for an account, where there are any, and again whenever it was written to, until the future is dropped. `told` gets what each import came to,
/// and an error of its own ends it; an import that failed is tried again.
///
/// # Errors
/// The first import failed, or `told` has.
pub async fn watch(
    db: &Db,
    file: &Path,
    owner: Option<Uuid>,
    mut told: impl FnMut(Result<Report>) -> Result<()>,
) -> Result<()> {
    let mut mirror = Mirror::new(owner);
    let mut seen = State::of(file);
    told(Ok(mirror.import(db, Source::SkillMeat(file.to_owned())).await?))?;
    let mut is_to_be_tried = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = State::of(file);
        let is_seen = now == seen && now.is_settled;
        if is_seen && !is_to_be_tried {
            continue;
        }
        let outcome = mirror.import(db, Source::SkillMeat(file.to_owned())).await;
        // The same failure is told once for each time that the file was written to.
        let is_new = outcome.is_ok() || !is_seen;
        // What was refused may be right after what was written: a name that another one had until now.
        let is_unfinished = |report: &Report| report.refused() > 0 && report.written() > 0;
        (seen, is_to_be_tried) = (now, outcome.as_ref().map_or(true, is_unfinished));
        if is_new {
            told(outcome)?;
        }
    }
}

/// What a write to a SQLite file changes: the file, or the log beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    file: Option<(u64, SystemTime)>,
    log: Option<(u64, SystemTime)>,
    /// Whether a further write would show.
    is_settled: bool,
}

impl State {
    fn of(file: &Path) -> Self {
        let state = |path: &Path| {
            let about = fs::metadata(path).ok()?;
            Some((about.len(), about.modified().ok()?))
        };
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let (file, log) = (state(file), state(&PathBuf::from(log)));
        let newest = [&file, &log].into_iter().flatten().map(|(_, time)| *time).max();
        let is_settled = newest.is_none_or(|time| time.elapsed().is_ok_and(|age| age >= SETTLED_AFTER));
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
        let none = State::of(&path);
        fs::write(&path, "1").expect("a file");
        let one = State::of(&path);
        fs::write(directory.path().join("a.db-wal"), "1").expect("a log");
        let both = State::of(&path);
        fs::write(directory.path().join("a.db-wal"), "2 of more bytes").expect("a log");

        let states = [none, one, both, State::of(&path)];
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:#?}");
        assert!(states[0].is_settled && !states[3].is_settled);
    }
}
