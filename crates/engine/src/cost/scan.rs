//! A linear look at the text of a document, before it is parsed: how many tokens, and how deep brackets are nested.

/// What a text has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    Tokens,
    Nesting,
}

/// Counts tokens and nesting up to the limits. What is no token counts as one for each character; the parser finds it.
pub(crate) fn scan(text: &str, tokens_max: usize, nesting_max: usize) -> Result<(), LimitExceeded> {
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut nesting) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0xef | 0xbb | 0xbf => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
                continue;
            }
            b'{' | b'[' | b'(' => {
                nesting += 1;
                at += 1;
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                at += 1;
            }
            b'"' => at = string_end(bytes, at),
            b'_' | b'-' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                at += 1;
                at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
            }
            b'.' => at += bytes[at..].iter().take(3).take_while(|byte| **byte == b'.').count(),
            _ => at += 1,
        }
        tokens += 1;
        if tokens > tokens_max {
            return Err(LimitExceeded::Tokens);
        }
        if nesting > nesting_max {
            return Err(LimitExceeded::Nesting);
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')
}

/// The place after the string that begins at `start`; the end of the text where it is not closed.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let is_block = bytes[start..].starts_with(b"\"\"\"");
    let mut at = start + if is_block { 3 } else { 1 };
    while at < bytes.len() {
        match (is_block, bytes[at]) {
            (true, b'\\') if bytes[at + 1..].starts_with(b"\"\"\"") => at += 4,
            (true, b'"') if bytes[at..].starts_with(b"\"\"\"") => return at + 3,
            (false, b'\\') => at += 2,
            (false, b'"') => return at + 1,
            (false, b'\n' | b'\r') => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_specification_has_them() {
        let cases = [
            ("", 0),
            ("\u{feff}  , # { comment\n", 0),
            ("{a}", 3),
            ("query Q($a: Int = -1.5e+3) { ...F }", 14),
            (r#"{a(b:"x \" { } # c")}"#, 8),
            (r#"{a(b:"""block " "" \""" } """)}"#, 8),
            ("{a(b:\"\u{1f980}\")}", 8),
        ];
        for (text, tokens) in cases {
            assert_eq!(scan(text, tokens, 10), Ok(()), "{text}");
            if tokens > 0 {
                assert_eq!(scan(text, tokens - 1, 10), Err(LimitExceeded::Tokens), "{text}");
            }
        }
    }

    #[test]
    fn nesting_is_limited_whatever_the_brackets() {
        for text in
            ["{a".repeat(10_000), "{a(b:".to_owned() + &"[".repeat(10_000), "{a(b:".to_owned() + &"{c:".repeat(9)]
        {
            assert_eq!(scan(&text, usize::MAX, 8), Err(LimitExceeded::Nesting));
        }
    }
}
