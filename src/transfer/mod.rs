//! Import and export.
//!
//! A source is read on its own thread. Its [`Record`]s pass through a bounded channel, so memory use does not depend on the
//! size of the source. [`import`] writes them in batches within one transaction. [`export`] writes the records that
//! [`ndjson`] reads.
mod bounded_lines;
mod change_log;
mod claude;
mod csv;
mod deal_brain;
mod export;
mod import;
mod ndjson;
mod record;
mod report;
mod skillmeat;
mod time;
mod watch;

pub use export::export;
pub use import::{ImportOptions, SourceSync, import};
pub use record::{Notice, NoticeKind, Record, RejectedRecord, SourceRecord};
pub use report::{ImportCounts, ImportReport};
pub use watch::watch;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::{db::Db, statement};

/// Maximum number of records that were read and are not written yet.
const RECORDS_QUEUED_MAX: usize = 4_096;

/// A source of records.
#[derive(Clone, Debug)]
pub enum Source {
    /// A SkillMeat SQLite database.
    SkillMeat(PathBuf),
    /// A folder with skills, agents and commands as Markdown files.
    Claude(PathBuf),
    /// A Deal Brain export; `-` is standard input.
    DealBrain(PathBuf),
    /// NDJSON as [`export`] writes it; `None` is standard input.
    Ndjson(Option<PathBuf>),
    /// A CSV file with one artifact per row; `-` is standard input.
    Csv(PathBuf),
    /// CSV that is part of the program.
    Embedded(&'static str),
}

/// An item that is read from a source.
#[derive(Debug)]
pub enum SourceItem {
    /// A record.
    Record(SourceRecord),
    /// The reason to reject a record.
    Rejected(RejectedRecord),
    /// A difference between the source and its records.
    Notice(Notice),
}

impl Source {
    /// Reads the source on its own thread and sends its records to the receiver. With `is_strict`, records of which the
    /// catalogue does not store something are rejected.
    ///
    /// # Errors
    /// The handle returns an error if the source cannot be read or is of another kind.
    pub fn read(self, is_strict: bool) -> (mpsc::Receiver<SourceItem>, tokio::task::JoinHandle<Result<()>>) {
        let (sender, receiver) = mpsc::channel(RECORDS_QUEUED_MAX);
        let mut send = RecordSink::new(is_strict, move |item| sender.blocking_send(item).is_ok());
        let handle = tokio::task::spawn_blocking(move || match self {
            Self::SkillMeat(path) => {
                tokio::runtime::Handle::current().block_on(skillmeat::read(&path))?.send(&mut send)
            }
            Self::Claude(path) => claude::read(&path, &mut send),
            Self::DealBrain(path) => deal_brain::read(&path, &mut send),
            Self::Ndjson(path) => ndjson::read(open(path.as_deref().unwrap_or(Path::new("-")))?, &mut send),
            Self::Csv(path) => csv::read(open(&path)?, &mut send),
            Self::Embedded(text) => csv::read(text.as_bytes(), &mut send),
        });
        (receiver, handle)
    }
}

/// Receives the items of a source.
pub(crate) struct RecordSink<'a> {
    send: Box<dyn FnMut(SourceItem) -> bool + Send + 'a>,
    /// Whether what the catalogue does not store is rejected.
    is_strict: bool,
    is_closed: bool,
}

impl<'a> RecordSink<'a> {
    /// A sink that passes items to `send`, which returns false if the import has ended. With `is_strict`, records of which
    /// the catalogue does not store something are rejected.
    pub(crate) fn new(is_strict: bool, send: impl FnMut(SourceItem) -> bool + Send + 'a) -> Self {
        Self { send: Box::new(send), is_strict, is_closed: false }
    }

    /// Whether the import has ended, so that reading should stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Rejects what is at `location`.
    fn reject(&mut self, location: &str, reason: impl Into<String>) {
        self.send(SourceItem::Rejected(RejectedRecord::new(location, reason)));
    }

    /// Reports a difference between the source and its records.
    fn notice(&mut self, notice: Notice) {
        let is_rejected = self.is_rejected(&notice);
        self.send(match is_rejected {
            true => SourceItem::Rejected(RejectedRecord::new(&notice.location, notice.text)),
            false => SourceItem::Notice(notice),
        });
    }

    fn is_rejected(&self, notice: &Notice) -> bool {
        self.is_strict && notice.kind == NoticeKind::NotStored
    }

    /// Checks the records of one part of the source, such as a file, and sends them with the notices about that part if all
    /// of them are valid. Otherwise rejects that part once. Returns whether they were sent.
    fn send_together(&mut self, location: &str, notices: Vec<Notice>, records: Vec<Record>) -> bool {
        let id = records.iter().rev().find_map(Record::id);
        let lost: Vec<&str> =
            notices.iter().filter(|notice| self.is_rejected(notice)).map(|notice| notice.text.as_str()).collect();
        if !lost.is_empty() {
            self.send(SourceItem::Rejected(RejectedRecord::new(location, lost.join("; ")).with_id(id)));
            return false;
        }
        match records.into_iter().map(Record::checked).collect::<std::result::Result<Vec<_>, _>>() {
            Ok(records) => {
                notices.into_iter().for_each(|notice| self.notice(notice));
                let source_record = |record| SourceRecord { location: location.to_owned(), record };
                records.into_iter().for_each(|record| self.send(SourceItem::Record(source_record(record))));
                true
            }
            Err(reason) => {
                self.send(SourceItem::Rejected(RejectedRecord::new(location, reason).with_id(id)));
                false
            }
        }
    }

    fn send(&mut self, item: SourceItem) {
        self.is_closed = self.is_closed || !(self.send)(item);
    }
}

/// Checks a record and passes it on with its location; returns false if reading should stop.
fn send_checked(sink: &mut RecordSink<'_>, location: &str, record: Result<Record, String>) -> bool {
    match record {
        Ok(record) => drop(sink.send_together(location, Vec::new(), vec![record])),
        Err(reason) => sink.reject(location, reason),
    }
    !sink.is_closed()
}

/// Opens a file; `-` is standard input.
fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let reader: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 18, reader)))
}

/// Imports the demo catalogue of developers' tools for the account `owner` if the database has no artifacts. Returns
/// whether it was imported.
///
/// # Errors
/// The database fails.
pub async fn load_demo(db: &Db, owner: Option<uuid::Uuid>) -> Result<bool> {
    let sql = statement!(db, "select count(*) from (select 1 from artifacts {exempt: any owner} limit 1) a");
    if db.fetch::<i64>("demo.is_empty", sql).await?.first() != Some(&0) {
        return Ok(false);
    }
    let report = import(
        db,
        Source::Embedded(include_str!("demo.csv")),
        ImportOptions { owner, ..ImportOptions::default() },
        |_| {},
    )
    .await?;
    anyhow::ensure!(report.rejected() == 0, "records of the demo catalogue were rejected:\n{report}");
    Ok(true)
}

#[cfg(test)]
mod tests;
