//! The first row of CSV, which names the columns.
use std::io::BufRead;

use anyhow::{Context, Result, bail, ensure};

use super::{super::bounded_lines::reason_not_text, rows::Rows};

/// Separators that are recognised by the names between them.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Columns with a fixed meaning. All others become metadata.
pub(super) const COLUMNS: [&str; 14] = [
    "type",
    "name",
    "description",
    "content",
    "source",
    "author",
    "license",
    "homepage",
    "version",
    "visibility",
    "tags",
    "collections",
    "groups",
    "created_at",
];

/// Reads the names of the columns and sets the separator of the other rows. Names with a fixed meaning may have any case,
/// and spaces or hyphens instead of underscores.
///
/// # Errors
/// The file is not text, or its first row does not name the columns.
pub(super) fn read(rows: &mut Rows<impl BufRead>) -> Result<Vec<String>> {
    let first = rows.line().context("cannot read the first line")?.unwrap_or_default();
    if let Some(reason) = reason_not_text(&first) {
        bail!("the file is not CSV: {reason}");
    }
    let separator = match first.to_ascii_lowercase().as_slice() {
        [b's', b'e', b'p', b'=', separator] => Some(*separator),
        // `sep=` followed by a tab, which is white space at the end of the line.
        b"sep=" => Some(b'\t'),
        _ => None,
    };
    if separator.is_none() {
        rows.return_lines();
    }
    let names = match separator {
        Some(separator) => row(rows, separator)?,
        None => detected_row(rows)?,
    };
    let names: Vec<String> = names.iter().map(|name| canonical(name)).collect();
    ensure!(
        is_header(&names),
        "the first row must name the columns, including `type` and `name`; its cells are: {}",
        names.join(", ")
    );
    ensure_distinct(&names)?;
    Ok(names)
}

/// The first row with the separator for which it names the required columns, or else with commas.
fn detected_row(rows: &mut Rows<impl BufRead>) -> Result<Vec<String>> {
    for separator in SEPARATORS {
        if let Ok(names) = row(rows, separator)
            && is_header(&names.iter().map(|name| canonical(name)).collect::<Vec<_>>())
        {
            return Ok(names);
        }
        rows.return_lines();
    }
    row(rows, SEPARATORS[0])
}

fn row(rows: &mut Rows<impl BufRead>, separator: u8) -> Result<Vec<String>> {
    rows.separator = separator;
    let row = rows.row().context("cannot read the first row")?.context("the file is empty")?;
    row.cells.map_err(|reason| anyhow::anyhow!("line {}: {reason}", row.line))
}

fn canonical(name: &str) -> String {
    let lower = name.trim().to_lowercase().replace([' ', '-'], "_");
    if COLUMNS.contains(&lower.as_str()) { lower } else { name.trim().to_owned() }
}

fn is_header(names: &[String]) -> bool {
    ["type", "name"].iter().all(|required| names.iter().any(|name| name == required))
}

fn ensure_distinct(names: &[String]) -> Result<()> {
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let earlier = names[..index].iter().position(|other| other == name);
        if let Some(earlier) = earlier {
            bail!("columns {} and {} have the same name `{name}`: rename one", earlier + 1, index + 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<(Vec<String>, u8)> {
        let mut rows = Rows::new(text.as_bytes());
        Ok((read(&mut rows)?, rows.separator))
    }

    #[test]
    fn separators_and_the_case_of_names_are_recognised() {
        let cases = [
            ("type,name,Stars", b','),
            ("\u{feff}type;name;Stars\n", b';'),
            ("TYPE\tName\tStars\n", b'\t'),
            ("\"Type\"| \"name\" |Stars\r\n", b'|'),
            ("sep=,\ntype,name,Stars\n", b','),
            ("SEP=;\r\ntype;name;Stars\n", b';'),
            ("sep=\t\ntype\tname\tStars\n", b'\t'),
            ("sep=#\ntype#name#Stars\n", b'#'),
        ];
        for (text, separator) in cases {
            let names = ["type", "name", "Stars"].map(str::to_owned).to_vec();
            assert_eq!(header(text).expect("a header"), (names, separator), "{text}");
        }
        let (names, _) = header("type,name,Created At\n").expect("a header");
        assert_eq!(names[2], "created_at");
    }

    #[test]
    fn an_invalid_header_is_an_error_that_names_the_columns() {
        let cases = [
            ("", "empty"),
            ("kind,title\n", "kind, title"),
            ("type,name,Name\n", "columns 2 and 3 have the same name `name`"),
            ("type,name,x,y,x\n", "columns 3 and 5 have the same name `x`"),
            ("\u{1f}\u{8b}", "its cells are"),
            ("t\0y\0p\0e\0", "UTF-16"),
            ("PK\u{3}\u{4}", "Excel"),
            ("sep=;\ntype,name\n", "its cells are: type,name"),
        ];
        for (text, expected) in cases {
            let error = header(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(header("type,name,,\n").is_ok());
    }
}
