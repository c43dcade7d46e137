//! What a process says of its steps: one line of JSON each, on its standard output.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::workload::RAISING;

/// A step, said after it was acknowledged, unless its name says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The data directory has its identity.
    Established,
    /// The stores are open.
    Opened,
    /// A vote was saved.
    Voted {
        /// Its term.
        term: u64,
    },
    /// The log has an entry.
    Appended {
        /// Its term.
        term: u64,
        /// Its index.
        index: u64,
    },
    /// Entries are about to be removed from the end of the log: from here on they may be gone.
    Truncating {
        /// The last index that stays.
        after: u64,
    },
    /// The log ends with this entry.
    Truncated {
        /// The last index that stays.
        after: u64,
    },
    /// A snapshot was built: the derived store holds all up to there.
    Built {
        /// Its last index.
        index: u64,
    },
    /// The log was told to forget entries.
    Purged {
        /// The last index to be forgotten.
        index: u64,
    },
    /// A snapshot was installed.
    Installed {
        /// Its last index.
        index: u64,
    },
    /// The stores were closed in order.
    Closed,
    /// This life of an agent has a number.
    Raised {
        /// The number.
        generation: u64,
    },
    /// The agent's driver is told to run a unit, which it is only because the set that has it was
    /// stored.
    Wanted {
        /// Its assignment.
        incarnation: u64,
    },
    /// A unit's intent was recorded and its process started.
    Started {
        /// Its assignment.
        incarnation: u64,
    },
    /// The log is about to want fewer units: from here on, none of those that were is certain to be
    /// wanted or to run.
    Releasing,
    /// The agent's driver is told to stop a unit, which it is only because the set without it was
    /// stored.
    Released {
        /// Its assignment.
        incarnation: u64,
    },
    /// The process stops because of an error; it acknowledges nothing any more.
    Stopped {
        /// The error.
        cause: String,
    },
}

impl Said {
    /// Says it.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn say(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        // One write a line: the shim notes a line when it is written, and ends processes there.
        output.write_all(&line)?;
        output.flush()
    }

    /// What was said in `bytes`; a line that was cut off was not said.
    ///
    /// # Panics
    /// If a whole line is none of these.
    pub fn parse(bytes: &[u8]) -> Vec<Self> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line is what was said")).collect()
    }

    /// The kind of the step, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Established => "first creation",
            Self::Opened => "opening",
            Self::Voted { .. } => "vote",
            Self::Appended { index, .. } if *index == RAISING => "data version",
            Self::Appended { .. } => "append",
            Self::Truncating { .. } | Self::Truncated { .. } => "truncation",
            Self::Built { .. } => "snapshot built",
            Self::Purged { .. } => "purge",
            Self::Installed { .. } => "snapshot installed",
            Self::Closed => "closing",
            Self::Raised { .. } => "generation",
            Self::Wanted { .. } => "desired set",
            Self::Started { .. } => "unit intent",
            Self::Releasing | Self::Released { .. } => "release of units",
            Self::Stopped { .. } => "stopping",
        }
    }
}
