//! The reference log, as first observed on any node, and the state derived from it.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use meridian_domain::evolve::evolve;
use meridian_domain::outcome::Outcomes;
use meridian_domain::{
    AgentName, Digest, Event, EventRecord, Incarnation, Revision, State, Timestamp,
};
use meridian_ports::History;
use meridian_storage::rows;

use crate::machine::DriverRequest;
use crate::trace;

/// Number of events per read.
const PAGE: usize = 256;

/// All events that were applied on any node. Applied events are committed and must never change.
#[derive(Debug, Default)]
pub struct Reference {
    records: Vec<EventRecord>,
    /// Hash over all events up to a revision, for revisions at which a node was observed.
    chains: BTreeMap<Revision, Digest>,
    /// The fold of the events only: without outcomes, times and report sequences.
    state: State,
    /// Digest of the fold after each revision.
    folds: Vec<Digest>,
    /// The agent of each incarnation.
    assigned: BTreeMap<Incarnation, AgentName>,
}

impl Reference {
    /// Returns all events.
    #[must_use]
    pub fn records(&self) -> &[EventRecord] {
        &self.records
    }

    /// Returns the newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.records.len() as u64)
    }

    /// Returns the fold of all events.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Compares the events of `history` after `from` with the reference, and appends new ones.
    /// Returns the last compared revision.
    ///
    /// # Errors
    /// If they differ.
    pub fn compare(&mut self, history: &dyn History, from: Revision) -> anyhow::Result<Revision> {
        let mut at = from;
        loop {
            let records = history.events(at.next(), PAGE)?;
            let Some(last) = records.last().map(|record| record.revision) else { break };
            for record in records {
                ensure!(
                    record.revision == at.next(),
                    "S3: revision {} follows {at}",
                    record.revision
                );
                at = record.revision;
                self.add(record)?;
            }
            at = last;
        }
        let (revision, chain) = history.chain();
        let known = *self.chains.entry(revision).or_insert(chain);
        ensure!(known == chain, "S2: two nodes have different logs at revision {revision}");
        Ok(at)
    }

    fn add(&mut self, record: EventRecord) -> anyhow::Result<()> {
        let known = usize::try_from(record.revision.0).expect("a revision fits into usize") - 1;
        if let Some(known) = self.records.get(known) {
            ensure!(
                *known == record,
                "S3: revision {} changed from {known:?} to {record:?}",
                record.revision
            );
            return Ok(());
        }
        ensure!(known == self.records.len(), "S3: revision {} leaves a gap", record.revision);
        trace::note(format_args!("event {}: {:?}", record.revision, record.event));
        if let Some(before) = self.records.last() {
            ensure!(
                before.time <= record.time || before.time.ahead_of(record.time).is_some(),
                "the time decreases at revision {}",
                record.revision
            );
        }
        // A loss has the times of its events; otherwise the fold has no times.
        self.state.header.time = record.time;
        evolve(&mut self.state, record.revision, &record.event);
        self.state.header.time = Timestamp::default();
        if let Event::UnitAssigned { incarnation, agent, .. } = &record.event {
            let before = self.assigned.insert(*incarnation, agent.clone());
            ensure!(before.is_none(), "S3: incarnation {incarnation} is assigned twice");
        }
        self.folds.push(rows::digest(&self.state));
        self.records.push(record);
        Ok(())
    }

    /// Compares a node's state with the fold of its applied events.
    ///
    /// # Errors
    /// If they differ.
    pub fn compare_state(&self, state: &State) -> anyhow::Result<()> {
        let revision = state.header.revision;
        let Some(number) =
            usize::try_from(revision.0).expect("a revision fits into usize").checked_sub(1)
        else {
            return Ok(());
        };
        let Some(fold) = self.folds.get(number) else {
            bail!("S3: a node is at revision {revision}, but its events are unknown");
        };
        let mut bare = state.clone();
        bare.outcomes = Outcomes::default();
        bare.header.time = Timestamp::default();
        bare.agents.values_mut().for_each(|agent| agent.last_report = Default::default());
        ensure!(
            rows::digest(&bare) == *fold,
            "S4: a node's state is not the fold of its events at revision {revision}"
        );
        Ok(())
    }

    /// Checks a request of an agent to its driver against the log.
    ///
    /// # Errors
    /// If the log does not justify the request.
    pub fn check_request(&self, agent: &AgentName, request: DriverRequest) -> anyhow::Result<()> {
        match request {
            DriverRequest::Start(incarnation) => {
                let owner = self.assigned.get(&incarnation);
                ensure!(owner == Some(agent), "S8: {agent} starts unit {incarnation} of {owner:?}");
            }
            DriverRequest::Stop(incarnation) => {
                let unit = self.state.units.values().find(|unit| unit.incarnation == incarnation);
                ensure!(
                    !unit.is_some_and(meridian_domain::Unit::is_wanted),
                    "S9: {agent} stops unit {incarnation}, which is desired"
                );
            }
        }
        Ok(())
    }
}
