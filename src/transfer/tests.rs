//! Sources of which one byte is changed: no reader panics, and no record before or after the byte is lost.
use std::{collections::BTreeSet, sync::mpsc};

use super::{Record, RecordSink, SourceItem, csv, ndjson};

/// Bytes that have a meaning in one of the formats, or that are not UTF-8.
const BYTES: [u8; 14] = *b"\"',;:\n\r\t x#{[\xff";

/// Lines of CSV. Each artifact is named after its row.
const CSV_ROWS: [&str; 8] = [
    "skill,row0,First,5\n",
    "skill,row1,\"a, b\",\n",
    "skill,row2,\"two\nlines, and \"\"quotes\"\"\",1\r\n",
    "skill,row3,5\" disk,\n",
    "\"skill\",\"row4\",\"\",\"x\"\n",
    ",,,\n",
    "skill,row5,\", comma first\",2\n",
    "skill,row6,last,3\n",
];

/// Every text that differs from `source` in one byte, with the index of that byte.
fn changed(source: &str) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..source.len()).flat_map(move |index| {
        BYTES.into_iter().map(move |byte| {
            let mut bytes = source.as_bytes().to_owned();
            bytes[index] = byte;
            (index, bytes)
        })
    })
}

/// The index of the part that contains a byte.
fn part_at(parts: &[impl AsRef<str>], index: usize) -> usize {
    let ends = parts.iter().scan(0, |end, part| {
        *end += part.as_ref().len();
        Some(*end)
    });
    ends.take_while(|end| *end <= index).count()
}

/// The names of the artifacts that a reader sends.
fn names(read: impl FnOnce(&mut RecordSink<'_>) -> anyhow::Result<()>) -> BTreeSet<String> {
    let (sender, receiver) = mpsc::channel();
    let mut sink = RecordSink::new(false, move |item| sender.send(item).is_ok());
    read(&mut sink).expect("a source of this format");
    drop(sink);
    let artifacts = receiver.into_iter().filter_map(|item| match item {
        SourceItem::Record(record) => Some(record.record),
        _ => None,
    });
    artifacts
        .filter_map(|record| if let Record::Artifact(artifact) = record { Some(artifact.name) } else { None })
        .collect()
}

#[test]
fn a_changed_byte_of_csv_affects_its_row_and_the_next_one() {
    const HEADER: &str = "type,name,description,stars\n";
    let rows = CSV_ROWS.concat();
    let name_of =
        |row: usize| CSV_ROWS.get(row).and_then(|row| row.split([',', '"']).find(|cell| cell.starts_with("row")));
    for (index, bytes) in changed(&rows) {
        let source = [HEADER.as_bytes(), &bytes].concat();

        let found = names(|sink| csv::read(source.as_slice(), sink));

        let row = part_at(&CSV_ROWS, index);
        let others = (0..CSV_ROWS.len()).filter(|other| ![row, row + 1].contains(other)).filter_map(name_of);
        let lost: Vec<&str> = others.filter(|name| !found.contains(*name)).collect();
        assert!(lost.is_empty(), "{lost:?} of {}", String::from_utf8_lossy(&source));
    }
}

#[test]
fn a_changed_byte_of_ndjson_affects_its_line_and_the_next_one() {
    let line = |n: u128| {
        let id = crate::graphql::id::GlobalId { prefix: "artifact", id: uuid::Uuid::from_u128(n) };
        format!(
            "{{\"record\":\"artifact\",\"id\":\"{id}\",\"type\":\"skill\",\"name\":\"row{n}\",\"tags\":[\"a\"],\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\"}}\n"
        )
    };
    let lines: Vec<String> = (0..4).map(line).collect();
    for (index, bytes) in changed(&lines.concat()) {
        let found = names(|sink| ndjson::read(bytes.as_slice(), sink));

        let changed = part_at(&lines, index);
        let others = (0..lines.len()).filter(|other| ![changed, changed + 1].contains(other));
        let lost: Vec<usize> = others.filter(|other| !found.contains(&format!("row{other}"))).collect();
        assert!(lost.is_empty(), "{lost:?} of {}", String::from_utf8_lossy(&bytes));
    }
}
