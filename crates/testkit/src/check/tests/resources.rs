//! Tests of the resources at rest.

use super::run::NODES;
use super::{assert_only, mark_at, valid};
use crate::check::check;
use crate::history::{Micros, Record, Resources, mark};

/// Returns a sample of an agent, the leader if it is the first one.
fn sample(at: Micros, node: usize) -> Resources {
    Resources {
        at,
        node: NODES[node].to_owned(),
        leader: node == 0,
        units: 1,
        descriptors: if node == 0 { 80 } else { 60 },
        sockets: 30,
        threads: 10,
        resident_kib: 50_000,
    }
}

/// Returns a history whose agents have the resources of the samples after the run.
fn with(after: impl Fn(Resources) -> Resources) -> Vec<Record> {
    let mut history = valid();
    let load = mark_at(&history, mark::LOAD);
    let end = mark_at(&history, mark::QUIESCENT_ENDED);
    for node in 0..NODES.len() {
        history.push(Record::Resources(sample(load - 1, node)));
        history.push(Record::Resources(after(sample(end, node))));
    }
    history
}

#[test]
fn l6_an_agent_holds_more_of_a_resource_than_before_the_load() {
    assert_eq!(check(&with(|same| same)).violations, []);
    type Leak = fn(Resources) -> Resources;
    let leaks: [Leak; 4] = [
        |it| Resources { descriptors: it.descriptors + 50, ..it },
        |it| Resources { sockets: it.sockets + 50, ..it },
        |it| Resources { threads: it.threads + 50, ..it },
        |it| Resources { resident_kib: it.resident_kib * 20, ..it },
    ];
    for leak in leaks {
        assert_only("L6", &with(leak));
    }
}

#[test]
fn a_leader_and_an_agent_with_more_units_may_hold_more_descriptors() {
    // The leader moved to another agent.
    let moved = |it: Resources| Resources { leader: !it.leader, descriptors: 80, ..it };
    let history = with(moved);
    let leader = |record: &&Record| matches!(record, Record::Resources(it) if it.leader);
    let leaders: Vec<_> = history.iter().filter(leader).cloned().collect();
    assert_eq!(check(&[valid(), leaders].concat()).violations, []);
    let more = |it: Resources| Resources { units: 9, descriptors: it.descriptors + 40, ..it };
    assert_eq!(check(&with(more)).violations, []);
}
