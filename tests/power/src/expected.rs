//! The acknowledged state of a directory, derived from the reported progress.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::workload::LOST_TERM;

/// State that must be present. A step in progress may have been completed in addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expected {
    /// Set if the directory has its identity.
    pub established: bool,
    /// Term of the last vote.
    pub term: u64,
    /// Terms of the entries by index.
    pub entries: BTreeMap<u64, u64>,
    /// Index up to which the derived store is durable without the log.
    pub applied: Option<u64>,
    /// Generation of the agent's last process run.
    pub generation: u64,
    /// Incarnations of the desired units.
    pub wanted: Vec<u64>,
    /// Incarnations of the units started by the current process run of the agent.
    pub started: Vec<u64>,
    /// Incarnations of the units that the agent was asked to stop.
    pub released: Vec<u64>,
    /// True once no unit is expected to run: a unit that the log replaces may still start.
    pub deleting: bool,
}

impl Expected {
    /// Returns the expected state after the given progress.
    #[must_use]
    pub fn after<'a>(progress: impl IntoIterator<Item = &'a Progress>) -> Self {
        let mut expected = Self::default();
        progress.into_iter().for_each(|step| expected.add(step));
        expected
    }

    /// Adds one more step.
    pub fn add(&mut self, progress: &Progress) {
        match progress {
            Progress::Established => self.established = true,
            Progress::Voted { term } => self.term = *term,
            Progress::Appended { term, index } => {
                self.entries.insert(*index, *term);
            }
            Progress::Truncating { after } => self.entries.retain(|index, _| index <= after),
            Progress::Built { index } | Progress::Installed { index } => {
                self.applied = Some(*index)
            }
            Progress::GenerationRaised { generation } => {
                self.generation = *generation;
                // From here on, units of earlier process runs may be found dead.
                self.started.clear();
            }
            Progress::Wanted { .. } | Progress::Started { .. } if self.deleting => {}
            Progress::Wanted { incarnation } if !self.wanted.contains(incarnation) => {
                self.wanted.push(*incarnation);
            }
            Progress::Started { incarnation } => self.started.push(*incarnation),
            Progress::Releasing => {
                self.wanted.clear();
                self.started.clear();
            }
            Progress::Deleting => {
                self.wanted.clear();
                self.started.clear();
                self.deleting = true;
            }
            Progress::Released { incarnation } => {
                // Also of a unit that the log replaced, because an earlier process of it still runs.
                self.wanted.retain(|wanted| wanted != incarnation);
                self.released.push(*incarnation);
            }
            Progress::Opened
            | Progress::Truncated { .. }
            | Progress::Purged { .. }
            | Progress::Closed
            | Progress::Wanted { .. }
            | Progress::Stopped { .. } => {}
        }
    }

    /// Returns the last index that is certainly committed.
    #[must_use]
    pub fn committed(&self) -> Option<u64> {
        let entry = self.entries.iter().rev().find(|(_, term)| **term != LOST_TERM);
        entry.map(|(index, _)| *index).max(self.applied)
    }
}
