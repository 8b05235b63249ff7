//! NDJSON: one record a line.
use std::io::{BufRead, Read as _};

use anyhow::{Context, Result};

use super::{Located, Problem, Record, Send};

/// Bytes of one line at most.
const LINE_MAX: u64 = 16 << 20;

/// Reads records. Empty lines are passed over; a line that is no record is refused, and the next one is read.
pub(super) fn read(mut lines: impl BufRead, send: &mut Send<'_>) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let length = lines.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut line).context("cannot read on")?;
        if length == 0 {
            return Ok(());
        }
        let place = format!("line {number}");
        if length as u64 > LINE_MAX {
            anyhow::bail!("{place} has more than {LINE_MAX} bytes");
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = serde_json::from_slice::<Record>(&line)
            .map_err(|error| reason(&error))
            .and_then(Record::checked)
            .map(|record| Located { place: place.clone(), record })
            .map_err(|reason| Problem { place, reason });
        if !send(read) {
            return Ok(());
        }
    }
    Ok(())
}

/// The parser's reason without its own line, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
