//! Configuration values with their origins, and merging by precedence.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::key::{KEYS, Key};

/// Origin of a value. Variants are in order of precedence: the later one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default.
    Default,
    /// A line of the configuration file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl Origin {
    /// Returns the precedence; the higher one wins.
    fn precedence(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }

    /// Returns true if a value of this origin takes precedence over one of `other`.
    pub fn overrides(&self, other: &Self) -> bool {
        self.precedence() > other.precedence()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as text, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text; any number of them for a list.
    pub texts: Vec<String>,
    /// The origin.
    pub origin: Origin,
}

/// The values of one source, or of several merged ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Setting>);

impl Values {
    /// Returns the default of every key that has one.
    #[must_use]
    pub fn defaults() -> Self {
        let setting =
            |text: &str| Setting { texts: vec![text.to_owned()], origin: Origin::Default };
        Self(KEYS.iter().filter_map(|key| Some((key.name, setting(key.default?)))).collect())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &'static Key, texts: Vec<String>, origin: Origin) {
        self.0.insert(key.name, Setting { texts, origin });
    }

    /// Merges these values with those of `below`, which have lower precedence.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mut merged = below.0;
        merged.extend(self.0);
        Self(merged)
    }

    /// Returns the setting of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// Returns the text of a key that has a single value.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.texts.first().map(String::as_str)
    }
}
