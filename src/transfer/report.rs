//! What an import came to.
use std::{collections::BTreeMap, fmt};

use super::Problem;

/// Refused records that are shown one by one.
const SHOWN_MAX: usize = 100;

/// What became of records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub created: u64,
    /// Those that were there and differed.
    pub updated: u64,
    /// Those that were there alike.
    pub unchanged: u64,
    /// Those that the source has no longer.
    pub removed: u64,
}

/// What an import came to: counts for each kind of record, and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Counts by kind.
    pub kinds: BTreeMap<&'static str, Counts>,
    problems: Vec<Problem>,
    refused: u64,
}

impl Report {
    /// How many records were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The first refused ones, with their reasons.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many rows were written or removed.
    pub fn written(&self) -> u64 {
        self.kinds.values().map(|counts| counts.created + counts.updated + counts.removed).sum()
    }

    fn removes(&self) -> bool {
        self.kinds.values().any(|counts| counts.removed > 0)
    }

    pub(super) fn refuse(&mut self, problem: Problem) {
        self.refused += 1;
        if self.problems.len() < SHOWN_MAX {
            self.problems.push(problem);
        }
    }

    pub(super) fn kind(&mut self, kind: &'static str) -> &mut Counts {
        self.kinds.entry(kind).or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = |text: &dyn fmt::Display| if self.removes() { format!(" {text:>10}") } else { String::new() };
        let head = removed(&"removed");
        writeln!(formatter, "{:<20} {:>10} {:>10} {:>10}{head}", "", "created", "updated", "unchanged")?;
        for (kind, counts) in &self.kinds {
            let Counts { created, updated, unchanged, .. } = counts;
            let removed = removed(&counts.removed);
            writeln!(formatter, "{kind:<20} {created:>10} {updated:>10} {unchanged:>10}{removed}")?;
        }
        writeln!(formatter, "{:<20} {:>10}", "refused", self.refused)?;
        for problem in &self.problems {
            writeln!(formatter, "  {}: {}", problem.place, problem.reason)?;
        }
        let hidden = self.refused - self.problems.len() as u64;
        if hidden > 0 {
            writeln!(formatter, "  … and {hidden} more")?;
        }
        Ok(())
    }
}
