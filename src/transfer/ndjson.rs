//! Reads NDJSON: one record per line.
use std::io::{BufRead, Read};

use anyhow::{Context, Result};

use super::{Record, RecordSink, send_checked};

/// Maximum length of a line, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Reads records. Empty lines are skipped; a line that is not a record is rejected.
pub(super) fn read(mut lines: impl BufRead, sink: &mut RecordSink<'_>) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = lines.by_ref().take(LINE_BYTES_MAX + 1);
        let length = limited.read_until(b'\n', &mut line).context("cannot read the next line")?;
        if length == 0 {
            return Ok(());
        }
        let location = format!("line {number}");
        if length as u64 > LINE_BYTES_MAX {
            anyhow::bail!("{location} is longer than {LINE_BYTES_MAX} bytes");
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record = serde_json::from_slice::<Record>(&line).map_err(|error| reason(&error));
        if !send_checked(sink, &location, record) {
            return Ok(());
        }
    }
    Ok(())
}

/// The parser's message without its line number, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
