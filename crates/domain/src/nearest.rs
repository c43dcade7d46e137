//! Suggestions for unknown names.

/// Maximum number of suggestions. Nobody would read more.
const SUGGESTIONS: usize = 3;
/// Minimum similarity of a suggestion, from 0 to 1. Low, because a poor suggestion does little
/// harm, while without one the user has to search the list.
const MIN_SIMILARITY: f64 = 0.35;

/// Returns up to three of the `known` names that are most similar to `unknown`, best first.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut similar: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (similarity(unknown, name), name))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .collect();
    similar.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    similar.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

/// Returns a question such as `; did you mean eastus?`, to follow an error; empty without names.
#[must_use]
pub fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [only] => format!("; did you mean {only}?"),
        [others @ .., last] => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// Returns the higher of two measures: edit distance detects typos, shared letter pairs detect
/// words in another order (`europewest`).
fn similarity(unknown: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(unknown, name).max(strsim::sorensen_dice(unknown, name))
}
