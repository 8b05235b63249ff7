//! Reads NDJSON: one record per line.
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    Record, RecordSink, RejectedRecord, SourceItem,
    bounded_lines::{LINE_BYTES_MAX, Line, Lines, reason_not_text},
    record::{FORMAT, newer_format},
};
use crate::{
    catalog::{artifact, collection, group, tag, version},
    graphql::id,
};

/// Records with an id, whose prefix is the word for the record.
const PREFIXES: [&str; 5] = [artifact::PREFIX, collection::PREFIX, group::PREFIX, tag::PREFIX, version::PREFIX];

/// Reads records. Empty lines are skipped; a line that is not a record is rejected.
pub(super) fn read(lines: impl BufRead, sink: &mut RecordSink<'_>) -> Result<()> {
    let mut lines = Lines::new(lines);
    let mut is_first = true;
    while let Some((number, line)) = lines.next().context("cannot read the next line")? {
        let location = format!("line {number}");
        match line {
            Line::TooLong => sink.reject(&location, format!("it is longer than {LINE_BYTES_MAX} bytes")),
            Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(line) => {
                if is_first {
                    ensure_ndjson(&line)?;
                }
                match Record::parse(&line) {
                    Ok(record) => drop(sink.send_together(&location, Vec::new(), vec![record])),
                    Err(error) => sink.send(SourceItem::Rejected(rejected(&location, &line, &error))),
                }
            }
        }
        is_first = false;
        if sink.is_closed() {
            break;
        }
    }
    Ok(())
}

/// # Errors
/// The first line shows that the file is not NDJSON.
fn ensure_ndjson(line: &[u8]) -> Result<()> {
    if let Some(reason) = reason_not_text(line) {
        bail!("the file is not NDJSON: {reason}");
    }
    let after_bracket = line.trim_ascii_start().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    if after_bracket.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"{") || rest.starts_with(b"]")) {
        bail!("the file is a JSON array, not NDJSON: write one object per line, as with `jq -c '.[]'`");
    }
    Ok(())
}

/// The rejection of a line that is not a record, with its id if that can be read.
fn rejected(location: &str, line: &[u8], error: &serde_json::Error) -> RejectedRecord {
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let kind = value["record"].as_str().unwrap_or_default();
    let prefix = PREFIXES.into_iter().find(|prefix| *prefix == kind);
    let id = prefix.zip(value["id"].as_str()).and_then(|(prefix, id)| id::parse(prefix, id).ok());
    let format = value["format"].as_u64().filter(|format| kind == "gatherum" && *format > u64::from(FORMAT));
    let reason = format.map_or_else(|| reason(error), newer_format);
    RejectedRecord::new(location, reason).with_id(id)
}

/// The parser's message without its line number, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
