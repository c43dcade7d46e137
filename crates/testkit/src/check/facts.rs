//! A history, indexed for the checks.

use std::collections::{BTreeMap, HashMap};

use meridian_domain::{Command, RequestId};

use crate::history::{
    Bystander, Fault, Header, LoggedEvent, Micros, ObservedEvent, ObservedLeader, Operation,
    OperationKind, Outcome, Processes, Record, Resources, Snapshot, StateHash, Storage, Watch,
    mark,
};

/// An indexed history.
pub(super) struct Facts<'a> {
    pub(super) header: Header,
    /// Sorted by the time at which they were sent.
    pub(super) operations: Vec<&'a Operation>,
    /// Changes by request id.
    pub(super) requests: HashMap<RequestId, Request<'a>>,
    /// The merged log: each revision as it was first observed.
    pub(super) log: BTreeMap<u64, &'a ObservedEvent>,
    /// By stream number.
    pub(super) streams: BTreeMap<u64, Stream<'a>>,
    pub(super) states: Vec<&'a StateHash>,
    pub(super) leaders: Vec<&'a ObservedLeader>,
    pub(super) snapshots: Vec<&'a Snapshot>,
    pub(super) process_tables: Vec<&'a Processes>,
    pub(super) faults: Vec<&'a Fault>,
    pub(super) storage: Vec<&'a Storage>,
    pub(super) bystanders: Vec<&'a Bystander>,
    pub(super) resources: Vec<&'a Resources>,
    marks: HashMap<&'a str, Micros>,
}

/// A change with all its retries.
pub(super) struct Request<'a> {
    pub(super) command: &'a Command,
    /// Time of the first attempt.
    pub(super) invoked: Micros,
    pub(super) attempts: Vec<&'a Operation>,
}

/// An acknowledged change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    pub(super) request: RequestId,
    /// Time of the first attempt.
    pub(super) invoked: Micros,
    /// Time of the first acknowledgement.
    pub(super) returned: Micros,
    pub(super) base: u64,
    pub(super) revision: u64,
}

/// A watch and its events.
pub(super) struct Stream<'a> {
    pub(super) watch: &'a Watch,
    pub(super) events: Vec<&'a ObservedEvent>,
}

/// Events that were committed together.
pub(super) struct ChangeSet<'a> {
    pub(super) at: Micros,
    pub(super) request: Option<&'a str>,
    pub(super) events: Vec<&'a LoggedEvent>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a [Record]) -> Self {
        let mut facts = Self {
            header: Header::default(),
            operations: Vec::new(),
            requests: HashMap::new(),
            log: BTreeMap::new(),
            streams: BTreeMap::new(),
            states: Vec::new(),
            leaders: Vec::new(),
            snapshots: Vec::new(),
            process_tables: Vec::new(),
            faults: Vec::new(),
            storage: Vec::new(),
            bystanders: Vec::new(),
            resources: Vec::new(),
            marks: HashMap::new(),
        };
        for record in history {
            facts.note(record);
        }
        facts.operations.sort_by_key(|operation| operation.invoked);
        facts
    }

    fn note(&mut self, record: &'a Record) {
        match record {
            Record::Header(header) => self.header = header.clone(),
            Record::Operation(operation) => self.note_operation(operation),
            Record::Watch(watch) => {
                self.streams.insert(watch.stream, Stream { watch, events: Vec::new() });
            }
            Record::Event(seen) => {
                self.log.entry(seen.event.revision).or_insert(seen);
                if let Some(stream) = self.streams.get_mut(&seen.stream) {
                    stream.events.push(seen);
                }
            }
            Record::State(state) => self.states.push(state),
            Record::Leader(leads) => self.leaders.push(leads),
            Record::Snapshot(snapshot) => self.snapshots.push(snapshot),
            Record::Processes(table) => self.process_tables.push(table),
            Record::Fault(fault) => self.faults.push(fault),
            Record::Mark(mark) => {
                self.marks.insert(&mark.name, mark.at);
            }
            Record::Storage(step) => self.storage.push(step),
            Record::Bystander(seen) => self.bystanders.push(seen),
            Record::Resources(sample) => self.resources.push(sample),
        }
    }

    fn note_operation(&mut self, operation: &'a Operation) {
        self.operations.push(operation);
        if let OperationKind::Change { request, command } = &operation.kind {
            let new = || Request { command, invoked: operation.invoked, attempts: Vec::new() };
            let noted = self.requests.entry(*request).or_insert_with(new);
            noted.invoked = noted.invoked.min(operation.invoked);
            noted.attempts.push(operation);
        }
    }

    /// Returns the time of a mark, if the history has it.
    pub(super) fn mark(&self, name: &str) -> Option<Micros> {
        self.marks.get(name).copied()
    }

    /// Returns the time at which the last fault ended and the deadline for convergence.
    pub(super) fn healing(&self) -> Option<(Micros, Micros)> {
        let healed = self.mark(mark::HEALED)?;
        Some((healed, healed + self.header.converge_within_seconds * 1_000_000))
    }

    /// Returns all acknowledged changes, sorted by the time of their first attempt.
    pub(super) fn accepted(&self) -> Vec<Accepted> {
        let accepted = self.requests.iter().filter_map(|(id, request)| request.accepted(*id));
        let mut accepted: Vec<_> = accepted.collect();
        accepted.sort_by_key(|change| (change.invoked, change.request));
        accepted
    }

    /// Returns the log up to its first gap, grouped by change set.
    pub(super) fn change_sets(&self) -> Vec<ChangeSet<'a>> {
        let mut sets: Vec<ChangeSet<'a>> = Vec::new();
        let mut open = None;
        for (expected, (revision, seen)) in (1..).zip(&self.log) {
            if *revision != expected {
                break;
            }
            let event = &seen.event;
            if open != Some(event.change_id) {
                open = Some(event.change_id);
                let request = event.request_id.as_deref();
                sets.push(ChangeSet { at: seen.at, request, events: Vec::new() });
            }
            if let Some(set) = sets.last_mut() {
                set.at = set.at.max(seen.at);
                set.events.push(event);
            }
        }
        sets
    }
}

impl Request<'_> {
    fn accepted(&self, request: RequestId) -> Option<Accepted> {
        let outcomes = self.attempts.iter().filter_map(|operation| match operation.outcome {
            Outcome::Accepted { base, revision } => Some((operation.returned, base, revision)),
            _ => None,
        });
        let (returned, base, revision) = outcomes.min()?;
        Some(Accepted { request, invoked: self.invoked, returned, base, revision })
    }
}
