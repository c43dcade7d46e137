//! What has to be so within a bound once nothing fails any more. L1: changes and reads work at every
//! agent. L2: every wanted unit runs, and processes of others at any time. L3: no other unit does. L4:
//! then nothing happens.

use std::collections::BTreeSet;

use meridian_domain::{State, UnitPhase};

use super::facts::Facts;
use super::{Violation, model};
use crate::history::{Answer, Bystander, Call, CallKind, Micros, Processes, mark};

/// A unit, whichever process it is.
type Place = (String, String, u32, u64);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let Some((healed, bound)) = facts.healing() else {
        return vec![Violation::new("L1", 0, "the history ends before all is healed".to_owned())];
    };
    let mut violations = works(facts, healed, bound);
    let state = model::fold(facts);
    violations.extend(runs(facts, &state, bound));
    violations.extend(calm(facts, bound));
    violations.extend(harmed(facts));
    violations
}

fn works(facts: &Facts<'_>, healed: Micros, bound: Micros) -> Vec<Violation> {
    let answered = |wanted: &dyn Fn(&Call) -> bool| {
        let mut calls = facts.calls.iter();
        calls.any(|it| it.invoked >= healed && it.returned <= bound && wanted(it))
    };
    let mut violations = Vec::new();
    if !answered(&|call| matches!(call.answer, Answer::Accepted { .. })) {
        let what = "no change is accepted after the healing".to_owned();
        violations.push(Violation::new("L1", bound, what));
    }
    for node in &facts.header.nodes {
        let fresh = |call: &Call| {
            let linearizable = call.kind == CallKind::Read { linearizable: true };
            let answered = matches!(call.answer, Answer::Read { .. });
            linearizable && answered && call.node == node.name
        };
        if !answered(&fresh) {
            let what = format!("{} answers no linearizable read after the healing", node.name);
            violations.push(Violation::new("L1", bound, what));
        }
    }
    violations
}

fn runs(facts: &Facts<'_>, state: &State, bound: Micros) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violated = |invariant, what| violations.push(Violation::new(invariant, bound, what));
    let wanted = state.units.values().map(|unit| {
        let id = &unit.id;
        (id.service.to_string(), id.region.to_string(), u32::from(id.slot), unit.incarnation.0)
    });
    let Some(table) = facts.tables.last() else {
        violated("L2", "the history does not say what ran".to_owned());
        return violations;
    };
    let wanted: BTreeSet<Place> = wanted.collect();
    let running = places(table);
    for missing in wanted.difference(&running) {
        violated("L2", format!("the unit {missing:?} is wanted and does not run"));
    }
    for surplus in running.difference(&wanted) {
        violated("L3", format!("the unit {surplus:?} runs and is not wanted"));
    }
    for unit in state.units.values() {
        if !matches!(unit.phase, UnitPhase::Ready { .. }) {
            violated(
                "L2",
                format!("the unit {}, {} is {:?}", unit.id, unit.incarnation, unit.phase),
            );
        }
    }
    for service in state.services.values() {
        for (region, location) in &service.locations {
            let mut agents = state.agents.values();
            let served = agents.any(|agent| {
                let lives = agent.description.region == *region && !agent.description.witness;
                lives && !agent.drained
            });
            let units = state.units_of(&service.name, region).count();
            if served && units != usize::from(location.units) {
                let (name, want) = (&service.name, location.units);
                violated("L2", format!("{name} has {units} units in {region}, not {want}"));
            }
        }
    }
    violations
}

fn calm(facts: &Facts<'_>, bound: Micros) -> Vec<Violation> {
    let calm = facts.mark(mark::CALM).zip(facts.mark(mark::CALM_ENDED));
    let Some((from, to)) = calm else {
        let what = "the cluster did not come to rest".to_owned();
        return vec![Violation::new("L4", bound, what)];
    };
    let mut violations = Vec::new();
    if from > bound {
        let what = "the cluster came to rest too late".to_owned();
        violations.push(Violation::new("L4", from, what));
    }
    if to - from < facts.header.calm_seconds * 1_000_000 {
        let what = format!("the calm was watched for {} s only", (to - from) / 1_000_000);
        violations.push(Violation::new("L4", to, what));
    }
    for seen in facts.log.values().filter(|seen| (from..to).contains(&seen.at)) {
        let what = format!("revision {} in the calm: {:?}", seen.event.revision, seen.event);
        violations.push(Violation::new("L4", seen.at, what));
    }
    let earlier = facts.tables.iter().rfind(|table| table.at <= from);
    let during = facts.tables.iter().filter(|table| (from..to).contains(&table.at));
    let tables: Vec<_> = earlier.into_iter().chain(during).collect();
    for pair in tables.windows(2).filter(|pair| pair[0].units != pair[1].units) {
        let what = "units were started or stopped in the calm".to_owned();
        violations.push(Violation::new("L4", pair[1].at, what));
    }
    violations
}

fn harmed(facts: &Facts<'_>) -> impl Iterator<Item = Violation> {
    facts.bystanders.iter().filter(|seen| !seen.harm.is_empty()).map(|seen| {
        let Bystander { at, node, pid, harm } = seen;
        let what = format!("process {pid} on the machine of {node}, which is no unit, {harm}");
        Violation::new("L2", *at, what)
    })
}

fn places(table: &Processes) -> BTreeSet<Place> {
    let each = table.units.iter();
    each.map(|it| (it.service.clone(), it.region.clone(), it.slot, it.incarnation)).collect()
}
