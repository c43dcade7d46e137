//! Texts with placeholders: `{service}` stands for the name of the unit's service.
//!
//! A placeholder is a name in lower-case letters and underscores, directly between braces. Braces
//! around anything else stand for themselves, so that most configuration languages need no escapes.

use std::collections::BTreeMap;

/// What placeholders stand for.
pub(super) type Values = BTreeMap<&'static str, String>;

/// The unit, in every text.
pub(super) const OF_UNIT: [&str; 12] = [
    "cluster",
    "agent",
    "service",
    "region",
    "slot",
    "incarnation",
    "address",
    "port",
    "listen",
    "directory",
    "configuration_file",
    "socket",
];
/// What it is to serve, where a text is made anew with each change.
pub(super) const OF_CONFIGURATION: [&str; 2] = ["revision", "enabled"];
/// Its APIs, in the text that has a part for each.
pub(super) const OF_ALL_APIS: [&str; 1] = ["apis"];
/// One API.
pub(super) const OF_API: [&str; 6] = [
    "api_name",
    "api_path",
    "api_backend",
    "api_connect_timeout_ms",
    "api_response_timeout_ms",
    "api_idle_timeout_ms",
];

/// A placeholder stands for nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{{{name}}} stands for nothing here; known are {}", joined(.known))]
pub struct UnknownPlaceholder {
    name: String,
    known: Vec<&'static str>,
}

/// A text with placeholders that are all known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(&'static str),
}

impl Pattern {
    /// Understands `text`, which may have the placeholders of these groups.
    pub(super) fn new(text: &str, groups: &[&[&'static str]]) -> Result<Self, UnknownPlaceholder> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            literal.push_str(before);
            let name = behind.split_once('}').filter(|(name, _)| is_name(name));
            let Some((name, after)) = name else {
                literal.push('{');
                rest = behind;
                continue;
            };
            let known = || groups.iter().copied().flatten().copied();
            let Some(placeholder) = known().find(|known| *known == name) else {
                let known = known().collect();
                return Err(UnknownPlaceholder { name: name.to_owned(), known });
            };
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Placeholder(placeholder));
            rest = after;
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Ok(Self(parts))
    }

    /// The text with what its placeholders stand for. A value is never looked through again.
    pub(super) fn fill(&self, values: &Values) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Placeholder(name) => values.get(name).cloned().unwrap_or_default(),
        };
        self.0.iter().map(part).collect()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn joined(names: &[&str]) -> String {
    names.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn names_between_braces_are_filled_in_and_other_braces_stay() {
        let values = Values::from([("service", "{region}".to_owned()), ("port", "80".to_owned())]);
        for (text, filled) in [
            ("", ""),
            ("--name={service}:{port}", "--name={region}:80"),
            ("server { listen {port}; } {{port}}", "server { listen 80; } {80}"),
            ("{\"a\": {}} [0-9]{2} {Port} {", "{\"a\": {}} [0-9]{2} {Port} {"),
        ] {
            assert_eq!(Pattern::new(text, &[&["service", "port"]]).unwrap().fill(&values), filled);
        }
    }

    #[test]
    fn a_placeholder_that_stands_for_nothing_is_named_with_those_that_do() {
        let error = Pattern::new("{servcie}", &[&["service"], &["port"]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "{servcie} stands for nothing here; known are {service}, {port}"
        );
    }
}
