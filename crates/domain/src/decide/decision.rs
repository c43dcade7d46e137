//! Collects the events and rejections of one command.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::id::Revision;
use crate::limits;
use crate::name::AgentName;
use crate::rejection::Rejection;
use crate::state::State;

/// Events and rejections of a command, from the rules evaluated so far.
pub(super) struct Decision<'a> {
    pub(super) state: &'a State,
    events: Vec<Event>,
    /// Bytes of the events about units.
    unit_bytes: usize,
    /// Number of units that the command assigns to each agent, including those that do not fit.
    assigned: BTreeMap<AgentName, usize>,
    /// The first [`limits::REJECTIONS`] rejections, in the order of the rules.
    rejections: Vec<Rejection>,
    /// All rejections, to count each of them once.
    distinct: BTreeSet<Rejection>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            events: Vec::new(),
            unit_bytes: 0,
            assigned: BTreeMap::new(),
            rejections: Vec::new(),
            distinct: BTreeSet::new(),
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.unit_bytes += event.unit_bytes();
        self.events.push(event);
    }

    /// True if no more events about units fit into the change. Whatever is left is decided again,
    /// against the state after the change.
    pub(super) fn is_full(&self) -> bool {
        self.unit_bytes >= limits::UNIT_EVENT_BYTES
    }

    /// Counts a unit that the command assigns to an agent.
    pub(super) fn count_assigned(&mut self, agent: &AgentName) {
        *self.assigned.entry(agent.clone()).or_default() += 1;
    }

    /// Returns the counted units by agent.
    pub(super) fn assigned(&self) -> BTreeMap<AgentName, usize> {
        self.assigned.clone()
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
