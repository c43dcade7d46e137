//! A history, sorted so that each check finds what it needs.

use std::collections::{BTreeMap, HashMap};

use meridian_domain::{Command, RequestId};

use crate::history::{
    Answer, Bystander, Call, CallKind, Fault, Header, Leads, LoggedEvent, Micros, Observed,
    Processes, Record, Snapshot, StateHash, Storage, Watch, mark,
};

/// What is known of a run.
pub(super) struct Facts<'a> {
    pub(super) header: Header,
    /// By the time at which they were sent.
    pub(super) calls: Vec<&'a Call>,
    /// Changes, by request.
    pub(super) requests: HashMap<RequestId, Request<'a>>,
    /// The one log: each revision as it was first seen.
    pub(super) log: BTreeMap<u64, &'a Observed>,
    /// By number.
    pub(super) streams: BTreeMap<u64, Stream<'a>>,
    pub(super) states: Vec<&'a StateHash>,
    pub(super) leaders: Vec<&'a Leads>,
    pub(super) snapshots: Vec<&'a Snapshot>,
    pub(super) tables: Vec<&'a Processes>,
    pub(super) faults: Vec<&'a Fault>,
    pub(super) storage: Vec<&'a Storage>,
    pub(super) bystanders: Vec<&'a Bystander>,
    marks: HashMap<&'a str, Micros>,
}

/// A change, through all its repetitions.
pub(super) struct Request<'a> {
    pub(super) command: &'a Command,
    /// When it was first sent.
    pub(super) invoked: Micros,
    pub(super) attempts: Vec<&'a Call>,
}

/// An acknowledged change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    pub(super) request: RequestId,
    /// When it was first sent.
    pub(super) invoked: Micros,
    /// When it was first acknowledged.
    pub(super) returned: Micros,
    pub(super) base: u64,
    pub(super) revision: u64,
}

/// A watch and what it delivered.
pub(super) struct Stream<'a> {
    pub(super) watch: &'a Watch,
    pub(super) events: Vec<&'a Observed>,
}

/// Events that happened together.
pub(super) struct ChangeSet<'a> {
    pub(super) at: Micros,
    pub(super) request: Option<&'a str>,
    pub(super) events: Vec<&'a LoggedEvent>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a [Record]) -> Self {
        let mut facts = Self {
            header: Header::default(),
            calls: Vec::new(),
            requests: HashMap::new(),
            log: BTreeMap::new(),
            streams: BTreeMap::new(),
            states: Vec::new(),
            leaders: Vec::new(),
            snapshots: Vec::new(),
            tables: Vec::new(),
            faults: Vec::new(),
            storage: Vec::new(),
            bystanders: Vec::new(),
            marks: HashMap::new(),
        };
        for record in history {
            facts.note(record);
        }
        facts.calls.sort_by_key(|call| call.invoked);
        facts
    }

    fn note(&mut self, record: &'a Record) {
        match record {
            Record::Header(header) => self.header = header.clone(),
            Record::Call(call) => self.note_call(call),
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
            Record::Processes(table) => self.tables.push(table),
            Record::Fault(fault) => self.faults.push(fault),
            Record::Mark(mark) => {
                self.marks.insert(&mark.name, mark.at);
            }
            Record::Storage(step) => self.storage.push(step),
            Record::Bystander(seen) => self.bystanders.push(seen),
        }
    }

    fn note_call(&mut self, call: &'a Call) {
        self.calls.push(call);
        if let CallKind::Change { request, command } = &call.kind {
            let new = || Request { command, invoked: call.invoked, attempts: Vec::new() };
            let noted = self.requests.entry(*request).or_insert_with(new);
            noted.invoked = noted.invoked.min(call.invoked);
            noted.attempts.push(call);
        }
    }

    /// The moment of that name, if the history has it.
    pub(super) fn mark(&self, name: &str) -> Option<Micros> {
        self.marks.get(name).copied()
    }

    /// From the healing to the bound after it.
    pub(super) fn healing(&self) -> Option<(Micros, Micros)> {
        let healed = self.mark(mark::HEALED)?;
        Some((healed, healed + self.header.converge_within_seconds * 1_000_000))
    }

    /// Every acknowledged change, by the time at which it was first sent.
    pub(super) fn accepted(&self) -> Vec<Accepted> {
        let accepted = self.requests.iter().filter_map(|(id, request)| request.accepted(*id));
        let mut accepted: Vec<_> = accepted.collect();
        accepted.sort_by_key(|change| (change.invoked, change.request));
        accepted
    }

    /// The log up to its first gap, by change.
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
        let answers = self.attempts.iter().filter_map(|call| match call.answer {
            Answer::Accepted { base, revision } => Some((call.returned, base, revision)),
            _ => None,
        });
        let (returned, base, revision) = answers.min()?;
        Some(Accepted { request, invoked: self.invoked, returned, base, revision })
    }
}
