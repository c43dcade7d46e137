//! The one log that all nodes must agree on, as it was first seen on any of them, and what follows
//! from it.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use meridian_domain::evolve::evolve;
use meridian_domain::outcome::Outcomes;
use meridian_domain::{
    AgentName, Digest, Event, EventRecord, Incarnation, Revision, State, Timestamp,
};
use meridian_ports::History;
use meridian_storage::rows;

use crate::machine::Asked;
use crate::trace;

/// Events that are read at once.
const PAGE: usize = 256;

/// Everything that was ever applied anywhere. Applied is committed: it must never change.
#[derive(Debug, Default)]
pub struct Reference {
    records: Vec<EventRecord>,
    /// The hash over all events up to a revision, where a node was seen at it.
    chains: BTreeMap<Revision, Digest>,
    /// The fold of the events alone: without outcomes, times and the numbers of reports.
    state: State,
    /// The digest of that fold after each revision.
    folds: Vec<Digest>,
    /// Who runs which unit.
    assigned: BTreeMap<Incarnation, AgentName>,
}

impl Reference {
    /// All events.
    #[must_use]
    pub fn records(&self) -> &[EventRecord] {
        &self.records
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.records.len() as u64)
    }

    /// The fold of all events.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Compares what `history` has behind `from` with what is known, and learns what is new. Returns
    /// the last revision that was compared.
    ///
    /// # Errors
    /// What differs.
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
                self.take(record)?;
            }
            at = last;
        }
        let (revision, chain) = history.chain();
        let known = *self.chains.entry(revision).or_insert(chain);
        ensure!(known == chain, "S2: at revision {revision} two nodes have different logs");
        Ok(at)
    }

    fn take(&mut self, record: EventRecord) -> anyhow::Result<()> {
        let known = usize::try_from(record.revision.0).expect("fits into memory") - 1;
        if let Some(known) = self.records.get(known) {
            ensure!(
                *known == record,
                "S3: revision {} was {known:?}, and is {record:?}",
                record.revision
            );
            return Ok(());
        }
        ensure!(known == self.records.len(), "S3: revision {} has none before it", record.revision);
        trace::note(format_args!("event {}: {:?}", record.revision, record.event));
        if let Some(before) = self.records.last() {
            ensure!(before.time <= record.time, "time goes back at revision {}", record.revision);
        }
        evolve(&mut self.state, record.revision, &record.event);
        if let Event::UnitAssigned { incarnation, agent, .. } = &record.event {
            let before = self.assigned.insert(*incarnation, agent.clone());
            ensure!(before.is_none(), "S3: incarnation {incarnation} is assigned twice");
        }
        self.folds.push(rows::digest(&self.state));
        self.records.push(record);
        Ok(())
    }

    /// Compares a node's state with the fold of the events that it has applied.
    ///
    /// # Errors
    /// If they differ.
    pub fn compare_state(&self, state: &State) -> anyhow::Result<()> {
        let revision = state.header.revision;
        let Some(number) = usize::try_from(revision.0).expect("fits into memory").checked_sub(1)
        else {
            return Ok(());
        };
        let Some(fold) = self.folds.get(number) else {
            bail!("S3: a node is at revision {revision}, and has not shown its events");
        };
        let mut bare = state.clone();
        bare.outcomes = Outcomes::default();
        bare.header.time = Timestamp::default();
        bare.agents.values_mut().for_each(|agent| agent.last_report = Default::default());
        ensure!(
            rows::digest(&bare) == *fold,
            "S4: at revision {revision} a node's state is not the fold of its events"
        );
        Ok(())
    }

    /// Checks what an agent asked of its driver against the log.
    ///
    /// # Errors
    /// If the log never wanted that.
    pub fn check_asked(&self, agent: &AgentName, asked: Asked) -> anyhow::Result<()> {
        match asked {
            Asked::Start(incarnation) => {
                let owner = self.assigned.get(&incarnation);
                ensure!(owner == Some(agent), "S8: {agent} starts unit {incarnation} of {owner:?}");
            }
            Asked::Stop(incarnation) => {
                let unit = self.state.units.values().find(|unit| unit.incarnation == incarnation);
                ensure!(
                    !unit.is_some_and(meridian_domain::Unit::is_wanted),
                    "S9: {agent} stops unit {incarnation}, which the log wants"
                );
            }
        }
        Ok(())
    }
}
