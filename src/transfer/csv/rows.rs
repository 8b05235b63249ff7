//! Splits CSV into rows and cells.
//!
//! A quote that is not closed would make the rest of the file one cell. Therefore a row whose quotes are wrong, or that does
//! not end within [`LINE_BYTES_MAX`] and [`ROW_LINES_MAX`], is invalid, and reading resumes at the line after its first one.
use std::{collections::VecDeque, io, io::BufRead};

use super::super::bounded_lines::{LINE_BYTES_MAX, Line, Lines, utf8};

/// Maximum number of lines of a row.
const ROW_LINES_MAX: usize = 1 << 16;

/// A row and the number of its first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: u64,
    /// The cells, or the reason why they cannot be read.
    pub(super) cells: Result<Vec<String>, String>,
}

/// Reads rows.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    /// Lines to read again.
    returned: VecDeque<(u64, Line)>,
    /// The lines of the row that was read last.
    current: Vec<(u64, Line)>,
    /// The byte between cells.
    pub(super) separator: u8,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(reader: R) -> Self {
        let lines = Lines::with_any_break(reader);
        Self { lines, returned: VecDeque::new(), current: Vec::new(), separator: b',' }
    }

    /// The next line without its line break, which is not part of a row; `None` at the end or if it is too long.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.current.clear();
        self.read_line()?;
        Ok(match self.current.last() {
            Some((_, Line::Text(line))) => Some(line.trim_ascii_end().to_owned()),
            _ => None,
        })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(super) fn row(&mut self) -> io::Result<Option<Row>> {
        self.current.clear();
        let mut cells = Cells::default();
        let mut size = 0;
        while self.read_line()? {
            let Some((_, Line::Text(text))) = self.current.last() else {
                return Ok(Some(self.invalid(&format!("it is longer than {LINE_BYTES_MAX} bytes"))));
            };
            size += text.len();
            match cells.add(text, self.separator, self.current.len() > 1) {
                Progress::Complete => return Ok(Some(self.complete(cells))),
                Progress::Invalid(reason) => return Ok(Some(self.invalid(reason))),
                Progress::NeedsLine if size > LINE_BYTES_MAX || self.current.len() >= ROW_LINES_MAX => break,
                Progress::NeedsLine => {}
            }
        }
        if self.current.is_empty() { Ok(None) } else { Ok(Some(self.invalid("a quote is not closed"))) }
    }

    /// Makes the lines that were read last come again.
    pub(super) fn return_lines(&mut self) {
        self.return_all_but(0);
    }

    /// Adds the next line to the current ones; returns false at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        let line = match self.returned.pop_front() {
            Some(line) => Some(line),
            None => self.lines.next()?,
        };
        let is_read = line.is_some();
        self.current.extend(line);
        Ok(is_read)
    }

    fn return_all_but(&mut self, count: usize) {
        for line in self.current.drain(count..).rev() {
            self.returned.push_front(line);
        }
    }

    fn complete(&self, cells: Cells) -> Row {
        let text = |(cell, column): (Vec<u8>, usize)| utf8(cell).map_err(|reason| format!("column {column}: {reason}"));
        Row { line: self.first_line(), cells: cells.cells.into_iter().zip(1..).map(text).collect() }
    }

    /// A rejected row. Its lines after the first one come again.
    fn invalid(&mut self, reason: &str) -> Row {
        self.return_all_but(1);
        Row { line: self.first_line(), cells: Err(reason.to_owned()) }
    }

    fn first_line(&self) -> u64 {
        self.current.first().map_or(0, |(number, _)| *number)
    }
}

/// The result of adding a line to a row.
enum Progress {
    Complete,
    /// The line ends within quotes.
    NeedsLine,
    Invalid(&'static str),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a cell, apart from spaces.
    #[default]
    Start,
    Unquoted,
    Quoted,
    /// After a quote within quotes: the end of the cell, or the first of two quotes that are one.
    Quote,
    /// Between the end of quotes and the separator.
    End,
}

/// The cells of a row.
#[derive(Default)]
struct Cells {
    cells: Vec<Vec<u8>>,
    cell: Vec<u8>,
    state: State,
    /// Whether a cell without quotes around it contains one.
    has_bare_quote: bool,
}

impl Cells {
    /// Adds a line with its line break. `is_continued` says whether the row has earlier lines.
    fn add(&mut self, line: &[u8], separator: u8, is_continued: bool) -> Progress {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        for byte in text {
            if let Some(reason) = self.add_byte(*byte, separator) {
                return Progress::Invalid(reason);
            }
        }
        if self.state == State::Quoted {
            self.cell.extend_from_slice(&line[text.len()..]);
            return Progress::NeedsLine;
        }
        if is_continued && self.has_bare_quote {
            return Progress::Invalid("a quote is not closed");
        }
        self.finish_cell();
        Progress::Complete
    }

    /// Adds a byte; returns the reason if it is invalid.
    fn add_byte(&mut self, byte: u8, separator: u8) -> Option<&'static str> {
        let is_separator = byte == separator;
        match self.state {
            State::Quoted if byte == b'"' => self.state = State::Quote,
            State::Quoted => self.cell.push(byte),
            State::Quote if byte == b'"' => {
                self.cell.push(byte);
                self.state = State::Quoted;
            }
            State::Start if byte == b'"' => {
                self.cell.clear();
                self.state = State::Quoted;
            }
            _ if is_separator => self.finish_cell(),
            State::Quote | State::End if byte.is_ascii_whitespace() => self.state = State::End,
            State::Quote | State::End => return Some("a quote is followed by other text: write two quotes for one"),
            State::Start | State::Unquoted => {
                let is_blank = self.state == State::Start && byte.is_ascii_whitespace();
                self.state = if is_blank { State::Start } else { State::Unquoted };
                self.has_bare_quote = self.has_bare_quote || byte == b'"';
                self.cell.push(byte);
            }
        }
        None
    }

    fn finish_cell(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        let is_quoted = matches!(self.state, State::Quote | State::End);
        self.cells.push(if is_quoted { cell } else { cell.trim_ascii().to_owned() });
        self.state = State::Start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a text, each as its line and its cells, or the reason to reject it.
    fn rows(text: &[u8]) -> Vec<(u64, Result<Vec<String>, String>)> {
        let mut rows = Rows::new(text);
        std::iter::from_fn(|| rows.row().expect("a row")).map(|row| (row.line, row.cells)).collect()
    }

    fn cells<const N: usize>(line: u64, cells: [&str; N]) -> (u64, Result<Vec<String>, String>) {
        (line, Ok(cells.map(str::to_owned).to_vec()))
    }

    #[test]
    fn quotes_enclose_separators_line_breaks_and_quotes() {
        let text = b"a, b ,\"c,d\"\r\n\"e\nf\",\"g\"\"h\", \"i\" \r5\" disk,,\n\n\"\"";
        let expected = [
            cells(1, ["a", "b", "c,d"]),
            cells(2, ["e\nf", "g\"h", "i"]),
            cells(4, ["5\" disk", "", ""]),
            cells(5, [""]),
            cells(6, [""]),
        ];
        assert_eq!(rows(text), expected);
    }

    #[test]
    fn a_wrong_quote_rejects_its_line_alone() {
        for (first, count) in [("a,\"b", 1), ("a,\"b\"c", 1), ("\"a\nb\"c", 2)] {
            let rest = "one,\"two\"\nthree,\", and\"\n";
            let rows = rows(format!("{first}\n{rest}").as_bytes());

            assert!(rows[0].1.is_err() && rows[0].0 == 1, "{first}: {rows:?}");
            let kept: Vec<_> = rows.iter().skip(count).map(|(_, cells)| cells.clone().expect("cells")).collect();
            assert_eq!(kept, [["one", "two"], ["three", ", and"]], "{first}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_rejected_with_their_column() {
        let rows = rows(b"a,caf\xe9\nb,c\n");

        assert!(rows[0].1.as_ref().is_err_and(|reason| reason.starts_with("column 2: byte 0xe9")), "{rows:?}");
        assert_eq!(rows[1], cells(2, ["b", "c"]));
    }

    #[test]
    fn a_row_that_does_not_end_is_rejected_within_bounded_memory() {
        let text = format!("a,\"b\n{}c,d\n", "x\n".repeat(ROW_LINES_MAX));
        let mut rows = Rows::new(text.as_bytes());

        assert!(rows.row().expect("a row").is_some_and(|row| row.line == 1 && row.cells.is_err()));
        assert_eq!(rows.row().expect("a row"), Some(Row { line: 2, cells: Ok(vec!["x".to_owned()]) }));
        let last = std::iter::from_fn(|| rows.row().expect("a row")).last().expect("rows");
        assert_eq!(last.cells, Ok(vec!["c".to_owned(), "d".to_owned()]));
    }
}
