//! What was given for which key, and where: the layers of configuration, put on top of each other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::key::{KEYS, Key};

/// Where a value was given. The order is that of precedence: the later one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the file, on this line, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// In the environment variable of this name.
    Environment(String),
    /// By this flag.
    Flag(String),
}

impl Origin {
    /// Which layer it belongs to: the higher one wins.
    fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }

    /// Whether a value from here takes precedence over one from `other`.
    pub fn beats(&self, other: &Self) -> bool {
        self.layer() > other.layer()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// One text; none or several for a list.
    pub texts: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// The values of one layer, or of several on top of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// The default of every key that has one.
    #[must_use]
    pub fn defaults() -> Self {
        let given = |text: &str| Given { texts: vec![text.to_owned()], origin: Origin::Default };
        Self(KEYS.iter().filter_map(|key| Some((key.name, given(key.default?)))).collect())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &'static Key, texts: Vec<String>, origin: Origin) {
        self.0.insert(key.name, Given { texts, origin });
    }

    /// These values, and where they are silent those of `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mut merged = below.0;
        merged.extend(self.0);
        Self(merged)
    }

    /// What was given for a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Given> {
        self.0.get(key)
    }

    /// What was given for a key that has one value.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.texts.first().map(String::as_str)
    }
}
