//! Tests of faults and their impact.

use meridian_domain::{RequestId, Timestamp};

use super::run::{NODES, Run};
use super::{assert_only, mark_at, operations, valid};
use crate::check::check;
use crate::cluster::new_request;
use crate::history::{
    Bystander, Fault, ObservedLeader, Operation, OperationKind, Outcome, Record, StateHash, Step,
    Storage, mark,
};

#[test]
fn s10_an_agent_acknowledges_a_change_after_its_storage_failed() {
    let mut history = valid();
    let accepted =
        |operation: &&mut Operation| matches!(operation.outcome, Outcome::Accepted { .. });
    let operation = operations(&mut history).filter(accepted).last().expect("has one").clone();
    let step = |at, over| Record::Storage(Storage { at, node: operation.node.clone(), over });
    let mut before = history.clone();
    before.extend([step(1, false), step(operation.invoked, true)]);
    let mut after = history;
    after.extend([step(operation.invoked, false), step(operation.returned, true)]);
    assert_only("S10", &after);
    // Changes submitted to it before the failure may be durable on the others, and the restarted
    // agent may acknowledge anything.
    let others =
        operations(&mut before).filter(accepted).filter(|it| it.node == operation.node).count();
    let violations = check(&before).violations;
    assert_eq!(violations.len(), others - 1, "{violations:#?}");
}

#[test]
fn l2_an_unrelated_process_is_killed() {
    let mut history = valid();
    let (at, node) = (mark_at(&history, mark::LOAD), NODES[1].to_owned());
    let unharmed = Bystander { at, node, pid: 7, harm: String::new() };
    history.push(Record::Bystander(unharmed.clone()));
    assert_eq!(check(&history).violations, []);
    let harm = "was killed".to_owned();
    history.push(Record::Bystander(Bystander { harm, ..unharmed }));
    assert_only("L2", &history);
}

#[test]
fn s13_gateways_are_lost_although_no_fault_cuts_them_off() {
    let lost_after = |kind, node| {
        let mut run = Run::bootstrapped();
        run.fault(kind, node);
        run.lose(1);
        run.heal()
    };
    assert_eq!(check(&lost_after("outage", 1)).violations, []);
    assert_only("S13", &lost_after("outage", 2));
    assert_only("S13", &lost_after("loss", 1));
}

#[test]
fn l5_a_responsive_agent_makes_no_progress() {
    let mut history = valid();
    let from = mark_at(&history, mark::LOAD) + 1;
    // The convergence bound of this run is one second.
    let until = from + 1_100_000;
    let end = state_of(&history, NODES[1]);
    let at_index = |at, node, applied| {
        let (node, applied) = (String::from(node), Some(applied));
        Record::State(StateHash { at, node, applied, ..end.clone() })
    };
    let (ahead, behind) = ((NODES[0], 6), (NODES[1], 5));
    history.extend([ahead, behind].map(|(node, applied)| at_index(from, node, applied)));
    let catches_up = [at_index(until, NODES[1], 6)];
    assert_eq!(check(&[&history[..], &catches_up].concat()).violations, []);
    history.push(at_index(until, NODES[1], 5));
    assert_only("L5", &history);
}

fn state_of(history: &[Record], node: &str) -> StateHash {
    let state = history.iter().find_map(|record| match record {
        Record::State(state) if state.node == node => Some(state.clone()),
        _ => None,
    });
    state.expect("the node reported its state")
}

#[test]
fn an_outage_counts_for_the_fault_that_it_overlaps() {
    let history = valid();
    let impact = &check(&history).summary.faults["partition"];
    let started = history.iter().find_map(|record| match record {
        Record::Fault(Fault { at, step: Step::Started, .. }) => Some(*at),
        _ => None,
    });
    let started = started.expect("has a fault");
    let mut history = history;
    let accepted =
        |operation: &&mut Operation| matches!(operation.outcome, Outcome::Accepted { .. });
    // All changes after the start of the fault are acknowledged three seconds later.
    for operation in operations(&mut history).filter(accepted).filter(|it| it.returned > started) {
        operation.returned += 3_000_000;
    }
    for record in &mut history {
        if let Record::Mark(mark) = record
            && mark.name == mark::LOAD_ENDED
        {
            mark.at += 3_000_000;
        }
    }
    let slower = &check(&history).summary.faults["partition"];
    assert!(impact.longest_outage_ms < 100, "{impact:?}");
    assert!((3_000..3_100).contains(&slower.longest_outage_ms), "{slower:?}");
}

#[test]
fn v1_a_fault_had_no_effect() {
    let mut history = valid();
    history.retain(|record| {
        !matches!(record, Record::Fault(Fault { step: Step::Effective { .. }, .. }))
    });
    assert_only("V1", &history);
}

#[test]
fn l7_no_other_agent_leads_while_the_disk_of_the_leader_hangs() {
    let history = valid();
    let at = mark_at(&history, mark::LOAD);
    let leads =
        |at, node: usize| Record::Leader(ObservedLeader { at, node: NODES[node].to_owned() });
    let (kind, nodes) = ("disk-hang".to_owned(), vec![NODES[0].to_owned()]);
    let effective = Step::Effective { evidence: String::new() };
    let step = |step| {
        let (kind, nodes) = (kind.clone(), nodes.clone());
        Record::Fault(Fault { at, fault: 7, kind, nodes, step })
    };
    let hangs = [step(Step::Started), step(effective), step(Step::Ended)];
    let taken_over = [leads(at, 0), leads(at + 6_000_000, 1)];
    assert_eq!(check(&[&history[..], &hangs, &taken_over].concat()).violations, []);
    let late = [leads(at, 0), leads(at + 15_000_000, 1)];
    assert_only("L7", &[&history[..], &hangs, &late].concat());
    assert_only("L7", &[&history[..], &hangs].concat());
}

#[test]
fn s12_a_request_id_from_the_future_is_recorded_or_a_new_one_expires() {
    let history = valid();
    let of = |outcome: Outcome, time: Option<Timestamp>| {
        let mut history = history.clone();
        let mut operation = operations(&mut history)
            .filter(|it| matches!(it.kind, OperationKind::Change { .. }))
            .last()
            .expect("has one")
            .clone();
        if let OperationKind::Change { request, .. } = &mut operation.kind {
            *request = time.map_or_else(new_request, RequestId::last_at);
        }
        operation.outcome = outcome;
        history.push(Record::Operation(operation));
        history
    };
    let future = Timestamp(new_request().time().0 + 365 * 24 * 3_600_000);
    let refused = |reason: &str| Outcome::NotProposed { reason: reason.to_owned() };
    let ahead = of(refused("REQUEST_FROM_FUTURE"), Some(future));
    assert_eq!(check(&ahead).violations, []);
    let invariants = |history: &[Record]| {
        let violations = check(history).violations.into_iter();
        violations.map(|it| it.invariant).collect::<Vec<_>>()
    };
    let rejected = of(Outcome::Rejected { reason: String::new() }, Some(future));
    assert!(invariants(&rejected).contains(&"S12".to_owned()));
    assert_only("S12", &of(refused("REQUEST_EXPIRED"), None));
}
