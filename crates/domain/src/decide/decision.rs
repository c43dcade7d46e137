//! What the rules of a command say one after another, collected.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::id::Revision;
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;

/// What a command leads to, as far as that is known.
pub(super) struct Decision<'a> {
    pub(super) state: &'a State,
    events: Vec<Event>,
    /// In the order of the rules, and as many as are answered.
    rejections: Vec<Rejection>,
    /// Every one, so that each counts once.
    refused: BTreeSet<Rejection>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, events: Vec::new(), rejections: Vec::new(), refused: BTreeSet::new() }
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes a rejection, once.
    pub(super) fn refuse(&mut self, rejection: Rejection) {
        if self.refused.insert(rejection.clone()) && self.rejections.len() < limits::REJECTIONS {
            self.rejections.push(rejection);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.rejections.is_empty()
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
    pub(super) fn end(mut self) -> Result<Vec<Event>, Vec<Rejection>> {
        if !self.is_refused() {
            return Ok(self.events);
        }
        if self.refused.len() > limits::REJECTIONS {
            self.rejections.truncate(limits::REJECTIONS - 1);
            let more = self.refused.len() - self.rejections.len();
            let count = u32::try_from(more).unwrap_or(u32::MAX);
            self.rejections.push(Rejection::AndMore { count });
        }
        Err(self.rejections)
    }
}
