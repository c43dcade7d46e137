//! What must be in a directory after all that was said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::said::Said;
use crate::workload::LOST_TERM;

/// What must be there. More may be: a step that was under way may have been done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expected {
    /// The directory belongs to its node.
    pub established: bool,
    /// The term of the last vote.
    pub term: u64,
    /// The term of each entry, by index.
    pub entries: BTreeMap<u64, u64>,
    /// The index up to which the derived store has entries itself.
    pub applied: Option<u64>,
    /// The last life of the agent.
    pub generation: u64,
    /// Units that the agent is to have.
    pub wanted: Vec<u64>,
    /// Units that the agent has started in this life.
    pub started: Vec<u64>,
    /// Units that the agent was told to stop.
    pub released: Vec<u64>,
}

impl Expected {
    /// What must be there after this was said.
    #[must_use]
    pub fn after<'a>(said: impl IntoIterator<Item = &'a Said>) -> Self {
        let mut expected = Self::default();
        said.into_iter().for_each(|said| expected.note(said));
        expected
    }

    /// Takes note of one more step.
    pub fn note(&mut self, said: &Said) {
        match said {
            Said::Established => self.established = true,
            Said::Voted { term } => self.term = *term,
            Said::Appended { term, index } => {
                self.entries.insert(*index, *term);
            }
            Said::Truncating { after } => self.entries.retain(|index, _| index <= after),
            Said::Built { index } | Said::Installed { index } => self.applied = Some(*index),
            Said::Raised { generation } => {
                self.generation = *generation;
                // A unit of an earlier life may be found dead from here on.
                self.started.clear();
            }
            Said::Wanted { incarnation } if !self.wanted.contains(incarnation) => {
                self.wanted.push(*incarnation);
            }
            Said::Started { incarnation } => self.started.push(*incarnation),
            Said::Releasing => {
                self.wanted.clear();
                self.started.clear();
            }
            Said::Released { incarnation } => self.released.push(*incarnation),
            Said::Opened
            | Said::Truncated { .. }
            | Said::Purged { .. }
            | Said::Closed
            | Said::Wanted { .. }
            | Said::Stopped { .. } => {}
        }
    }

    /// The last index that is certainly committed.
    #[must_use]
    pub fn committed(&self) -> Option<u64> {
        let entry = self.entries.iter().rev().find(|(_, term)| **term != LOST_TERM);
        entry.map(|(index, _)| *index).max(self.applied)
    }
}
