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

/// Returns the higher of two measures: edit distance detects typos, shared letter pairs detect
/// words in another order (`europewest`).
fn similarity(unknown: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(unknown, name).max(strsim::sorensen_dice(unknown, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn nearest_regions(unknown: &str) -> Vec<String> {
        nearest(unknown, catalog::regions().iter().map(|region| region.name.as_str()))
    }

    #[test]
    fn a_typo_suggests_the_intended_name() {
        assert_eq!(nearest_regions("westeurop")[0], "westeurope");
        assert_eq!(nearest_regions("eatsus")[0], "eastus");
        assert_eq!(nearest_regions("europewest")[0], "westeurope");
        assert!(nearest_regions("eastus4").len() <= SUGGESTIONS);
    }

    #[test]
    fn a_name_unlike_all_others_has_no_suggestions() {
        assert_eq!(nearest_regions("zzyzx"), Vec::<String>::new());
        assert_eq!(nearest("contoso", []), Vec::<String>::new());
    }
}
