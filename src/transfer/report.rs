//! The result of an import.
use std::{collections::BTreeMap, fmt};

use super::RejectedRecord;

/// Maximum number of rejected records that are listed one by one.
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

/// The result of an import: numbers of rows by kind, and the rejected records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Numbers by kind.
    pub kinds: BTreeMap<&'static str, ImportCounts>,
    rejections: Vec<RejectedRecord>,
    rejected: u64,
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
        writeln!(formatter, "{:<20} {:>10}", "rejected", self.rejected)?;
        for record in &self.rejections {
            writeln!(formatter, "  {}: {}", record.location, record.reason)?;
        }
        let unlisted = self.rejected - self.rejections.len() as u64;
        if unlisted > 0 {
            writeln!(formatter, "  … and {unlisted} more")?;
        }
        Ok(())
    }
}
