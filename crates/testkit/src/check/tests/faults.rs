//! What faults did, and what was done to others.

use super::run::NODES;
use super::{assert_only, calls, good, mark_at};
use crate::check::check;
use crate::history::{Answer, Bystander, Call, Fault, Record, StateHash, Step, Storage, mark};

#[test]
fn s10_an_agent_acknowledges_a_change_after_its_storage_failed() {
    let mut history = good();
    let accepted = |call: &&mut Call| matches!(call.answer, Answer::Accepted { .. });
    let call = calls(&mut history).filter(accepted).last().expect("has one").clone();
    let step = |at, over| Record::Storage(Storage { at, node: call.node.clone(), over });
    let mut before = history.clone();
    before.extend([step(1, false), step(call.invoked, true)]);
    let mut after = history;
    after.extend([step(call.invoked, false), step(call.returned, true)]);
    assert_only("S10", &after);
    // What it was asked for before may be durable at the others, and its next life may do all.
    let others = calls(&mut before).filter(accepted).filter(|it| it.node == call.node).count();
    let violations = check(&before).violations;
    assert_eq!(violations.len(), others - 1, "{violations:#?}");
}

#[test]
fn l2_a_process_of_somebody_else_is_killed() {
    let mut history = good();
    let (at, node) = (mark_at(&history, mark::LOAD), NODES[1].to_owned());
    let unharmed = Bystander { at, node, pid: 7, harm: String::new() };
    history.push(Record::Bystander(unharmed.clone()));
    assert_eq!(check(&history).violations, []);
    let harm = "was killed".to_owned();
    history.push(Record::Bystander(Bystander { harm, ..unharmed }));
    assert_only("L2", &history);
}

#[test]
fn l5_an_agent_answers_and_stands_still() {
    let mut history = good();
    let from = mark_at(&history, mark::LOAD) + 1;
    // The bound of this run is a second.
    let until = from + 1_100_000;
    let end = state_of(&history, NODES[1]);
    let stands = |at, node, applied| {
        let (node, applied) = (String::from(node), Some(applied));
        Record::State(StateHash { at, node, applied, ..end.clone() })
    };
    let (goes_on, behind) = ((NODES[0], 6), (NODES[1], 5));
    history.extend([goes_on, behind].map(|(node, applied)| stands(from, node, applied)));
    let catches_up = [stands(until, NODES[1], 6)];
    assert_eq!(check(&[&history[..], &catches_up].concat()).violations, []);
    history.push(stands(until, NODES[1], 5));
    assert_only("L5", &history);
}

fn state_of(history: &[Record], node: &str) -> StateHash {
    let state = history.iter().find_map(|record| match record {
        Record::State(state) if state.node == node => Some(state.clone()),
        _ => None,
    });
    state.expect("tells its state")
}

#[test]
fn a_silence_counts_for_the_fault_that_it_meets() {
    let history = good();
    let survival = &check(&history).summary.faults["partition"];
    let begun = history.iter().find_map(|record| match record {
        Record::Fault(Fault { at, step: Step::Begun, .. }) => Some(*at),
        _ => None,
    });
    let begun = begun.expect("has a fault");
    let mut history = history;
    let accepted = |call: &&mut Call| matches!(call.answer, Answer::Accepted { .. });
    // All changes after the beginning of the fault are answered three seconds later.
    for call in calls(&mut history).filter(accepted).filter(|it| it.returned > begun) {
        call.returned += 3_000_000;
    }
    for record in &mut history {
        if let Record::Mark(mark) = record
            && mark.name == mark::LOAD_ENDED
        {
            mark.at += 3_000_000;
        }
    }
    let slower = &check(&history).summary.faults["partition"];
    assert!(survival.longest_silence_ms < 100, "{survival:?}");
    assert!((3_000..3_100).contains(&slower.longest_silence_ms), "{slower:?}");
}
