//! Properties that hold within a bound after the last fault ended, except that bystanders are
//! checked throughout. L1: every agent serves changes and reads. L2: every desired unit runs, and
//! no unrelated process is harmed. L3: no other unit runs. L4: the cluster becomes quiescent.

use std::collections::BTreeSet;

use meridian_domain::{State, UnitPhase, limits};

use super::facts::Facts;
use super::{Violation, model};
use crate::history::{Bystander, Micros, Operation, OperationKind, Outcome, Processes, mark};

/// Maximum time from the convergence of the units until lost gateways are found, in microseconds: the
/// longest stable window, and half a minute.
const FOUND_WITHIN: Micros = (limits::MAX_STABLE_WINDOW.as_secs() + 30) * 1_000_000;

/// Identity of a unit, independent of its process.
type UnitKey = (String, String, u32, u64);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let Some((healed, bound)) = facts.healing() else {
        return vec![Violation::new(
            "L1",
            0,
            "the history ends before the last fault was removed".to_owned(),
        )];
    };
    let mut violations = serves(facts, healed, bound);
    let state = model::fold(facts);
    violations.extend(units_match(facts, &state, bound));
    violations.extend(quiescent(facts, bound));
    violations.extend(harmed(facts));
    violations
}

fn serves(facts: &Facts<'_>, healed: Micros, bound: Micros) -> Vec<Violation> {
    let succeeded = |wanted: &dyn Fn(&Operation) -> bool| {
        let mut operations = facts.operations.iter();
        operations.any(|it| it.invoked >= healed && it.returned <= bound && wanted(it))
    };
    let mut violations = Vec::new();
    if !succeeded(&|operation| matches!(operation.outcome, Outcome::Accepted { .. })) {
        let what = "no change was accepted after the faults were removed".to_owned();
        violations.push(Violation::new("L1", bound, what));
    }
    for node in &facts.header.nodes {
        let fresh = |operation: &Operation| {
            let linearizable = operation.kind == OperationKind::Read { linearizable: true };
            let succeeded = matches!(operation.outcome, Outcome::Read { .. });
            linearizable && succeeded && operation.node == node.name
        };
        if !succeeded(&fresh) {
            let what =
                format!("{} served no linearizable read after the faults were removed", node.name);
            violations.push(Violation::new("L1", bound, what));
        }
    }
    violations
}

fn units_match(facts: &Facts<'_>, state: &State, bound: Micros) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violated = |invariant, what| violations.push(Violation::new(invariant, bound, what));
    let wanted = state.units.values().map(|unit| {
        let id = &unit.id;
        (id.service.to_string(), id.region.to_string(), u32::from(id.slot), unit.incarnation.0)
    });
    let Some(table) = facts.process_tables.last() else {
        violated("L2", "the history has no process table".to_owned());
        return violations;
    };
    let wanted: BTreeSet<UnitKey> = wanted.collect();
    let running = unit_keys(table);
    for missing in wanted.difference(&running) {
        violated("L2", format!("desired unit {missing:?} is not running"));
    }
    for surplus in running.difference(&wanted) {
        violated("L3", format!("unit {surplus:?} is running but not desired"));
    }
    for unit in state.units.values() {
        if !matches!(unit.phase, UnitPhase::Ready { .. }) {
            violated(
                "L2",
                format!("unit {} ({}) is {:?}, not ready", unit.id, unit.incarnation, unit.phase),
            );
        }
    }
    for service in state.services.values() {
        for (region, location) in &service.locations {
            let mut agents = state.agents.values();
            let served = agents.any(|agent| {
                let serves = agent.description.region == *region && !agent.description.witness;
                serves && !agent.drained
            });
            let units = state.units_of(&service.name, region).count();
            if served && units != usize::from(location.units) {
                let (name, want) = (&service.name, location.units);
                violated("L2", format!("{name} has {units} units in {region}, expected {want}"));
            }
        }
    }
    violations
}

fn quiescent(facts: &Facts<'_>, bound: Micros) -> Vec<Violation> {
    let quiescent = facts.mark(mark::QUIESCENT).zip(facts.mark(mark::QUIESCENT_ENDED));
    let Some((from, to)) = quiescent else {
        let what = "the cluster did not become quiescent".to_owned();
        return vec![Violation::new("L4", bound, what)];
    };
    let mut violations = Vec::new();
    let converged = facts.mark(mark::CONVERGED).unwrap_or(from);
    if converged > bound || from - converged > FOUND_WITHIN {
        let what = "the cluster became quiescent too late".to_owned();
        violations.push(Violation::new("L4", from, what));
    }
    if to - from < facts.header.quiescent_seconds * 1_000_000 {
        let what = format!("the quiescent phase lasted only {} s", (to - from) / 1_000_000);
        violations.push(Violation::new("L4", to, what));
    }
    for seen in facts.log.values().filter(|seen| (from..to).contains(&seen.at)) {
        let what =
            format!("revision {} in the quiescent phase: {:?}", seen.event.revision, seen.event);
        violations.push(Violation::new("L4", seen.at, what));
    }
    let earlier = facts.process_tables.iter().rfind(|table| table.at <= from);
    let during = facts.process_tables.iter().filter(|table| (from..to).contains(&table.at));
    let process_tables: Vec<_> = earlier.into_iter().chain(during).collect();
    for pair in process_tables.windows(2).filter(|pair| pair[0].units != pair[1].units) {
        let what = "units were started or stopped in the quiescent phase".to_owned();
        violations.push(Violation::new("L4", pair[1].at, what));
    }
    violations
}

fn harmed(facts: &Facts<'_>) -> impl Iterator<Item = Violation> {
    facts.bystanders.iter().filter(|seen| !seen.harm.is_empty()).map(|seen| {
        let Bystander { at, node, pid, harm } = seen;
        let what = format!("process {pid} on the machine of {node}, which is not a unit, {harm}");
        Violation::new("L2", *at, what)
    })
}

fn unit_keys(table: &Processes) -> BTreeSet<UnitKey> {
    let each = table.units.iter();
    each.map(|it| (it.service.clone(), it.region.clone(), it.slot, it.incarnation)).collect()
}
