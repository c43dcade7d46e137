mod faults;
mod resources;
mod run;
mod units;

use std::collections::BTreeSet;
use std::time::Instant;

use meridian_domain::Edit;

use self::run::{NODES, Run, edit, region, scale, set};
use super::*;
use crate::cluster::new_request;
use crate::history::{ObservedEvent, Operation, OperationKind, Outcome, StateHash, Watch, mark};

/// Returns a valid history that covers every check.
fn valid() -> Vec<Record> {
    let mut run = Run::bootstrapped();
    run.change(0, set(1, 2));
    run.start_units();
    run.read(0, true);
    run.read(1, false);
    run.change(1, scale(1, 2));
    run.change(2, edit(Edit::Remove { region: region(2) }, None));
    run.change(2, set(2, 1));
    run.start_units();
    run.fault("partition", 2);
    run.read(2, true);
    run.read(2, false);
    run.heal()
}

#[track_caller]
fn assert_only(invariant: &str, history: &[Record]) {
    let violations = check(history).violations;
    let found: BTreeSet<_> = violations.iter().map(|it| it.invariant.as_str()).collect();
    assert_eq!(found, BTreeSet::from([invariant]), "{violations:#?}");
}

fn operations(history: &mut [Record]) -> impl Iterator<Item = &mut Operation> {
    history.iter_mut().filter_map(|record| match record {
        Record::Operation(operation) => Some(operation),
        _ => None,
    })
}

fn events(history: &mut [Record]) -> impl Iterator<Item = &mut ObservedEvent> {
    history.iter_mut().filter_map(|record| match record {
        Record::Event(seen) => Some(seen),
        _ => None,
    })
}

/// Returns the revision of the last event.
fn end(history: &mut [Record]) -> u64 {
    events(history).map(|seen| seen.event.revision).max().expect("has events")
}

fn mark_at(history: &[Record], name: &str) -> Micros {
    let marks = history.iter().find_map(|record| match record {
        Record::Mark(mark) if mark.name == name => Some(mark.at),
        _ => None,
    });
    marks.expect("has the mark")
}

#[test]
fn a_valid_history_passes_and_is_counted() {
    let Verdict { summary, violations } = check(&valid());
    assert_eq!(violations, []);
    assert_eq!((summary.acknowledged, summary.rejected, summary.reads), (5, 1, 7));
    let partition = &summary.faults["partition"];
    assert_eq!((partition.injected, partition.effective, summary.injected()), (1, 1, 1));
    let table = summary.to_string();
    assert!(table.contains("changes acknowledged             5\n"), "{table}");
}

#[test]
fn a_history_survives_a_round_trip_through_a_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let recorder = crate::history::Recorder::create(file.path()).expect("is created");
    let history = valid();
    history.iter().for_each(|record| recorder.append(record));
    recorder.finish().expect("is complete");
    assert_eq!(crate::history::read(file.path()).expect("is read"), history);
}

#[test]
fn s1_an_acknowledged_change_is_in_no_log() {
    let mut history = valid();
    let request = new_request();
    let last = end(&mut history);
    let operation = operations(&mut history).last().expect("has operations").clone();
    let kind = OperationKind::Change { request, command: set(1, 7) };
    let outcome = Outcome::Accepted { base: last, revision: last + 1 };
    history.push(Record::Operation(Operation { kind, outcome, ..operation }));
    assert_only("S1", &history);
}

#[test]
fn s1_an_event_has_a_request_id_that_was_never_sent() {
    let mut history = valid();
    let id = events(&mut history).find_map(|seen| seen.event.request_id.clone());
    let id = id.expect("an operator requested a change");
    history.retain(|record| match record {
        Record::Operation(Operation { kind: OperationKind::Change { request, .. }, .. }) => {
            request.to_string() != id
        }
        _ => true,
    });
    assert_only("S1", &history);
}

#[test]
fn s1_a_change_reported_as_not_proposed_is_in_the_log() {
    let mut history = valid();
    let last = end(&mut history);
    let accepted = |operation: &&mut Operation| match operation.outcome {
        Outcome::Accepted { base, revision } => base < revision && revision < last,
        _ => false,
    };
    let operation = operations(&mut history).find(accepted).expect("has one");
    operation.outcome = Outcome::NotProposed { reason: "NO_LEADER".to_owned() };
    assert_only("S1", &history);
}

#[test]
fn a_change_that_timed_out_may_be_committed_or_not() {
    let mut history = valid();
    for operation in operations(&mut history) {
        let change = matches!(operation.kind, OperationKind::Change { .. });
        if change && matches!(operation.outcome, Outcome::Accepted { base, .. } if base < 8) {
            operation.outcome = Outcome::Unknown { reason: "DEADLINE_EXCEEDED".to_owned() };
        }
    }
    let operation = operations(&mut history).next().expect("has operations").clone();
    let kind = OperationKind::Change { request: new_request(), command: set(1, 7) };
    let outcome = Outcome::Unknown { reason: "connection reset".to_owned() };
    history.push(Record::Operation(Operation { kind, outcome, ..operation }));
    assert_eq!(check(&history).violations, []);
}

#[test]
fn s2_one_agent_has_another_event() {
    let mut history = valid();
    let seen = events(&mut history).last().expect("has events");
    seen.event.actor = "other".to_owned();
    assert_only("S2", &history);
}

#[test]
fn s2_two_agents_have_different_event_hashes() {
    let mut history = valid();
    let during = mark_at(&history, mark::LOAD) + 1;
    for (node, events) in [(NODES[0], "c"), (NODES[1], "d")] {
        history.push(Record::State(state(during, node, "a", events)));
    }
    assert_only("S2", &history);
}

/// Returns the report of an agent after the third entry.
fn state(at: Micros, node: &str, hash: &str, events: &str) -> StateHash {
    let (node, hash, events) = (node.to_owned(), hash.repeat(64), Some(events.repeat(64)));
    StateHash { at, node, revision: 3, hash, applied: Some(3), events }
}

#[test]
fn s3_a_revision_is_missing_on_every_agent() {
    let mut history = valid();
    let last = end(&mut history);
    let mut seen = events(&mut history).last().expect("has events").clone();
    history.retain(|record| !matches!(record, Record::Event(seen) if seen.event.revision == last));
    // Watches that continue after the gap.
    seen.event.revision = last + 1;
    for (node, stream) in NODES.iter().zip(4..) {
        let watch = Watch { at: seen.at, stream, node: (*node).to_owned(), from: last + 1 };
        history.push(Record::Watch(watch));
        history.push(Record::Event(ObservedEvent { stream, ..seen.clone() }));
    }
    assert_only("S3", &history);
}

#[test]
fn s3_a_committed_event_changes() {
    let mut history = valid();
    let mut again = events(&mut history).last().expect("has events").clone();
    let stream = again.stream + 1;
    let from = again.event.revision;
    let node = NODES[2].to_owned();
    history.push(Record::Watch(Watch { at: again.at, stream, node, from }));
    again.stream = stream;
    again.event.time += 1;
    history.push(Record::Event(again));
    assert_only("S3", &history);
}

#[test]
fn s4_two_agents_have_different_states() {
    let mut history = valid();
    let states = history.iter_mut().find_map(|record| match record {
        Record::State(state) => Some(state),
        _ => None,
    });
    states.expect("has states").hash = "b".repeat(64);
    assert_only("S4", &history);
}

#[test]
fn s4_two_agents_have_different_states_at_one_index_under_load() {
    let mut history = valid();
    let during = mark_at(&history, mark::LOAD) + 1;
    for (node, hash) in [(NODES[0], "a"), (NODES[1], "b")] {
        history.push(Record::State(state(during, node, hash, "c")));
    }
    assert_only("S4", &history);
}

#[test]
fn s5_a_change_is_ordered_before_one_that_was_acknowledged_earlier() {
    let mut history = valid();
    let moved = mark_at(&history, mark::LOAD) + 1;
    // According to the log, the second change was acknowledged before the first was sent.
    let change = |operation: &&mut Operation| matches!(operation.outcome, Outcome::Accepted { base, revision } if base < revision);
    let second = operations(&mut history).filter(change).nth(1).expect("has two changes");
    (second.invoked, second.returned) = (moved, moved + 1);
    let first = operations(&mut history).find(change).expect("has changes");
    assert!(first.invoked > moved + 1);
    assert_only("S5", &history);
}

#[test]
fn s5_a_rejection_has_a_reason_that_the_model_does_not_give() {
    let mut history = valid();
    let rejected =
        |operation: &&mut Operation| matches!(operation.outcome, Outcome::Rejected { .. });
    let operation = operations(&mut history).find(rejected).expect("has one");
    operation.outcome = Outcome::Rejected { reason: "there is no such service".to_owned() };
    assert_only("S5", &history);
}

#[test]
fn s5_a_change_produces_events_that_the_model_does_not_decide() {
    let mut history = valid();
    for operation in operations(&mut history) {
        if let OperationKind::Change { command, .. } = &mut operation.kind
            && *command == set(1, 2)
        {
            *command = set(1, 3);
        }
    }
    assert_only("S5", &history);
}

#[test]
fn s6_a_linearizable_read_is_stale() {
    let mut history = valid();
    let read =
        |operation: &&mut Operation| operation.kind == OperationKind::Read { linearizable: true };
    let operation = operations(&mut history).find(read).expect("has one");
    operation.outcome = Outcome::Read { revision: 1 };
    assert_only("S6", &history);
}

#[test]
fn s6_a_stale_read_goes_back_within_a_session() {
    let mut history = valid();
    let session = |operation: &Operation| operation.session == 2;
    let stale = |operation: &&mut Operation| {
        session(operation) && operation.kind == OperationKind::Read { linearizable: false }
    };
    let operation = operations(&mut history).find(stale).expect("has one");
    operation.outcome = Outcome::Read { revision: 1 };
    assert_only("S6", &history);
}

#[test]
fn s7_a_watch_repeats_an_event() {
    let mut history = valid();
    let last = history.pop().expect("has records");
    history.extend([last.clone(), last]);
    assert_only("S7", &history);
}

#[test]
fn s7_a_watch_skips_an_event() {
    let mut history = valid();
    history.remove(history.len() - 3);
    assert_only("S7", &history);
}

#[test]
fn l1_an_agent_does_not_serve_reads_after_the_faults_were_removed() {
    let mut history = valid();
    let healed = mark_at(&history, mark::HEALED);
    let after =
        |operation: &&mut Operation| operation.invoked > healed && operation.node == NODES[1];
    let operation = operations(&mut history).find(after).expect("has one");
    operation.outcome = Outcome::ReadFailed { reason: "NO_LEADER".to_owned() };
    assert_only("L1", &history);
}

#[test]
fn l2_a_desired_unit_is_not_running() {
    let mut history = valid();
    let table = last_table(&mut history);
    table.units.pop();
    assert_only("L2", &history);
}

#[test]
fn l3_a_unit_that_is_not_desired_is_running() {
    let mut history = valid();
    let table = last_table(&mut history);
    let mut surplus = table.units[0].clone();
    surplus.incarnation += 1;
    table.units.push(surplus);
    assert_only("L3", &history);
}

fn last_table(history: &mut [Record]) -> &mut crate::history::Processes {
    let process_tables = history.iter_mut().rev().find_map(|record| match record {
        Record::Processes(table) => Some(table),
        _ => None,
    });
    process_tables.expect("has process_tables")
}

#[test]
fn l4_an_event_occurs_in_the_quiescent_phase() {
    let mut history = valid();
    let (quiescent, last) = (mark_at(&history, mark::QUIESCENT), end(&mut history));
    let newest = events(&mut history).filter(|seen| seen.event.revision == last);
    newest.for_each(|seen| seen.at = quiescent + 1);
    assert_only("L4", &history);
}

#[test]
fn v1_too_few_changes_were_acknowledged() {
    let mut history = valid();
    if let Some(Record::Header(header)) = history.first_mut() {
        header.min_changes_per_second = 1e9;
    }
    assert_only("V1", &history);
}

#[test]
fn two_hundred_thousand_operations_are_checked_in_seconds() {
    let mut run = Run::bootstrapped();
    run.fault("partition", 1);
    for number in 0..100_000_usize {
        let units = if number.is_multiple_of(2) { 3 } else { 1 };
        // No agent runs in this region, so each change is one event.
        let region = meridian_domain::RegionName::new("japaneast").expect("a valid name");
        run.change(number % 3, edit(Edit::Set { region, units }, None));
        run.read(number % 3, number.is_multiple_of(2));
    }
    let history = run.heal();
    let began = Instant::now();
    let Verdict { summary, violations } = check(&history);
    let took = began.elapsed();
    println!("{} operations and {} events: {took:?}", summary.operations, summary.events);
    assert_eq!(violations, []);
    assert!(summary.operations > 200_000);
    assert!(took.as_secs() < 60, "{took:?}");
}
