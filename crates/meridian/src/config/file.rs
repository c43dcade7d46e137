//! The configuration file: TOML, one key per line, no sections.

use std::path::Path;

use meridian_domain::nearest::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::{KEYS, Key, Kind, find};
use super::values::{Origin, Values};

/// Reads the file at `path`. The values themselves are validated after all sources are merged.
///
/// # Errors
/// If the file cannot be read, is not TOML, or has an unknown key or a value of the wrong type.
pub fn read(path: &Path) -> Result<Values, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    parse(path, &text)
}

/// Parses the text of the file at `path`.
///
/// # Errors
/// Same as [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Values, ConfigError> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: line(error.span().map_or(0, |span| span.start)),
        cause: error.message().trim().replace('\n', ", "),
    })?;
    let mut values = Values::default();
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in entries {
        let origin = Origin::File { path: path.to_path_buf(), line: line(name.span().start) };
        let key = find(name.get_ref()).ok_or_else(|| unknown(name.get_ref(), &origin))?;
        let texts = texts(key, value).ok_or_else(|| ConfigError::WrongKind {
            origin: origin.clone(),
            key: key.name,
            expected: expected(key.kind),
        })?;
        values.set(key, relative_to(path, key, texts), origin);
    }
    Ok(values)
}

fn unknown(name: &str, origin: &Origin) -> ConfigError {
    let known = KEYS.iter().map(|key| key.name);
    let nearest = nearest(&name.to_lowercase().replace('-', "_"), known).into_iter().next();
    ConfigError::UnknownKey { origin: origin.clone(), key: name.to_owned(), nearest }
}

/// Returns the value as texts, as a flag would give it; `None` if it has the wrong type.
fn texts(key: &Key, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    match (key.kind, value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => Some(vec![text.to_string()]),
        (Kind::Number(_), DeValue::Integer(number)) => Some(vec![number.to_string()]),
        (Kind::Switch, DeValue::Boolean(on)) => Some(vec![on.to_string()]),
        (Kind::List, DeValue::Array(items)) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string in quotes",
        Kind::Number(_) => "an integer without quotes",
        Kind::Switch => "true or false, without quotes",
        Kind::List => "a list of strings, such as [\"10.1.0.4:7400\"]",
    }
}

/// Resolves paths: a relative path in a file is relative to the directory of the file, not to the
/// working directory of the agent.
fn relative_to(file: &Path, key: &Key, texts: Vec<String>) -> Vec<String> {
    let is_path =
        matches!(key.name, "data_dir" | "driver_template" | "docker_socket" | "location_database");
    let (true, Some(directory)) = (is_path, file.parent()) else {
        return texts;
    };
    let absolute = |text: String| directory.join(text).to_string_lossy().into_owned();
    texts.into_iter().map(absolute).collect()
}
