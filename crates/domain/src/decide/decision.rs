//! Collects the events and rejections of one command.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::id::Revision;
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;

/// Events and rejections of a command, from the rules evaluated so far.
pub(super) struct Decision<'a> {
    pub(super) state: &'a State,
    events: Vec<Event>,
    /// The first [`limits::REJECTIONS`] rejections, in the order of the rules.
    rejections: Vec<Rejection>,
    /// All rejections, to count each of them once.
    distinct: BTreeSet<Rejection>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, events: Vec::new(), rejections: Vec::new(), distinct: BTreeSet::new() }
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Adds a rejection, unless the same one was added before.
    pub(super) fn reject(&mut self, rejection: Rejection) {
        if self.distinct.insert(rejection.clone()) && self.rejections.len() < limits::REJECTIONS {
            self.rejections.push(rejection);
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        !self.rejections.is_empty()
    }

    /// Returns the events emitted so far.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the revision of the next event.
    pub(super) fn next_revision(&self) -> Revision {
        Revision(self.state.header.revision.0 + self.events.len() as u64).next()
    }

    /// Returns the events, or the rejections if there are any. The list of rejections is stored as
    /// one value, so it is bounded however many rules the command violates.
    pub(super) fn finish(mut self) -> Result<Vec<Event>, Vec<Rejection>> {
        if !self.is_rejected() {
            return Ok(self.events);
        }
        if self.distinct.len() > limits::REJECTIONS {
            self.rejections.truncate(limits::REJECTIONS - 1);
            let more = self.distinct.len() - self.rejections.len();
            let count = u32::try_from(more).unwrap_or(u32::MAX);
            self.rejections.push(Rejection::AndMore { count });
        }
        Err(self.rejections)
    }
}
