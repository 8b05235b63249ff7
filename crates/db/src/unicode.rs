//! Unicode: names in normalization form C, and the words of the full-text indexes.
//!
//! The program normalises text itself, when it is written and when it is searched. The databases split the result at spaces
//! and compare bytes, so both find the same. `docs/decisions/0012-text.md` has the reasons.
use std::{borrow::Cow, collections::HashSet};

use icu_casemap::CaseMapper;
use icu_normalizer::{
    ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed, properties::CanonicalCombiningClassMapBorrowed,
};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup,
        LineBreak, RegionalIndicator,
    },
};

/// Maximum number of bytes of the words of a long text. PostgreSQL rejects an index entry with words of 1 MiB or more; the
/// difference is for the words of other columns.
pub const LONG_TEXT: usize = 850_000;

/// Maximum number of bytes of the words of a short text.
pub const SHORT_TEXT: usize = 50_000;

/// Maximum number of bytes of a word; the rest is ignored. PostgreSQL rejects words of 2 KiB or more.
const WORD_BYTES_MAX: usize = 512;

/// Number of characters that are indexed at each position of a text without spaces between words.
const WINDOW: usize = 3;

/// The Arabic letter that only extends the line between two others.
const TATWEEL: char = '\u{640}';

/// The text in normalization form C: canonically equivalent texts become equal.
pub fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Whether a character is neither displayed nor affects the meaning of a text, such as a soft hyphen or a variation selector.
pub fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// The words of a text as a full-text index stores them: normalised, each once, separated by spaces, at most `limit` bytes.
///
/// In a text of a script that does not separate words by spaces, a word of up to three characters begins at each character.
pub fn index_words(text: &str, limit: usize) -> String {
    let folded = fold(text);
    let mut words = Words { seen: HashSet::new(), text: String::new(), limit };
    for (run, kind) in runs(&folded) {
        let is_complete = match kind {
            Kind::Word => words.add(truncated(run)),
            Kind::Unspaced => positions(run).all(|start| words.add(window(run, start))),
        };
        if !is_complete {
            break;
        }
    }
    words.text
}

/// The words of a search, normalised like those of an index: a text matches if each is the beginning of one of its words.
pub fn query_words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let mut words = Vec::new();
    for (run, kind) in runs(&folded) {
        match kind {
            Kind::Word => words.push(truncated(run)),
            Kind::Unspaced => words.extend(covering_windows(run)),
        }
    }
    let mut seen = HashSet::new();
    words.retain(|word| seen.insert(*word));
    words.into_iter().map(str::to_owned).collect()
}

/// The distinct words of a text, and their number of bytes.
struct Words<'t> {
    seen: HashSet<&'t str>,
    text: String,
    limit: usize,
}

impl<'t> Words<'t> {
    /// Adds a word, unless the limit is exceeded.
    fn add(&mut self, word: &'t str) -> bool {
        if self.seen.contains(word) {
            return true;
        }
        if self.text.len() + 1 + word.len() > self.limit {
            return false;
        }
        self.seen.insert(word);
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(word);
        true
    }
}

/// The text without differences that a search ignores: case, diacritics, width, ligatures, characters that are not displayed,
/// and the script of digits.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text.chars());
    let stripped: String = decomposed.filter(|character| !is_ignored(*character)).collect();
    let folded = CaseMapper::new().fold_string(&stripped);
    let letters = folded.chars().flat_map(base_letters);
    ComposingNormalizerBorrowed::new_nfc().normalize_iter(letters).collect()
}

fn is_ignored(character: char) -> bool {
    if character.is_ascii() {
        return false;
    }
    character == TATWEEL
        || is_ignorable(character)
        || CodePointSetData::new::<EmojiModifier>().contains(character)
        || is_diacritic(character)
}

/// Whether a character of a decomposed text is a diacritic: an accent, or a vowel point of Arabic or Hebrew. The signs of
/// vowels, tones and voiced consonants of other scripts are parts of words: they have the combining classes 0, 8, 9 and those
/// from 84 to 132.
fn is_diacritic(character: char) -> bool {
    let class = CanonicalCombiningClassMapBorrowed::new().get_u8(character);
    matches!(class, 1 | 7 | 10..=36 | 200..=240) || category(character) == GeneralCategory::EnclosingMark
}

/// The letters that often replace a letter without canonical decomposition, and the ASCII digit for a digit.
fn base_letters(character: char) -> impl Iterator<Item = char> {
    let (first, second) = match character {
        'ı' => ('i', None),
        'ł' => ('l', None),
        'ø' => ('o', None),
        'đ' | 'ð' => ('d', None),
        'ħ' => ('h', None),
        'ŧ' => ('t', None),
        'þ' => ('t', Some('h')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        _ => (digit(character).unwrap_or(character), None),
    };
    [Some(first), second].into_iter().flatten()
}

/// The ASCII digit for a decimal digit of another script. The ten digits of a script follow each other.
fn digit(character: char) -> Option<char> {
    if character.is_ascii() || category(character) != GeneralCategory::DecimalNumber {
        return None;
    }
    let before = (0..u32::from(character)).rev().map_while(char::from_u32);
    let value = before.take_while(|other| category(*other) == GeneralCategory::DecimalNumber).count() % 10;
    char::from_digit(u32::try_from(value).ok()?, 10)
}

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A word between spaces or signs.
    Word,
    /// Characters of a script that does not separate words by spaces, or pictographs.
    Unspaced,
}

/// The kind of a character of a folded text; `None` for one that separates words.
fn kind(character: char) -> Option<Kind> {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric().then_some(Kind::Word);
    }
    let class = CodePointMapData::<LineBreak>::new().get(character);
    let is_unspaced = class == LineBreak::Ideographic
        || class == LineBreak::ConditionalJapaneseStarter
        || class == LineBreak::Nonstarter
        || class == LineBreak::ComplexContext
        || class == LineBreak::EBase;
    let is_flag = CodePointSetData::new::<RegionalIndicator>().contains(character);
    let is_pictograph = CodePointSetData::new::<ExtendedPictographic>().contains(character);
    let category = category(character);
    let is_letter = GeneralCategoryGroup::Letter.contains(category) && !is_apostrophe(character)
        || GeneralCategoryGroup::Number.contains(category)
        || GeneralCategoryGroup::Mark.contains(category);
    match () {
        () if is_flag || is_unspaced && (is_letter || is_pictograph) => Some(Kind::Unspaced),
        () if is_letter => Some(Kind::Word),
        () => None,
    }
}

/// Whether a character is a letter by its category, and is used like an apostrophe or a sign.
fn is_apostrophe(character: char) -> bool {
    ('\u{2b9}'..='\u{2df}').contains(&character)
}

/// The longest parts of a folded text whose characters are of one kind.
fn runs(folded: &str) -> impl Iterator<Item = (&str, Kind)> {
    let mut rest = folded;
    std::iter::from_fn(move || {
        let start = rest.find(|character| kind(character).is_some())?;
        let run = &rest[start..];
        let kind_of_run = kind(run.chars().next()?)?;
        let end = run.find(|character| kind(character) != Some(kind_of_run)).unwrap_or(run.len());
        rest = &run[end..];
        Some((&run[..end], kind_of_run))
    })
}

fn truncated(word: &str) -> &str {
    &word[..word.floor_char_boundary(WORD_BYTES_MAX)]
}

/// The byte index of each character.
fn positions(run: &str) -> impl DoubleEndedIterator<Item = usize> {
    run.char_indices().map(|(index, _)| index)
}

/// The characters that are indexed at a position.
fn window(run: &str, start: usize) -> &str {
    let rest = &run[start..];
    let end = positions(rest).nth(WINDOW).unwrap_or(rest.len());
    &rest[..end]
}

/// As few windows as cover all characters. A text that contains them is likely to contain the whole.
fn covering_windows(run: &str) -> impl Iterator<Item = &str> {
    let last_full = positions(run).rev().nth(WINDOW - 1).unwrap_or(0);
    let starts = positions(run).step_by(WINDOW).take_while(move |start| *start < last_full);
    starts.chain([last_full]).map(|start| window(run, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        index_words(text, LONG_TEXT)
    }

    #[test]
    fn equivalent_texts_have_equal_words() {
        for (one, other) in [
            ("résumé", "re\u{301}sume\u{301}"),
            ("RÉSUMÉ", "resume"),
            ("ΟΔΟΣ", "οδός"),
            ("οδοσ", "οδος"),
            ("STRASSE", "straße"),
            ("İstanbul", "istanbul"),
            ("ISPARTA", "ısparta"),
            ("Łódź Øresund Þingvellir", "lodz oresund thingvellir"),
            ("Œuvre Ærø", "oeuvre aero"),
            ("ﬁnance", "FINANCE"),
            ("Ｆｕｌｌ１２", "full12"),
            ("ｶﾞｲﾄﾞ", "ガイド"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("كِتَاب", "كتاب"),
            ("كـــتاب", "كتاب"),
            ("שָׁלוֹם", "שלום"),
            ("٣ ३ ๓", "3"),
            ("co\u{ad}operate", "cooperate"),
            ("👍🏽", "👍"),
            ("Đà Nẵng", "da nang"),
        ] {
            assert_eq!(words(one), words(other), "{one} and {other}");
        }
        assert_ne!(words("か"), words("が"));
        assert_ne!(words("हिन्दी"), words("हन्द"));
    }

    #[test]
    fn a_text_without_spaces_is_indexed_at_each_position() {
        assert_eq!(words("日本語 Python入門"), "日本語 本語 語 python 入門 門");
        assert_eq!(query_words("本語"), ["本語"]);
        assert_eq!(query_words("日本語版"), ["日本語", "本語版"]);
        assert_eq!(query_words("日本語日本語"), ["日本語"]);
        assert_eq!(query_words("東京都渋谷区道"), ["東京都", "渋谷区", "谷区道"]);
    }

    #[test]
    fn signs_separate_words() {
        assert_eq!(query_words("NEAR(don't \"foo-bar\" x:y*"), ["near", "don", "t", "foo", "bar", "x", "y"]);
        assert_eq!(query_words("don’t donʼt"), ["don", "t"]);
        assert_eq!(query_words(" *%_ ↔ … © "), Vec::<String>::new());
    }

    /// All characters but ideographs, Hangul syllables and private ones, which are many and alike.
    fn characters() -> impl Iterator<Item = char> {
        ('\0'..='\u{33ff}').chain('\u{a000}'..='\u{abff}').chain('\u{f900}'..='\u{1ffff}')
    }

    #[test]
    fn folding_again_changes_nothing() {
        for character in characters() {
            let once = fold(&character.to_string());

            assert_eq!(fold(&once), once, "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn every_word_is_found_by_itself() {
        for character in characters() {
            let text = format!("a{character}b");
            let indexed = words(&text);
            let indexed: Vec<&str> = indexed.split(' ').collect();

            for word in query_words(&text) {
                assert!(indexed.iter().any(|other| other.starts_with(&word)), "U+{:04X}", u32::from(character));
                let is_plain = |character: char| !character.is_ascii() || character.is_ascii_alphanumeric();
                assert!(word.chars().all(is_plain), "U+{:04X}", u32::from(character));
                assert!(!word.contains(char::is_whitespace), "U+{:04X}", u32::from(character));
            }
        }
    }

    #[test]
    fn words_beyond_the_limits_are_ignored() {
        let text: String = (0..200_000).map(|n| format!("w{n} ")).collect();
        let indexed = words(&text);

        assert!(indexed.len() <= LONG_TEXT && indexed.len() > LONG_TEXT - 10);
        assert!(indexed.starts_with("w0 w1 "));
        assert_eq!(words(&"é".repeat(5_000)).len(), WORD_BYTES_MAX);
        assert_eq!(query_words(&"é".repeat(5_000)), [words(&"e".repeat(600))]);
    }
}
