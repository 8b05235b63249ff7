//! Lines of bounded length, and what files that are not text start with.
use std::io::{self, BufRead, ErrorKind};

/// Maximum length of a line, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// Reads lines. A longer line is skipped without reading it into memory.
pub(super) struct Lines<R> {
    reader: R,
    /// Bytes that end a line, besides `\n`.
    breaks_at_return: bool,
    number: u64,
}

/// A line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line with its line break.
    Text(Vec<u8>),
    /// A line that is longer than [`LINE_BYTES_MAX`].
    TooLong,
}

impl<R: BufRead> Lines<R> {
    /// Lines that end at `\n`.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, breaks_at_return: false, number: 0 }
    }

    /// Lines that end at `\n`, `\r\n` or `\r`.
    pub(super) fn with_any_break(reader: R) -> Self {
        Self { breaks_at_return: true, ..Self::new(reader) }
    }

    /// The next line and its number, starting at 1; `None` at the end. The first line has no byte order mark.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line)>> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = match self.breaks_at_return {
                true => memchr::memchr2(b'\n', b'\r', buffer),
                false => memchr::memchr(b'\n', buffer),
            };
            let length = end.map_or(buffer.len(), |end| end + 1);
            let is_end = end.is_some() || length == 0;
            let is_return = end.is_some_and(|end| buffer[end] == b'\r');
            is_too_long = is_too_long || line.len() + length > LINE_BYTES_MAX;
            if is_too_long {
                line = Vec::new();
            } else {
                line.extend_from_slice(&buffer[..length]);
            }
            self.reader.consume(length);
            if is_return && self.reader.fill_buf()?.first() == Some(&b'\n') {
                line.push(b'\n');
                self.reader.consume(1);
            }
            if is_end {
                break;
            }
        }
        if line.is_empty() && !is_too_long {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Some((self.number, if is_too_long { Line::TooLong } else { Line::Text(line) })))
    }
}

/// The reason why a file that starts with these bytes is not UTF-8 text, if they show it.
pub(super) fn reason_not_text(start: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "it is compressed with gzip: decompress it first, as with `gzip -d`"),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: decompress it first, as with `zstd -d`"),
        (b"BZh", "it is compressed with bzip2: decompress it first, as with `bzip2 -d`"),
        (b"PK\x03\x04", "it is a ZIP archive or an Excel workbook: save it as UTF-8 text"),
        (b"SQLite format 3\0", "it is an SQLite database"),
        (b"\xff\xfe", "its encoding is UTF-16: save it as UTF-8"),
        (b"\xfe\xff", "its encoding is UTF-16: save it as UTF-8"),
    ];
    let reason = SIGNATURES.iter().find(|(bytes, _)| start.starts_with(bytes)).map(|(_, reason)| *reason);
    let is_utf16 = || start.len() >= 4 && (start[0] == 0) != (start[1] == 0) && (start[2] == 0) != (start[3] == 0);
    reason.or_else(|| is_utf16().then_some("its encoding is UTF-16: save it as UTF-8"))
}

/// A text of these bytes.
///
/// # Errors
/// The reason, which names the first byte that is not UTF-8.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.as_bytes()[error.utf8_error().valid_up_to()];
        format!("byte 0x{byte:02x} is not UTF-8: convert the file, whose encoding may be Windows-1252 or Latin-1")
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn read(mut lines: Lines<impl BufRead>) -> Vec<(u64, Line)> {
        std::iter::from_fn(|| lines.next().expect("a line")).collect()
    }

    fn texts(lines: Lines<impl BufRead>) -> Vec<String> {
        let text = |(_, line)| match line {
            Line::Text(line) => String::from_utf8(line).expect("text"),
            Line::TooLong => "too long".to_owned(),
        };
        read(lines).into_iter().map(text).collect()
    }

    #[test]
    fn lines_keep_their_breaks_and_the_first_loses_its_byte_order_mark() {
        let text = "\u{feff}a\r\n\nb\rc\n\u{feff}d";
        for capacity in [1, 2, 3, 100] {
            let reader = || BufReader::with_capacity(capacity, text.as_bytes());
            assert_eq!(texts(Lines::new(reader())), ["a\r\n", "\n", "b\rc\n", "\u{feff}d"]);
            assert_eq!(texts(Lines::with_any_break(reader())), ["a\r\n", "\n", "b\r", "c\n", "\u{feff}d"]);
        }
        assert_eq!(texts(Lines::new("".as_bytes())), Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_alone() {
        let long = std::io::repeat(b'x').take(LINE_BYTES_MAX as u64 + 1);
        let reader = BufReader::new("a\n".as_bytes().chain(long).chain("\nb".as_bytes()));

        assert_eq!(texts(Lines::new(reader)), ["a\n", "too long", "b"]);
    }

    #[test]
    fn files_that_are_not_text_are_recognised() {
        for bytes in [&b"\x1f\x8b\x08"[..], b"PK\x03\x04", b"\xff\xfet\0", b"t\0y\0", b"\0t\0y"] {
            assert!(reason_not_text(bytes).is_some(), "{bytes:?}");
        }
        for bytes in [&b""[..], b"t", b"type", b"\xef\xbb\xbftype", b"\0\0\0\0"] {
            assert_eq!(reason_not_text(bytes), None, "{bytes:?}");
        }
    }
}
