mod faults;
mod run;

use std::collections::BTreeSet;
use std::time::Instant;

use meridian_domain::Edit;

use self::run::{NODES, Run, edit, region, scale, set};
use super::*;
use crate::cluster::new_request;
use crate::history::{Answer, Call, CallKind, Fault, Observed, StateHash, Step, Watch, mark};

/// A run in which everything occurs that is judged.
fn good() -> Vec<Record> {
    let mut run = Run::founded();
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

fn calls(history: &mut [Record]) -> impl Iterator<Item = &mut Call> {
    history.iter_mut().filter_map(|record| match record {
        Record::Call(call) => Some(call),
        _ => None,
    })
}

fn events(history: &mut [Record]) -> impl Iterator<Item = &mut Observed> {
    history.iter_mut().filter_map(|record| match record {
        Record::Event(seen) => Some(seen),
        _ => None,
    })
}

/// The revision of the last event.
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
fn a_good_history_passes_and_is_counted() {
    let Verdict { summary, violations } = check(&good());
    assert_eq!(violations, []);
    assert_eq!((summary.acknowledged, summary.refused, summary.reads), (5, 1, 7));
    let partition = &summary.faults["partition"];
    assert_eq!((partition.injected, partition.felt, summary.injected()), (1, 1, 1));
    let table = summary.to_string();
    assert!(table.contains("changes acknowledged             5\n"), "{table}");
}

#[test]
fn a_history_is_the_same_after_a_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let recorder = crate::history::Recorder::create(file.path()).expect("is created");
    let history = good();
    history.iter().for_each(|record| recorder.append(record));
    recorder.finish().expect("is complete");
    assert_eq!(crate::history::read(file.path()).expect("is read"), history);
}

#[test]
fn s1_an_acknowledged_change_that_no_log_has() {
    let mut history = good();
    let request = new_request();
    let last = end(&mut history);
    let call = calls(&mut history).last().expect("has calls").clone();
    let kind = CallKind::Change { request, command: set(1, 7) };
    let answer = Answer::Accepted { base: last, revision: last + 1 };
    history.push(Record::Call(Call { kind, answer, ..call }));
    assert_only("S1", &history);
}

#[test]
fn s1_an_event_of_a_request_that_nobody_sent() {
    let mut history = good();
    let id = events(&mut history).find_map(|seen| seen.event.request_id.clone());
    let id = id.expect("an operator asked");
    history.retain(|record| match record {
        Record::Call(Call { kind: CallKind::Change { request, .. }, .. }) => {
            request.to_string() != id
        }
        _ => true,
    });
    assert_only("S1", &history);
}

#[test]
fn s1_a_change_that_an_agent_promised_not_to_have_proposed() {
    let mut history = good();
    let last = end(&mut history);
    let accepted = |call: &&mut Call| match call.answer {
        Answer::Accepted { base, revision } => base < revision && revision < last,
        _ => false,
    };
    let call = calls(&mut history).find(accepted).expect("has one");
    call.answer = Answer::NotProposed { why: "NO_LEADER".to_owned() };
    assert_only("S1", &history);
}

#[test]
fn a_time_out_may_have_happened_or_not() {
    let mut history = good();
    for call in calls(&mut history) {
        let change = matches!(call.kind, CallKind::Change { .. });
        if change && matches!(call.answer, Answer::Accepted { base, .. } if base < 8) {
            call.answer = Answer::Unknown { why: "DEADLINE_EXCEEDED".to_owned() };
        }
    }
    let call = calls(&mut history).next().expect("has calls").clone();
    let kind = CallKind::Change { request: new_request(), command: set(1, 7) };
    let answer = Answer::Unknown { why: "connection reset".to_owned() };
    history.push(Record::Call(Call { kind, answer, ..call }));
    assert_eq!(check(&history).violations, []);
}

#[test]
fn s2_one_agent_has_another_event() {
    let mut history = good();
    let seen = events(&mut history).last().expect("has events");
    seen.event.actor = "somebody else".to_owned();
    assert_only("S2", &history);
}

#[test]
fn s2_one_agent_has_other_events_than_it_shows() {
    let mut history = good();
    let during = mark_at(&history, mark::LOAD) + 1;
    for (node, events) in [(NODES[0], "c"), (NODES[1], "d")] {
        history.push(Record::State(state(during, node, "a", events)));
    }
    assert_only("S2", &history);
}

/// What an agent says of itself after the third entry.
fn state(at: Micros, node: &str, hash: &str, events: &str) -> StateHash {
    let (node, hash, events) = (node.to_owned(), hash.repeat(64), Some(events.repeat(64)));
    StateHash { at, node, revision: 3, hash, applied: Some(3), events }
}

#[test]
fn s3_a_revision_that_no_agent_has() {
    let mut history = good();
    let last = end(&mut history);
    let mut seen = events(&mut history).last().expect("has events").clone();
    history.retain(|record| !matches!(record, Record::Event(seen) if seen.event.revision == last));
    // Watches that go on behind the gap.
    seen.event.revision = last + 1;
    for (node, stream) in NODES.iter().zip(4..) {
        let watch = Watch { at: seen.at, stream, node: (*node).to_owned(), from: last + 1 };
        history.push(Record::Watch(watch));
        history.push(Record::Event(Observed { stream, ..seen.clone() }));
    }
    assert_only("S3", &history);
}

#[test]
fn s3_a_committed_event_becomes_another() {
    let mut history = good();
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
    let mut history = good();
    let states = history.iter_mut().find_map(|record| match record {
        Record::State(state) => Some(state),
        _ => None,
    });
    states.expect("has states").hash = "b".repeat(64);
    assert_only("S4", &history);
}

#[test]
fn s4_two_agents_have_different_states_at_one_index_while_calls_run() {
    let mut history = good();
    let during = mark_at(&history, mark::LOAD) + 1;
    for (node, hash) in [(NODES[0], "a"), (NODES[1], "b")] {
        history.push(Record::State(state(during, node, hash, "c")));
    }
    assert_only("S4", &history);
}

#[test]
fn s5_a_change_is_ordered_before_one_that_was_acknowledged_earlier() {
    let mut history = good();
    let moved = mark_at(&history, mark::LOAD) + 1;
    // The second change was, by the log, acknowledged before the first was sent.
    let change = |call: &&mut Call| matches!(call.answer, Answer::Accepted { base, revision } if base < revision);
    let second = calls(&mut history).filter(change).nth(1).expect("has two changes");
    (second.invoked, second.returned) = (moved, moved + 1);
    let first = calls(&mut history).find(change).expect("has changes");
    assert!(first.invoked > moved + 1);
    assert_only("S5", &history);
}

#[test]
fn s5_an_answer_that_the_model_does_not_give() {
    let mut history = good();
    let refused = |call: &&mut Call| matches!(call.answer, Answer::Refused { .. });
    let call = calls(&mut history).find(refused).expect("has one");
    call.answer = Answer::Refused { why: "there is no such service".to_owned() };
    assert_only("S5", &history);
}

#[test]
fn s5_a_change_that_leads_to_other_events() {
    let mut history = good();
    for call in calls(&mut history) {
        if let CallKind::Change { command, .. } = &mut call.kind
            && *command == set(1, 2)
        {
            *command = set(1, 3);
        }
    }
    assert_only("S5", &history);
}

#[test]
fn s6_a_linearizable_read_of_the_past() {
    let mut history = good();
    let read = |call: &&mut Call| call.kind == CallKind::Read { linearizable: true };
    let call = calls(&mut history).find(read).expect("has one");
    call.answer = Answer::Read { revision: 1 };
    assert_only("S6", &history);
}

#[test]
fn s6_a_stale_read_that_goes_back_within_a_session() {
    let mut history = good();
    let session = |call: &Call| call.session == 2;
    let stale =
        |call: &&mut Call| session(call) && call.kind == CallKind::Read { linearizable: false };
    let call = calls(&mut history).find(stale).expect("has one");
    call.answer = Answer::Read { revision: 1 };
    assert_only("S6", &history);
}

#[test]
fn s7_a_watch_that_repeats_an_event() {
    let mut history = good();
    let last = history.pop().expect("has records");
    history.extend([last.clone(), last]);
    assert_only("S7", &history);
}

#[test]
fn s7_a_watch_with_a_gap() {
    let mut history = good();
    history.remove(history.len() - 3);
    assert_only("S7", &history);
}

#[test]
fn s8_two_processes_for_one_unit() {
    let mut history = good();
    let table = history.iter_mut().find_map(|record| match record {
        Record::Processes(table) if !table.units.is_empty() => Some(table),
        _ => None,
    });
    let table = table.expect("has units");
    let mut twin = table.units[0].clone();
    twin.pid += 50;
    table.units.push(twin);
    assert_only("S8", &history);
}

#[test]
fn s9_a_region_that_is_cut_off_loses_its_last_unit() {
    let mut history = good();
    let begun = history
        .iter()
        .position(|record| matches!(record, Record::Fault(Fault { step: Step::Bit { .. }, .. })));
    let Some(Record::Processes(table)) = begun.and_then(|at| history.get_mut(at + 1)) else {
        panic!("a table follows");
    };
    table.units.retain(|unit| unit.region != NODES[2]);
    assert_only("S9", &history);
}

#[test]
fn l1_an_agent_that_does_not_answer_after_the_healing() {
    let mut history = good();
    let healed = mark_at(&history, mark::HEALED);
    let after = |call: &&mut Call| call.invoked > healed && call.node == NODES[1];
    let call = calls(&mut history).find(after).expect("has one");
    call.answer = Answer::Unanswered { why: "NO_LEADER".to_owned() };
    assert_only("L1", &history);
}

#[test]
fn l2_a_unit_that_is_wanted_does_not_run() {
    let mut history = good();
    let table = last_table(&mut history);
    table.units.pop();
    assert_only("L2", &history);
}

#[test]
fn l3_a_unit_that_nobody_wants_runs() {
    let mut history = good();
    let table = last_table(&mut history);
    let mut surplus = table.units[0].clone();
    surplus.incarnation += 1;
    table.units.push(surplus);
    assert_only("L3", &history);
}

fn last_table(history: &mut [Record]) -> &mut crate::history::Processes {
    let tables = history.iter_mut().rev().find_map(|record| match record {
        Record::Processes(table) => Some(table),
        _ => None,
    });
    tables.expect("has tables")
}

#[test]
fn l4_an_event_in_the_calm() {
    let mut history = good();
    let (calm, last) = (mark_at(&history, mark::CALM), end(&mut history));
    let newest = events(&mut history).filter(|seen| seen.event.revision == last);
    newest.for_each(|seen| seen.at = calm + 1);
    assert_only("L4", &history);
}

#[test]
fn v1_a_fault_that_had_no_effect() {
    let mut history = good();
    history.retain(|record| !matches!(record, Record::Fault(Fault { step: Step::Bit { .. }, .. })));
    assert_only("V1", &history);
}

#[test]
fn v1_hardly_any_changes() {
    let mut history = good();
    if let Some(Record::Header(header)) = history.first_mut() {
        header.least_changes_per_second = 1e9;
    }
    assert_only("V1", &history);
}

#[test]
fn two_hundred_thousand_operations_are_checked_in_seconds() {
    let mut run = Run::founded();
    run.fault("partition", 1);
    for number in 0..100_000_usize {
        let units = if number.is_multiple_of(2) { 3 } else { 1 };
        // No agent lives there, so each change is one event.
        let region = meridian_domain::RegionName::new("japaneast").expect("is a name");
        run.change(number % 3, edit(Edit::Set { region, units }, None));
        run.read(number % 3, number.is_multiple_of(2));
    }
    let history = run.heal();
    let began = Instant::now();
    let Verdict { summary, violations } = check(&history);
    let took = began.elapsed();
    println!("{} calls and {} events: {took:?}", summary.calls, summary.events);
    assert_eq!(violations, []);
    assert!(summary.calls > 200_000);
    assert!(took.as_secs() < 60, "{took:?}");
}
