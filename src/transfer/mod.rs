//! Import and export.
//!
//! A source is read on a thread of its own into [`Record`]s, which travel through a bounded channel, so that memory stays
//! flat whatever the size. [`import`] writes them in batches within one transaction; [`export`] writes the same records
//! that [`ndjson`] reads.
mod claude;
mod csv;
mod deal_brain;
mod export;
mod import;
mod ndjson;
mod record;
mod report;
mod skillmeat;
mod told;
mod watch;

pub use export::export;
pub use import::{Mirror, import};
pub use record::{Located, Problem, Record};
pub use report::Report;
pub use watch::watch;

use std::{io::Cursor, path::PathBuf};

use anyhow::Result;
use tokio::sync::mpsc;

use crate::db::Db;

/// Records that wait to be written at most.
const WAITING_MAX: usize = 4_096;

/// Where records come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A SkillMeat SQLite database.
    SkillMeat(PathBuf),
    /// A folder with skills, agents and commands.
    Claude(PathBuf),
    /// A Deal Brain export.
    DealBrain(PathBuf),
    /// What [`export`] writes; none is standard input.
    Ndjson(Option<PathBuf>),
    /// A flat list of artifacts.
    Csv(PathBuf),
    /// NDJSON or CSV that is part of the program.
    Embedded(&'static str),
}

/// A record or what is wrong with it, and where it stands in its source.
pub type Read = std::result::Result<Located, Problem>;

impl Source {
    /// Reads on a thread of its own.
    ///
    /// # Errors
    /// The source cannot be opened or is of another kind; that comes through the handle.
    pub fn read(self) -> (mpsc::Receiver<Read>, tokio::task::JoinHandle<Result<()>>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut send = move |read: Read| sender.blocking_send(read).is_ok();
        let handle = tokio::task::spawn_blocking(move || match self {
            Self::SkillMeat(path) => {
                tokio::runtime::Handle::current().block_on(skillmeat::read(&path))?.send(&mut send)
            }
            Self::Claude(path) => claude::read(&path, &mut send),
            Self::DealBrain(path) => deal_brain::read(&path, &mut send),
            Self::Ndjson(Some(path)) => ndjson::read(open(&path)?, &mut send),
            Self::Ndjson(None) => ndjson::read(std::io::BufReader::new(std::io::stdin()), &mut send),
            Self::Csv(path) => csv::read(open(&path)?, &mut send),
            Self::Embedded(text) => csv::read(Cursor::new(text), &mut send),
        });
        (receiver, handle)
    }
}

/// Takes what was read; tells whether there is anyone to go on for.
pub(crate) type Send<'a> = dyn FnMut(Read) -> bool + 'a;

fn open(path: &std::path::Path) -> Result<std::io::BufReader<std::fs::File>> {
    use anyhow::Context;
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(std::io::BufReader::with_capacity(1 << 18, file))
}

/// Loads the catalogue of developers' tools, for an account where there are any, if the database holds no artifact, and
/// tells whether it did.
///
/// # Errors
/// That of the database.
pub async fn load_demo(db: &Db, owner: Option<uuid::Uuid>) -> Result<bool> {
    let mut sql = db.sql();
    sql.push("select count(*) from (select 1 from artifacts limit 1) a");
    if db.fetch::<i64>("demo.is_empty", sql).await?.first() != Some(&0) {
        return Ok(false);
    }
    let report = import(db, Source::Embedded(include_str!("demo.csv")), owner, false, |_| {}).await?;
    anyhow::ensure!(report.refused() == 0, "the demo catalogue was refused:\n{report}");
    Ok(true)
}
