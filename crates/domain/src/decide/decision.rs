//! What the rules of a command say one after another, collected.

use crate::event::Event;
use crate::fault::Fault;
use crate::id::Revision;
use crate::state::State;

/// What a command leads to, as far as that is known.
pub(super) struct Decision<'a> {
    pub(super) state: &'a State,
    events: Vec<Event>,
    faults: Vec<Fault>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, events: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes a fault, once.
    pub(super) fn refuse(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.faults.is_empty()
    }

    /// The number of the event that happens next.
    pub(super) fn next_revision(&self) -> Revision {
        Revision(self.state.header.revision.0 + self.events.len() as u64).next()
    }

    pub(super) fn end(self) -> Result<Vec<Event>, Vec<Fault>> {
        if self.is_refused() { Err(self.faults) } else { Ok(self.events) }
    }
}
