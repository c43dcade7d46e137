//! The final checks: every receipt against the log that all nodes ended with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, ensure};
use meridian_domain::evolve::evolve;
use meridian_domain::{Event, EventRecord, Origin, RequestId, Revision, State, Verdict, decide};
use meridian_ports::Receipt;

use crate::agent::Agent;
use crate::operators::Request;
use crate::reference::Reference;

/// Checks S1 and S5 for all requests, and that every operator event belongs to one of them.
///
/// # Errors
/// The first violation.
pub fn requests(
    reference: &Reference,
    requests: &[Request],
    agents: &[Arc<Agent>],
) -> anyhow::Result<()> {
    let changes = changes(reference.records())?;
    let known: BTreeMap<_, _> = requests.iter().map(|request| (request.id, request)).collect();
    for id in changes.keys() {
        ensure!(known.contains_key(id), "S1: request {id} was never sent");
    }
    let process = agents.iter().find_map(|agent| agent.process()).context("no agent is running")?;
    let state = process.ports.read.state().clone();
    for request in requests {
        let outcome = state.outcomes.by_request.get(&request.id);
        let change = changes.get(&request.id);
        ensure!(
            outcome.is_some() || change.is_none(),
            "S1: request {} has events but no outcome",
            request.id
        );
        let Some(receipt) = &request.receipt else { continue };
        let outcome = outcome.with_context(|| {
            format!("S1: request {} was acknowledged but has no outcome", request.id)
        })?;
        let Receipt { verdict, base, revision } = receipt;
        ensure!(
            (verdict, base, revision) == (&outcome.verdict, &outcome.base, &outcome.revision),
            "S1: request {} has receipt {receipt:?} but outcome {outcome:?}",
            request.id
        );
        ensure!(
            request.floor <= *base,
            "S5: request {} was decided at revision {base}, but {} was observed before it was sent",
            request.id,
            request.floor
        );
    }
    replay(reference, &state, &known, &changes)
}

type Changes<'a> = BTreeMap<RequestId, Vec<&'a EventRecord>>;

/// Returns the events of each request, which must be one contiguous run.
fn changes(records: &[EventRecord]) -> anyhow::Result<Changes<'_>> {
    let mut changes = Changes::new();
    for record in records {
        if let Origin::Operator { request, .. } = &record.origin {
            changes.entry(*request).or_default().push(record);
        }
    }
    for (id, records) in &changes {
        let runs: BTreeSet<_> = records.iter().map(|record| record.change).collect();
        let complete = records.len() as u64 == records[0].change_end.0 - records[0].change.0 + 1;
        ensure!(
            runs.len() == 1 && complete,
            "S1: request {id} was applied more than once or partially"
        );
    }
    Ok(changes)
}

/// Decides every request again in the state at which it was decided, and compares the results.
fn replay(
    reference: &Reference,
    last: &State,
    known: &BTreeMap<RequestId, &Request>,
    changes: &Changes<'_>,
) -> anyhow::Result<()> {
    let mut at: BTreeMap<Revision, Vec<RequestId>> = BTreeMap::new();
    for (id, outcome) in &last.outcomes.by_request {
        at.entry(outcome.base).or_default().push(*id);
    }
    let mut state = State::default();
    for number in 0..=reference.records().len() {
        for id in at.remove(&state.header.revision).unwrap_or_default() {
            let request =
                known.get(&id).with_context(|| format!("S1: request {id} was never sent"))?;
            let outcome = &last.outcomes.by_request[&id];
            let events: Vec<&Event> =
                changes.get(&id).into_iter().flatten().map(|record| &record.event).collect();
            let same = match decide(&state, &request.command) {
                Ok(decided) => outcome.verdict == Verdict::Accepted && decided.iter().eq(events),
                Err(rejections) => {
                    outcome.verdict == Verdict::Rejected(rejections) && events.is_empty()
                }
            };
            ensure!(same, "S5: request {id} does not replay to {outcome:?}");
        }
        if let Some(record) = reference.records().get(number) {
            evolve(&mut state, record.revision, &record.event);
        }
    }
    ensure!(at.is_empty(), "S1: outcomes at unknown revisions: {:?}", at.keys());
    Ok(())
}
