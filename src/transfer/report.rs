//! The result of an import.
use std::{collections::BTreeMap, fmt};

use super::{Notice, NoticeKind, RejectedRecord};

/// Maximum number of rejected records, and of notices of each kind, that are listed one by one.
const LISTED_MAX: usize = 100;

/// Numbers of rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Rows that did not exist.
    pub created: u64,
    /// Rows that existed and differed.
    pub updated: u64,
    /// Rows that existed and were equal.
    pub unchanged: u64,
    /// Rows that the source no longer has.
    pub removed: u64,
}

/// The result of an import: numbers of rows by kind, the rejected records, and differences between source and catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Numbers by kind.
    pub kinds: BTreeMap<&'static str, ImportCounts>,
    rejections: Vec<RejectedRecord>,
    rejected: u64,
    notices: BTreeMap<NoticeKind, Notices>,
}

/// The notices of one kind: their number, and the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notices {
    count: u64,
    listed: Vec<Notice>,
}

impl ImportReport {
    /// Number of rejected records.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The first 100 rejected records.
    pub fn rejections(&self) -> &[RejectedRecord] {
        &self.rejections
    }

    /// Number of notices of one kind.
    pub fn noticed(&self, kind: NoticeKind) -> u64 {
        self.notices.get(&kind).map_or(0, |notices| notices.count)
    }

    /// The first 100 notices of each kind.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.values().flat_map(|notices| &notices.listed)
    }

    /// Number of rows that were created, updated or removed.
    pub fn written(&self) -> u64 {
        self.kinds.values().map(|counts| counts.created + counts.updated + counts.removed).sum()
    }

    fn has_removals(&self) -> bool {
        self.kinds.values().any(|counts| counts.removed > 0)
    }

    pub(super) fn reject(&mut self, record: RejectedRecord) {
        self.rejected += 1;
        if self.rejections.len() < LISTED_MAX {
            self.rejections.push(record);
        }
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        let notices = self.notices.entry(notice.kind).or_default();
        notices.count += 1;
        if notices.listed.len() < LISTED_MAX {
            notices.listed.push(notice);
        }
    }

    pub(super) fn kind(&mut self, kind: &'static str) -> &mut ImportCounts {
        self.kinds.entry(kind).or_default()
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_removals = self.has_removals();
        let removed = |text: &dyn fmt::Display| if has_removals { format!(" {text:>10}") } else { String::new() };
        let head = removed(&"removed");
        writeln!(formatter, "{:<20} {:>10} {:>10} {:>10}{head}", "", "created", "updated", "unchanged")?;
        for (kind, counts) in &self.kinds {
            let ImportCounts { created, updated, unchanged, .. } = counts;
            let removed = removed(&counts.removed);
            writeln!(formatter, "{kind:<20} {created:>10} {updated:>10} {unchanged:>10}{removed}")?;
        }
        let rejections = self.rejections.iter().map(|record| (&record.location, &record.reason));
        list(formatter, "rejected", self.rejected, rejections)?;
        for (kind, notices) in &self.notices {
            let listed = notices.listed.iter().map(|notice| (&notice.location, &notice.text));
            list(formatter, kind.as_str(), notices.count, listed)?;
        }
        Ok(())
    }
}

/// Writes a number and the locations and texts of the first entries.
fn list<'l>(
    formatter: &mut fmt::Formatter<'_>,
    title: &str,
    count: u64,
    listed: impl ExactSizeIterator<Item = (&'l String, &'l String)>,
) -> fmt::Result {
    writeln!(formatter, "{title:<20} {count:>10}")?;
    let unlisted = count - listed.len() as u64;
    for (location, text) in listed {
        writeln!(formatter, "  {location}: {text}")?;
    }
    if unlisted > 0 {
        writeln!(formatter, "  … and {unlisted} more")?;
    }
    Ok(())
}
