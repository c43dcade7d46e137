//! The reported progress of a process: one line of JSON per step, on its standard output.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::workload::DATA_VERSION_INDEX;

/// A step of the process, reported after the store acknowledged it, unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The data directory has its identity.
    Established,
    /// The stores are open.
    Opened,
    /// A vote was saved.
    Voted {
        /// Term of the vote.
        term: u64,
    },
    /// An entry was appended to the log.
    Appended {
        /// Term of the entry.
        term: u64,
        /// Index of the entry.
        index: u64,
    },
    /// The end of the log is about to be truncated: from here on, its entries may be missing.
    Truncating {
        /// Last index that is kept.
        after: u64,
    },
    /// The end of the log was truncated.
    Truncated {
        /// Last index that is kept.
        after: u64,
    },
    /// A snapshot was built: the derived store is durable up to its last index.
    Built {
        /// Last index of the snapshot.
        index: u64,
    },
    /// The log was purged.
    Purged {
        /// Last purged index.
        index: u64,
    },
    /// A snapshot was installed.
    Installed {
        /// Last index of the snapshot.
        index: u64,
    },
    /// The stores were closed.
    Closed,
    /// The agent has raised its generation.
    GenerationRaised {
        /// The new generation.
        generation: u64,
    },
    /// The agent's driver was asked to run a unit. The desired units with it are therefore durable.
    Wanted {
        /// Incarnation of the unit.
        incarnation: u64,
    },
    /// The intent of a unit was recorded, and its process started.
    Started {
        /// Incarnation of the unit.
        incarnation: u64,
    },
    /// The number of desired units is about to be reduced: from here on, no unit is certain to be
    /// desired or running.
    Releasing,
    /// The service is about to be deleted: from here on, no unit is expected to run or to start.
    Deleting,
    /// The agent's driver was asked to stop a unit. The desired units without it are therefore
    /// durable.
    Released {
        /// Incarnation of the unit.
        incarnation: u64,
    },
    /// The process stops because of an error; it acknowledges nothing afterwards.
    Stopped {
        /// The error with its causes.
        cause: String,
    },
}

impl Progress {
    /// Writes the step to the standard output.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub fn report(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        // One write per line: the shim records whole lines, and ends processes after one.
        output.write_all(&line)?;
        output.flush()
    }

    /// Parses the progress in `bytes`; an incomplete last line is ignored.
    ///
    /// # Panics
    /// If a complete line is not a step.
    pub fn parse(bytes: &[u8]) -> Vec<Self> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line is a step")).collect()
    }

    /// Returns the kind of the step, for statistics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Established => "creation",
            Self::Opened => "open",
            Self::Voted { .. } => "vote",
            Self::Appended { index, .. } if *index == DATA_VERSION_INDEX => "data version",
            Self::Appended { .. } => "append",
            Self::Truncating { .. } | Self::Truncated { .. } => "truncation",
            Self::Built { .. } => "snapshot built",
            Self::Purged { .. } => "purge",
            Self::Installed { .. } => "snapshot installed",
            Self::Closed => "close",
            Self::GenerationRaised { .. } => "generation",
            Self::Wanted { .. } => "desired units",
            Self::Started { .. } => "unit intent",
            Self::Releasing | Self::Deleting | Self::Released { .. } => "unit release",
            Self::Stopped { .. } => "stop",
        }
    }
}
