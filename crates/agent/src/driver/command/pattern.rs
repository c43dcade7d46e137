//! Patterns: text with placeholders. `{service}` is replaced with the name of the unit's service.
//!
//! A placeholder is a name of lowercase letters and underscores directly between braces. Braces
//! around anything else are literal, so that most configuration languages need no escapes.

use std::collections::BTreeMap;

/// Values of placeholders.
pub(super) type Values = BTreeMap<&'static str, String>;

/// Placeholders for the unit, known in every pattern.
pub(super) const UNIT_PLACEHOLDERS: [&str; 12] = [
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
/// Placeholders for the configuration, known in patterns that are filled again at each change.
pub(super) const CONFIGURATION_PLACEHOLDERS: [&str; 2] = ["revision", "enabled"];
/// Placeholder for all APIs, known in the pattern that contains them.
pub(super) const APIS_PLACEHOLDER: [&str; 1] = ["apis"];
/// Placeholders for one API.
pub(super) const API_PLACEHOLDERS: [&str; 6] = [
    "api_name",
    "api_path",
    "api_backend",
    "api_connect_timeout_ms",
    "api_response_timeout_ms",
    "api_idle_timeout_ms",
];

/// A placeholder is unknown in its pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown placeholder {{{name}}}; known placeholders: {}", joined(.known))]
pub struct UnknownPlaceholder {
    name: String,
    known: Vec<&'static str>,
}

/// A text with known placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(&'static str),
}

impl Pattern {
    /// Parses `text`, in which the placeholders of these groups are known.
    pub(super) fn new(text: &str, groups: &[&[&'static str]]) -> Result<Self, UnknownPlaceholder> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after_brace)) = rest.split_once('{') {
            literal.push_str(before);
            let name = after_brace.split_once('}').filter(|(name, _)| is_name(name));
            let Some((name, after)) = name else {
                literal.push('{');
                rest = after_brace;
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

    /// Replaces the placeholders with their values. Braces in values are literal.
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
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_are_literal() {
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
    fn an_unknown_placeholder_is_an_error_that_lists_the_known_ones() {
        let error = Pattern::new("{servcie}", &[&["service"], &["port"]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown placeholder {servcie}; known placeholders: {service}, {port}"
        );
    }
}
