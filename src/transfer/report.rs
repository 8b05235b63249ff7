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
        writeln!(formatter, "{:<20} {:>10} {:>10} {:>10}", "", "created", "updated", "unchanged")?;
        for (kind, counts) in &self.kinds {
            writeln!(formatter, "{kind:<20} {:>10} {:>10} {:>10}", counts.created, counts.updated, counts.unchanged)?;
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
