//! What the rules of a command say one after another, collected.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::fault::Fault;
use crate::id::Revision;
use crate::limits;
use crate::state::State;

/// What a command leads to, as far as that is known.
pub(super) struct Decision<'a> {
    pub(super) state: &'a State,
    events: Vec<Event>,
    /// In the order of the rules, and as many as are answered.
    faults: Vec<Fault>,
    /// Every one, so that each counts once.
    refused: BTreeSet<Fault>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, events: Vec::new(), faults: Vec::new(), refused: BTreeSet::new() }
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes a fault, once.
    pub(super) fn refuse(&mut self, fault: Fault) {
        if self.refused.insert(fault.clone()) && self.faults.len() < limits::FAULTS {
            self.faults.push(fault);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What happens, as far as that is known.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The number of the event that happens next.
    pub(super) fn next_revision(&self) -> Revision {
        Revision(self.state.header.revision.0 + self.events.len() as u64).next()
    }

    /// What the command leads to. A refusal is stored as one value, so it is bounded, however much of
    /// the cluster is in the command's way.
    pub(super) fn end(mut self) -> Result<Vec<Event>, Vec<Fault>> {
        if !self.is_refused() {
            return Ok(self.events);
        }
        if self.refused.len() > limits::FAULTS {
            self.faults.truncate(limits::FAULTS - 1);
            let more = self.refused.len() - self.faults.len();
            let count = u32::try_from(more).unwrap_or(u32::MAX);
            self.faults.push(Fault::AndMore { count });
        }
        Err(self.faults)
    }
}
