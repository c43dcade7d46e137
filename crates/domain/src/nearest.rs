//! Which known names somebody may have meant by an unknown one.

/// The names suggested at most: more would not be read.
const SUGGESTIONS: usize = 3;
/// How alike two names are at least for one to be suggested for the other, from 0 to 1. Low: a poor
/// suggestion costs a glance, a missing one a search through the list.
const LEAST_LIKENESS: f64 = 0.35;

/// Up to three of the `known` names that are most like `given`, the nearest first.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut alike: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (likeness(given, name), name))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .collect();
    alike.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    alike.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

/// The better of two measures: edit distance sees typing errors, shared pairs of letters see words in
/// another order (`europewest`).
fn likeness(given: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(given, name).max(strsim::sorensen_dice(given, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn nearest_regions(given: &str) -> Vec<String> {
        nearest(given, catalogue::regions().iter().map(|region| region.name.as_str()))
    }

    #[test]
    fn a_typing_error_leads_to_the_name_that_was_meant() {
        assert_eq!(nearest_regions("westeurop")[0], "westeurope");
        assert_eq!(nearest_regions("eatsus")[0], "eastus");
        assert_eq!(nearest_regions("europewest")[0], "westeurope");
        assert!(nearest_regions("eastus4").len() <= SUGGESTIONS);
    }

    #[test]
    fn nothing_is_suggested_for_what_is_like_no_name() {
        assert_eq!(nearest_regions("zzyzx"), Vec::<String>::new());
        assert_eq!(nearest("contoso", []), Vec::<String>::new());
    }
}
