//! SQL texts with named placeholders, parsed and checked while the program is compiled.
//!
//! A text is written as one readable literal: `"select a.id, {columns} from artifacts a where a.id {in_keys} {a_visible}"`.
//! [`crate::statement!`] and [`crate::append!`] split it into [`Part`]s at compile time, so that rendering is a loop over
//! them. The build fails for
//! - a placeholder without a value, and a value without a placeholder;
//! - a policy placeholder (`a_visible`, `a_own`) whose alias `a` the text does not define;
//! - a text that reads or changes a table of [`PROTECTED`] without a policy placeholder or an exemption with its reason,
//!   such as `{exempt: the artifact is locked}`, which renders as nothing.
//!
//! White space of any length outside of quotes becomes one space, so texts may have a clause on each line.

/// Tables whose rows belong to accounts. `{table}` and `{from}` stand for any of them.
const PROTECTED: [&str; 11] = [
    "artifacts",
    "collections",
    "collection_artifacts",
    "groups",
    "group_artifacts",
    "artifact_versions",
    "artifact_tags",
    "share_links",
    "shares",
    "{table}",
    "{from}",
];

/// Marks a part that ends without a placeholder.
const NO_SLOT: usize = usize::MAX;

/// Static text, and the placeholder after it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub(super) text: &'static str,
    slot: usize,
    /// The alias that a policy placeholder is about; empty for other placeholders.
    alias: &'static str,
    is_policy: bool,
    pub(super) name: &'static str,
}

impl Part {
    /// The index of the value that follows the text, if one does.
    pub(super) const fn slot(&self) -> Option<usize> {
        if self.slot == NO_SLOT { None } else { Some(self.slot) }
    }

    /// The alias that a policy placeholder is about; empty for other placeholders, and if any alias fits.
    pub(super) const fn alias(&self) -> &'static str {
        self.alias
    }

    /// Whether the placeholder takes a policy.
    pub(super) const fn is_policy(&self) -> bool {
        self.is_policy
    }
}

/// The length of a text whose white space is normalised.
#[doc(hidden)]
pub const fn normalised_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut length, mut is_quoted) = (0, 0, false);
    while at < bytes.len() {
        if bytes[at] == b'\'' {
            is_quoted = !is_quoted;
        }
        if is_quoted || !is_repeated_space(bytes, at) {
            length += 1;
        }
        at += 1;
    }
    length
}

/// The text with its white space normalised; `N` is its [`normalised_len`].
#[doc(hidden)]
pub const fn normalise<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    let mut normalised = [b' '; N];
    let (mut at, mut length, mut is_quoted) = (0, 0, false);
    while at < bytes.len() {
        if bytes[at] == b'\'' {
            is_quoted = !is_quoted;
        }
        if is_quoted || !is_repeated_space(bytes, at) {
            normalised[length] = if !is_quoted && bytes[at].is_ascii_whitespace() { b' ' } else { bytes[at] };
            length += 1;
        }
        at += 1;
    }
    normalised
}

const fn is_repeated_space(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at].is_ascii_whitespace() && bytes[at - 1].is_ascii_whitespace()
}

/// The normalised bytes as text.
#[doc(hidden)]
pub const fn as_text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("white space outside of quotes is ASCII"),
    }
}

/// How many parts a text has.
#[doc(hidden)]
pub const fn parts_of(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (0, 1);
    while at < bytes.len() {
        if bytes[at] == b'{' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// Splits a text at its placeholders, which `names` lists in the order of their values; the first `optional` of them need
/// not occur.
///
/// # Panics
/// A placeholder is not in `names`, or one of `names` is not in the text; a policy's alias is not defined; a protected table
/// is read without a policy or an exemption. The macros call it at compile time.
#[doc(hidden)]
pub const fn parse<const N: usize>(text: &'static str, names: &[&str], optional: usize) -> [Part; N] {
    let mut parts = [Part { text: "", slot: NO_SLOT, alias: "", is_policy: false, name: "" }; N];
    let mut rest = text;
    let (mut index, mut has_policy) = (0, false);
    while let Some(start) = find(rest.as_bytes(), b'{', 0) {
        let Some(end) = find(rest.as_bytes(), b'}', start) else { panic!("a placeholder has no end") };
        let name = between(rest, start + 1, end);
        parts[index].text = between(rest, 0, start);
        if is_exemption(name.as_bytes()) {
            has_policy = true;
        } else {
            let (slot, alias, is_policy) = (slot_of(name, names), alias_of(name), is_policy(name.as_bytes()));
            if is_policy {
                has_policy = true;
                check_alias(text, alias);
            }
            parts[index] = Part { text: parts[index].text, slot, alias, is_policy, name };
        }
        rest = between(rest, end + 1, rest.len());
        index += 1;
    }
    parts[index].text = rest;
    check_names(&parts, names, optional);
    if reads_protected(text) && !has_policy {
        panic!("a protected table is read without a policy placeholder or an exemption, `{{exempt: the reason}}`");
    }
    parts
}

const fn slot_of(name: &str, names: &[&str]) -> usize {
    let mut slot = 0;
    while slot < names.len() {
        if equal(names[slot].as_bytes(), name.as_bytes()) {
            return slot;
        }
        slot += 1;
    }
    panic!("a placeholder of the text has no value")
}

/// Every value has a placeholder, but for the first ones, which are optional.
const fn check_names(parts: &[Part], names: &[&str], optional: usize) {
    let mut slot = optional;
    while slot < names.len() {
        let (mut at, mut is_used) = (0, false);
        while at < parts.len() {
            is_used = is_used || parts[at].slot == slot;
            at += 1;
        }
        if !is_used {
            panic!("a value has no placeholder in the text");
        }
        slot += 1;
    }
}

const fn is_exemption(name: &[u8]) -> bool {
    const EXEMPT: &[u8] = b"exempt: ";
    starts_with(name, 0, EXEMPT) && name.len() > EXEMPT.len()
}

const fn is_policy(name: &[u8]) -> bool {
    equal(name, b"visible") || ends_with(name, b"_visible") || ends_with(name, b"_own")
}

/// The alias in the name of a policy placeholder; empty for others.
const fn alias_of(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    if ends_with(bytes, b"_visible") {
        return between(name, 0, bytes.len() - b"_visible".len());
    }
    if ends_with(bytes, b"_own") { between(name, 0, bytes.len() - b"_own".len()) } else { "" }
}

const fn check_alias(text: &str, alias: &str) {
    if !alias.is_empty() && !defines_alias(text, alias) {
        panic!("a policy placeholder is about an alias that the text does not define");
    }
}

/// Whether a text gives a table this alias, after `from`, `join` or `update`.
pub(crate) const fn defines_alias(text: &str, alias: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(table) = next_table(bytes, at) {
        if is_alias(text, table, alias) {
            return true;
        }
        at = table;
    }
    false
}

/// Whether the table whose name is at the index has this alias.
pub(crate) const fn is_alias(text: &str, table: usize, alias: &str) -> bool {
    let bytes = text.as_bytes();
    let mut start = skip_spaces(bytes, end_of_table(bytes, table));
    if starts_with(bytes, start, b"as ") {
        start = skip_spaces(bytes, start + 3);
    }
    equal(slice(bytes, start, end_of_name(bytes, start)), alias.as_bytes())
}

/// Whether a text reads or changes a table of [`PROTECTED`].
pub(crate) const fn reads_protected(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(table) = next_table(bytes, at) {
        let name = slice(bytes, table, end_of_table(bytes, table));
        let mut index = 0;
        while index < PROTECTED.len() {
            if equal(name, PROTECTED[index].as_bytes()) {
                return true;
            }
            index += 1;
        }
        at = table;
    }
    false
}

/// Where the name of the next table begins: after `from`, `join` or `update`, or at the start of a list of tables.
const fn next_table(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < bytes.len() {
        let is_word_start = at == 0 || !is_name(bytes[at - 1]);
        if is_word_start {
            if starts_with(bytes, at, b"from ") || starts_with(bytes, at, b"join ") {
                return Some(skip_spaces(bytes, at + 5));
            }
            if starts_with(bytes, at, b"update ") {
                return Some(skip_spaces(bytes, at + 7));
            }
        }
        at += 1;
    }
    None
}

const fn end_of_table(bytes: &[u8], start: usize) -> usize {
    if start < bytes.len() && bytes[start] == b'{' {
        return match find(bytes, b'}', start) {
            Some(end) => end + 1,
            None => bytes.len(),
        };
    }
    end_of_name(bytes, start)
}

const fn end_of_name(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while end < bytes.len() && is_name(bytes[end]) {
        end += 1;
    }
    end
}

const fn skip_spaces(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() && bytes[at] == b' ' {
        at += 1;
    }
    at
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn find(bytes: &[u8], wanted: u8, from: usize) -> Option<usize> {
    let mut at = from;
    while at < bytes.len() {
        if bytes[at] == wanted {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn between(text: &'static str, start: usize, end: usize) -> &'static str {
    text.split_at(end).0.split_at(start).1
}

const fn slice(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.split_at(end).0.split_at(start).1
}

const fn starts_with(bytes: &[u8], at: usize, wanted: &[u8]) -> bool {
    at + wanted.len() <= bytes.len() && equal(slice(bytes, at, at + wanted.len()), wanted)
}

const fn ends_with(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.len() <= bytes.len() && starts_with(bytes, bytes.len() - wanted.len(), wanted)
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Checks that the statement of a relation selects its key first: the column that `{in_keys}` limits, or the key of
/// `{key_table}`.
///
/// # Panics
/// It does not. `relation!` calls it at compile time.
#[doc(hidden)]
pub const fn check_key_column(text: &'static str) {
    const SELECT: &[u8] = b"select ";
    let bytes = text.as_bytes();
    if !starts_with(bytes, 0, SELECT) {
        panic!("the statement of a relation begins with its select list");
    }
    let mut end = SELECT.len();
    while end < bytes.len() && (is_name(bytes[end]) || bytes[end] == b'.') {
        end += 1;
    }
    let key = slice(bytes, SELECT.len(), end);
    let mut at = SELECT.len();
    while at < bytes.len() {
        let is_limited = starts_with(bytes, at, key) && starts_with(bytes, at + key.len(), b" {in_keys}");
        if is_limited && !is_name(bytes[at - 1]) && bytes[at - 1] != b'.' {
            return;
        }
        if starts_with(bytes, at, b"{key_table}") && (ends_with(key, b".id") || ends_with(key, b".a")) {
            return;
        }
        at += 1;
    }
    panic!("the first column of a relation is its key: the one before {{in_keys}}, or that of {{key_table}}")
}

/// Parses a text with named placeholders at compile time. [`crate::statement!`] and [`crate::append!`] use it.
#[doc(hidden)]
#[macro_export]
macro_rules! template {
    ($text:expr $(, $name:ident)* $(,)?) => {{
        use $crate::template;
        const TEXT: &str = $text;
        const NORMALISED: [u8; template::normalised_len(TEXT)] = template::normalise(TEXT);
        const PARTS: &[template::Part] = &template::parse::<{ template::parts_of(TEXT) }>(
            template::as_text(&NORMALISED),
            &[$(stringify!($name)),*],
            0,
        );
        PARTS
    }};
    (of relation $text:expr $(, $name:ident)* $(,)?) => {{
        use $crate::template;
        const TEXT: &str = $text;
        const NORMALISED: [u8; template::normalised_len(TEXT)] = template::normalise(TEXT);
        const _: () = template::check_key_column(template::as_text(&NORMALISED));
        const PARTS: &[template::Part] = &template::parse::<{ template::parts_of(TEXT) }>(
            template::as_text(&NORMALISED),
            &["in_keys", "key_table", $(stringify!($name)),*],
            2,
        );
        PARTS
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parts: &[Part]) -> Vec<(&str, Option<usize>)> {
        parts.iter().map(|part| (part.text, part.slot())).collect()
    }

    #[test]
    fn a_text_is_split_at_its_placeholders() {
        let parts = template!(
            "select a.id, {columns}
             from artifacts a
             where a.id {in_keys} {a_visible} and a.name = '  '",
            in_keys,
            columns,
            a_visible
        );

        let expected = [
            ("select a.id, ", Some(1)),
            (" from artifacts a where a.id ", Some(0)),
            (" ", Some(2)),
            (" and a.name = '  '", None),
        ];
        assert_eq!(texts(parts), expected);
    }

    #[test]
    fn an_exemption_renders_as_nothing() {
        let parts = template!("select a.name from artifacts a {exempt: a test} where a.id = {id}", id);

        assert_eq!(texts(parts), [("select a.name from artifacts a ", None), (" where a.id = ", Some(0)), ("", None)]);
    }

    fn rejected(text: &'static str, names: &[&str]) -> bool {
        let names: Vec<&str> = names.to_vec();
        std::panic::catch_unwind(move || parse::<8>(text, &names, 0)).is_err()
    }

    #[test]
    fn placeholders_and_values_belong_to_each_other() {
        assert!(!rejected("select 1 where true = {yes}", &["yes"]));
        assert!(rejected("select 1 where true = {yes}", &[]), "a placeholder without a value");
        assert!(rejected("select 1", &["yes"]), "a value without a placeholder");
        assert!(rejected("select {", &[]), "a placeholder without an end");
    }

    #[test]
    fn a_policy_needs_its_alias() {
        assert!(!rejected("select a.id from artifacts a where true {a_visible}", &["a_visible"]));
        assert!(!rejected("update artifacts as a set name = '' where true {a_own}", &["a_own"]));
        assert!(rejected("select b.id from artifacts b where true {a_visible}", &["a_visible"]));
        assert!(rejected("select 1 from tags t where true {a_visible}", &["a_visible"]));
    }

    #[test]
    fn a_protected_table_needs_a_policy_or_an_exemption() {
        for text in [
            "select 1 from artifacts a",
            "select 1 from tags t join shares s on true",
            "delete from groups",
            "update collections set revision = 1",
            "select 1 from tags t where exists (select 1 from artifact_tags)",
        ] {
            assert!(rejected(text, &[]), "{text}");
        }
        assert!(rejected("select 1 from {table} m", &["table"]));
        assert!(rejected("select 1 from artifacts a {exempt: }", &[]), "an exemption has a reason");
        assert!(!rejected("select 1 from artifacts a {exempt: a test}", &[]));
        assert!(!rejected("select 1 from tags t", &[]));
    }

    #[test]
    fn a_relation_selects_its_key_first() {
        let rejected = |text: &'static str| std::panic::catch_unwind(move || check_key_column(text)).is_err();

        assert!(!rejected("select a.id, {columns} from artifacts a where a.id {in_keys}"));
        assert!(!rejected("select k.id, {columns} from {key_table} k"));
        assert!(rejected("select {columns} from artifacts a where a.id {in_keys}"));
        assert!(rejected("select a.name, a.id from artifacts a where a.id {in_keys}"));
        assert!(rejected("select d, a.id from artifacts a where a.id {in_keys}"));
        assert!(rejected("select a.id from artifacts a"));
    }
}
