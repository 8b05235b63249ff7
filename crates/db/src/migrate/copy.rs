//! Copies of a SQLite file, made before it is migrated.
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tracing::{info, warn};

use super::beside;
use crate::Db;

/// Maximum number of copies; older ones are removed.
const COPIES_MAX: usize = 2;

/// Separates the name of the file from that of the first migration that the copy lacks, in the name of the copy.
const BEFORE: &str = ".before-";

/// Suffix of an incomplete copy.
const PARTIAL: &str = ".partial";

/// Copies the file to `FILE.before-MIGRATION`. The copy has its name only once it is complete and on
/// disk; it replaces an earlier one of an interrupted migration.
pub(super) async fn write(db: &Db, database: &Path, migration: &str) -> Result<()> {
    let path = beside(database, &format!("{BEFORE}{migration}"));
    let partial = beside(&path, PARTIAL);
    let _ = fs::remove_file(&partial);
    let written = match db.backup(&partial).await {
        Ok(()) => finish(&partial, &path).map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        let _ = fs::remove_file(&partial);
        let database = database.display();
        return Err(error).with_context(|| {
            format!("cannot copy {database} to {} before migrating it: free space on the disk", path.display())
        });
    }
    info!(path = %path.display(), "copied the database before migrating it");
    Ok(())
}

fn finish(partial: &Path, path: &Path) -> std::io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, path)?;
    #[cfg(unix)]
    File::open(directory(path))?.sync_all()?;
    Ok(())
}

/// Removes all but the newest copies, by the numbers of their migrations.
pub(super) fn remove_old(database: &Path) {
    let mut copies = copies(database);
    copies.sort_unstable();
    let old = copies.len().saturating_sub(COPIES_MAX);
    for path in copies.into_iter().take(old) {
        if let Err(error) = fs::remove_file(&path) {
            warn!(path = %path.display(), cause = %error, "cannot remove an old copy of the database");
        }
    }
}

/// The complete copies beside the file.
fn copies(database: &Path) -> Vec<PathBuf> {
    let prefix = beside(database, BEFORE);
    let Some(prefix) = prefix.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let entries = fs::read_dir(directory(database)).into_iter().flatten().flatten();
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            && !name.ends_with(PARTIAL)
    };
    entries.map(|entry| entry.path()).filter(is_copy).collect()
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
