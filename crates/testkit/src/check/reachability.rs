//! S13: gateways are lost only while a fault keeps clients from them.

use meridian_domain::EventType;

use super::Violation;
use super::facts::Facts;
use crate::history::{Micros, ObservedEvent, Step};

/// Faults that keep clients from the gateways of the affected agents. No other one may lose gateways:
/// neither a killed or paused agent whose units serve, nor lost, late or repeated packets.
const CUTTING: [&str; 12] = [
    "absence",
    "hang",
    "oneway",
    "outage",
    "partition",
    "pid-reuse",
    "region",
    "restore",
    "spawn",
    "storage-error",
    "unit",
    "wipe",
];
/// Maximum time from the end of a fault until the units serve again and the last loss is observed, in
/// microseconds.
const RECOVERY: Micros = 15_000_000;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let is_loss = |seen: &&&ObservedEvent| seen.event.kind.parse() == Ok(EventType::GatewaysLost);
    let lost = facts.log.values().filter(is_loss);
    let unfounded = lost.filter(|seen| {
        let agent = seen.event.data["agent"].as_str().unwrap_or_default();
        !is_cut_off(facts, agent, seen.at)
    });
    let violation = |seen: &&ObservedEvent| {
        let what = format!("gateways were lost without a fault: {:?}", seen.event);
        Violation::new("S13", seen.at, what)
    };
    unfounded.map(violation).collect()
}

/// Returns true if a fault keeps clients from the gateways of `agent` at this time.
fn is_cut_off(facts: &Facts<'_>, agent: &str, at: Micros) -> bool {
    facts.faults.iter().filter(|fault| fault.step == Step::Started).any(|started| {
        let ended =
            facts.faults.iter().find(|it| it.fault == started.fault && it.step == Step::Ended);
        let until = ended.map_or(Micros::MAX, |ended| ended.at + RECOVERY);
        CUTTING.contains(&started.kind.as_str())
            && started.nodes.iter().any(|node| node == agent)
            && (started.at..=until).contains(&at)
    })
}
