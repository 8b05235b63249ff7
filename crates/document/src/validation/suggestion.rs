//! Names that may have been meant.

/// Suggestions in one message.
const SUGGESTIONS_MAX: usize = 5;

/// Longer names are not compared: the comparison takes time quadratic in their length.
const NAME_LENGTH_MAX: usize = 64;

/// The candidates that differ from a name in at most 40 % of its letters and one more, the most similar first.
pub(super) fn similar<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    if name.len() > NAME_LENGTH_MAX {
        return Vec::new();
    }
    let threshold = name.len() * 2 / 5 + 1;
    let lower = name.to_lowercase();
    let distance = |candidate: &str| match candidate.to_lowercase() {
        candidate if candidate == lower => 1,
        candidate => strsim::damerau_levenshtein(&candidate, &lower),
    };
    let mut found: Vec<(usize, &str)> = candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= threshold)
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= threshold)
        .collect();
    found.sort();
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// A question that names them, with a leading space.
pub(super) fn did_you_mean(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(SUGGESTIONS_MAX).map(|name| format!("\"{name}\"")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => format!(" Did you mean {one}?"),
        [one, other] => format!(" Did you mean {one} or {other}?"),
        [first @ .., last] => format!(" Did you mean {}, or {last}?", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_names_come_first() {
        let names = ["name", "names", "nodes", "id", "Name"];
        assert_eq!(similar("nmae", names.into_iter()), ["Name", "name", "names"]);
        assert_eq!(similar("collection", names.into_iter()), [] as [&str; 0]);
    }

    #[test]
    fn suggestions_read_as_a_question() {
        assert_eq!(did_you_mean(&["a"]), " Did you mean \"a\"?");
        assert_eq!(did_you_mean(&["a", "b"]), " Did you mean \"a\" or \"b\"?");
        assert_eq!(did_you_mean(&["a", "b", "c"]), " Did you mean \"a\", \"b\", or \"c\"?");
    }
}
