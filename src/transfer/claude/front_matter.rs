//! Reads front matter as people write it: YAML, with values that YAML requires to be quoted and that are not.
//!
//! Valid YAML is left to the parser. Otherwise the block is split into its keys, each of which is parsed separately, and only
//! a value that is still invalid is read as plain text. Claude Code and other programs that read such files do the same.
use serde_json::{Map, Value};

use super::yaml;

/// Maximum size of front matter, in bytes.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Maximum depth of mappings within an invalid block that are split into their keys.
const DEPTH_MAX: usize = 8;

/// Maximum number of characters of a key within an invalid block.
const KEY_MAX: usize = 64;

/// Keys by which front matter is recognised, and which may miss the space after their colon.
const KNOWN_KEYS: [&str; 8] =
    ["name", "description", "version", "tags", "model", "tools", "allowed-tools", "argument-hint"];

/// Keys whose value is a text even if it looks like a list, such as `[file]`.
const TEXT_KEYS: [&str; 9] =
    ["name", "description", "version", "author", "license", "homepage", "argument-hint", "model", "color"];

/// The values at the start of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FrontMatter {
    pub(super) values: Map<String, Value>,
    pub(super) deviations: Vec<Deviation>,
}

/// A place where the values are not those of the YAML in the file, or probably not those that its author means.
#[derive(Debug, PartialEq)]
pub(super) struct Deviation {
    /// The line of the file, starting at 1.
    pub(super) line: usize,
    pub(super) text: String,
}

impl FrontMatter {
    /// Reads the block between `---` lines at the start of a text. A text that starts with a horizontal rule has none.
    pub(super) fn read(text: &str) -> Self {
        let mut front = Self::default();
        let Some(block) = front.block(text) else { return front };
        let source: Vec<&str> = block.iter().map(|line| line.text).collect();
        let first = block.first().map_or(0, |line| line.number);
        match yaml::parse(&source.join("\n"), is_text_key) {
            Ok(mapping) if !has_bare_indicators(&source) => {
                front.values = mapping.values;
                for (line, text) in mapping.deviations {
                    front.add(first + line - 1, text);
                }
            }
            Err(_) if !is_front_matter(&source) => {}
            _ => front.values = front.mapping(&block, 0),
        }
        front
    }

    fn add(&mut self, line: usize, text: impl Into<String>) {
        self.deviations.push(Deviation { line, text: text.into() });
    }

    /// The lines between the first two fences; `None` if the text does not start with a fence.
    fn block<'t>(&mut self, text: &'t str) -> Option<Vec<Line<'t>>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().zip(1..).skip_while(|(line, _)| line.trim().is_empty());
        let (fence, opening) = lines.next()?;
        if fence.trim_end() != "---" {
            return None;
        }
        let mut block = Vec::new();
        let mut size = 0;
        let mut is_closed = false;
        for (line, number) in lines {
            is_closed = matches!(line.trim_end(), "---" | "...");
            size += line.len();
            if is_closed || size > BLOCK_BYTES_MAX {
                break;
            }
            block.push(Line { number, text: line });
        }
        let is_front_matter = || is_front_matter(&block.iter().map(|line| line.text).collect::<Vec<_>>());
        if !is_closed && is_front_matter() {
            let reason = "the front matter has no closing `---`: the file is read as text without front matter";
            self.add(opening, reason);
        }
        if is_closed && opening > 1 && is_front_matter() {
            self.add(opening, "blank lines before the front matter are ignored");
        }
        is_closed.then_some(block)
    }

    /// The values of a block that is not valid YAML as a whole.
    fn mapping(&mut self, lines: &[Line<'_>], depth: usize) -> Map<String, Value> {
        let mut values = Map::new();
        for entry in self.entries(lines) {
            let source: Vec<&str> = entry.lines.iter().map(|line| line.text).collect();
            let parsed = yaml::parse(&source.join("\n"), is_text_key);
            let entry_values = match parsed {
                Ok(mapping) if !mapping.values.is_empty() && !has_bare_indicators(&source) => {
                    for (line, text) in mapping.deviations {
                        self.add(entry.number() + line - 1, text);
                    }
                    mapping.values
                }
                _ => Map::from_iter([(entry.key.to_owned(), self.value(&entry, depth))]),
            };
            for (key, value) in entry_values {
                if values.insert(key.clone(), value).is_some() {
                    let text = format!("`{key}` appears twice: only the last value is used");
                    self.add(entry.number(), text);
                }
            }
        }
        values
    }

    /// Splits lines at the keys with the least indentation.
    fn entries<'l, 't>(&mut self, lines: &'l [Line<'t>]) -> Vec<Entry<'l, 't>> {
        let mut starts: Vec<usize> = Vec::new();
        let mut indent = usize::MAX;
        let mut open_examples = 0;
        for (index, line) in lines.iter().enumerate() {
            let is_key = open_examples == 0 && line.indent() <= indent && key_and_value(line.text).is_some();
            if is_key {
                indent = line.indent();
                starts.push(index);
            }
            // The examples of an agent's description contain lines such as `user: "…"`.
            open_examples += line.text.matches("<example>").count();
            open_examples = open_examples.saturating_sub(line.text.matches("</example>").count());
            if starts.is_empty() && !line.is_blank_or_comment() {
                self.add(line.number, "a line before the first key is ignored");
            }
        }
        let ends = starts.iter().skip(1).copied().chain([lines.len()]);
        let ranges = starts.iter().copied().zip(ends);
        ranges.filter_map(|(start, end)| Entry::new(&lines[start..end])).collect()
    }

    /// The value of a key that is not valid YAML.
    fn value(&mut self, entry: &Entry<'_, '_>, depth: usize) -> Value {
        let inner = dedented(&entry.lines[1..]);
        let first = inner.iter().find(|line| !line.is_blank_or_comment());
        if entry.value.is_empty()
            && let Some(first) = first
            && depth < DEPTH_MAX
        {
            if is_item(first.text) {
                return Value::Array(self.items(entry.key, &inner));
            }
            if key_and_value(first.text).is_some() {
                return Value::Object(self.mapping(&inner, depth + 1));
            }
        }
        let text = format!("the value of `{}` is not valid YAML: it is read as text", entry.key);
        self.add(entry.number(), text);
        match BlockStyle::parse(entry.value) {
            Some(style) => Value::String(style.text(&inner)),
            None => Value::String(unquoted(&folded(entry.value, &inner))),
        }
    }

    /// The items of a list that is not valid YAML as a whole.
    fn items(&mut self, key: &str, lines: &[Line<'_>]) -> Vec<Value> {
        let mut starts: Vec<usize> = (0..lines.len()).filter(|index| is_item(lines[*index].text)).collect();
        starts.push(lines.len());
        let mut items = Vec::new();
        for range in starts.windows(2) {
            let item = &lines[range[0]..range[1]];
            let source: Vec<&str> = item.iter().map(|line| line.text).collect();
            let parsed = yaml::parse(&format!("_:\n{}", source.join("\n")), |_| false);
            match parsed.ok().and_then(|mut mapping| mapping.values.shift_remove("_")) {
                Some(Value::Array(parsed)) => items.extend(parsed),
                _ => {
                    let text = format!("an item of `{key}` is not valid YAML: it is read as text");
                    self.add(item[0].number, text);
                    let text = folded(item[0].text.trim_start_matches('-').trim(), &item[1..]);
                    items.push(Value::String(unquoted(&text)));
                }
            }
        }
        items
    }
}

/// A line of a block, without its line break.
#[derive(Clone, Copy, Debug)]
struct Line<'t> {
    /// Its number in the file, starting at 1.
    number: usize,
    text: &'t str,
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn is_blank_or_comment(&self) -> bool {
        let text = self.text.trim_start();
        text.is_empty() || text.starts_with('#')
    }
}

/// A key, and its lines up to the next key.
struct Entry<'l, 't> {
    key: &'t str,
    /// The rest of the first line.
    value: &'t str,
    lines: &'l [Line<'t>],
}

impl<'l, 't> Entry<'l, 't> {
    fn new(lines: &'l [Line<'t>]) -> Option<Self> {
        let (key, value) = key_and_value(lines.first()?.text)?;
        Some(Self { key, value, lines })
    }

    fn number(&self) -> usize {
        self.lines.first().map_or(0, |line| line.number)
    }
}

/// The notation of a text in several lines: `|` keeps line breaks, `>` does not.
struct BlockStyle {
    is_folded: bool,
    keeps_end: bool,
}

impl BlockStyle {
    /// Parses an indicator such as `|`, `>-` or `|2+`.
    fn parse(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(['|', '>'])?;
        let indicators = rest.split(" #").next().unwrap_or_default().trim_end();
        let is_valid = indicators.len() <= 2 && indicators.chars().all(|c| c.is_ascii_digit() || "+-".contains(c));
        is_valid.then(|| Self { is_folded: value.starts_with('>'), keeps_end: !indicators.contains('-') })
    }

    fn text(&self, lines: &[Line<'_>]) -> String {
        let mut text = if self.is_folded {
            folded("", lines)
        } else {
            lines.iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
        };
        text.truncate(text.trim_end().len());
        if self.keeps_end {
            text.push('\n');
        }
        text
    }
}

fn is_text_key(key: &str) -> bool {
    TEXT_KEYS.contains(&key)
}

/// Whether a block between two `---` lines is front matter that is not valid YAML. Otherwise the lines are horizontal rules.
fn is_front_matter(lines: &[&str]) -> bool {
    let is_known = |line: &&&str| key_and_value(line).is_some_and(|(key, _)| KNOWN_KEYS.contains(&key));
    let starts_with_key = lines
        .iter()
        .find(|line| !line.trim_start().starts_with('#'))
        .is_some_and(|line| !line.trim().is_empty() && key_and_value(line).is_some());
    starts_with_key || lines.iter().any(|line| is_known(&line))
}

/// Whether a value starts with `!` or `&`, which YAML takes for a tag or an anchor and removes.
fn has_bare_indicators(lines: &[&str]) -> bool {
    lines.iter().filter_map(|line| key_and_value(line)).any(|(_, value)| match value.strip_prefix('&') {
        Some(anchor) => {
            let name: &str = anchor.split_whitespace().next().unwrap_or_default();
            let alias = format!("*{name}");
            name.is_empty() || !lines.iter().any(|line| line.contains(&alias))
        }
        None => value.starts_with('!') && !value.starts_with("!!"),
    })
}

/// The key of a line, and the text after its colon.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.split_once(':')?;
    let key = key.trim_end();
    let unquoted_key = ['"', '\''].iter().find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote));
    let is_word = key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) && !key.starts_with(['-', '.']);
    let is_separated = value.is_empty() || value.starts_with([' ', '\t']);
    let is_known = KNOWN_KEYS.contains(&key) && !value.starts_with("//");
    let is_key = !key.is_empty()
        && key.chars().count() <= KEY_MAX
        && (is_word || unquoted_key.is_some())
        && (is_separated || is_known);
    is_key.then(|| (unquoted_key.unwrap_or(key), value.trim()))
}

fn is_item(line: &str) -> bool {
    line == "-" || line.starts_with("- ")
}

/// Lines without the indentation of the first one that is not blank. A tab counts as one character.
fn dedented<'t>(lines: &[Line<'t>]) -> Vec<Line<'t>> {
    let indent = lines.iter().find(|line| !line.text.trim().is_empty()).map_or(0, Line::indent);
    let dedent = |line: &Line<'t>| {
        let end = line.text.char_indices().nth(indent.min(line.indent())).map_or(line.text.len(), |(end, _)| end);
        let cut = if line.text.trim().is_empty() { line.text.len() } else { end };
        Line { number: line.number, text: line.text[cut..].trim_end() }
    };
    lines.iter().map(dedent).collect()
}

/// Joins lines as YAML folds them: a line break becomes a space, and a blank line becomes a line break. Items of lists and
/// lines that start with `<` keep their own lines.
fn folded(first: &str, lines: &[Line<'_>]) -> String {
    let mut text = first.to_owned();
    let mut blank_lines = 0;
    for line in lines.iter().map(|line| line.text.trim()) {
        if line.is_empty() {
            blank_lines += 1;
            continue;
        }
        let has_own_line = ["- ", "* ", "<"].iter().any(|start| line.starts_with(start)) || text.ends_with('>');
        match blank_lines {
            _ if text.is_empty() => {}
            0 => text.push(if has_own_line { '\n' } else { ' ' }),
            count => text.extend(std::iter::repeat_n('\n', count)),
        }
        text.push_str(line);
        blank_lines = 0;
    }
    text
}

/// A text without the quotes around it. Quotes that are part of the text remain, as in `"a" and "b"`.
fn unquoted(text: &str) -> String {
    let Some(quote) = text.chars().next().filter(|first| ['"', '\''].contains(first)) else { return text.to_owned() };
    let rest = &text[1..];
    let Some(second) = rest.find(quote) else { return rest.to_owned() };
    let before = rest[..second].chars().next_back();
    let after = rest[second + 1..].chars().next();
    let closes_here = !before.is_some_and(|c| c.is_whitespace() || c == '\\') && after.is_some_and(char::is_whitespace);
    match rest.strip_suffix(quote) {
        Some(inner) if !closes_here => inner.replace(&format!("\\{quote}"), &quote.to_string()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
