//! Impact of each kind of fault on the cluster.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::history::{Fault, Micros, Step, mark};

/// Time after the end of a fault during which leader changes and snapshots are still attributed to
/// it, in microseconds: the election and the snapshot for a returning agent come later.
const ATTRIBUTION_WINDOW: Micros = 2_000_000;

/// Impact of the faults of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultImpact {
    /// Number of injected faults.
    pub injected: usize,
    /// Number of faults with an observed effect.
    pub effective: usize,
    /// Longest time without an acknowledged change that overlaps one of the faults, in
    /// milliseconds.
    pub longest_outage_ms: u64,
    /// Number of leader changes from the start of each fault until shortly after its end.
    pub leader_changes: usize,
    /// Number of snapshots received by agents in the same time.
    pub snapshots: usize,
}

/// Returns the impact by kind of fault.
pub(super) fn of(facts: &Facts<'_>) -> BTreeMap<String, FaultImpact> {
    let mut acknowledged: Vec<Micros> = facts.accepted().iter().map(|it| it.returned).collect();
    // The load phase bounds the outages: no change is submitted outside of it.
    acknowledged.extend(facts.mark(mark::LOAD).into_iter().chain(facts.mark(mark::LOAD_ENDED)));
    acknowledged.sort_unstable();
    let ends: HashMap<u64, Micros> = steps(facts, |step| *step == Step::Ended).collect();
    let effective: HashMap<u64, Micros> =
        steps(facts, |step| matches!(step, Step::Effective { .. })).collect();
    let leaders = facts.leaders.windows(2).filter(|pair| pair[0].node != pair[1].node);
    let leaders: Vec<Micros> = leaders.map(|pair| pair[1].at).collect();
    let mut kinds: BTreeMap<String, FaultImpact> = BTreeMap::new();
    for Fault { fault, at, kind, .. } in facts.faults.iter().filter(|it| it.step == Step::Started) {
        let ended = ends.get(fault).copied().unwrap_or(*at);
        let during = |when: &Micros| (*at..=ended + ATTRIBUTION_WINDOW).contains(when);
        let impact = kinds.entry(kind.clone()).or_default();
        impact.injected += 1;
        impact.effective += usize::from(effective.contains_key(fault));
        impact.longest_outage_ms =
            impact.longest_outage_ms.max(longest_outage(&acknowledged, *at, ended) / 1_000);
        impact.leader_changes += leaders.iter().filter(|at| during(at)).count();
        impact.snapshots += facts.snapshots.iter().filter(|it| during(&it.at)).count();
    }
    kinds
}

fn steps<'a>(
    facts: &'a Facts<'_>,
    wanted: impl Fn(&Step) -> bool + 'a,
) -> impl Iterator<Item = (u64, Micros)> + 'a {
    facts.faults.iter().filter(move |it| wanted(&it.step)).map(|it| (it.fault, it.at))
}

/// Returns the longest gap between two of the moments that overlaps the time from `from` to `to`.
fn longest_outage(moments: &[Micros], from: Micros, to: Micros) -> Micros {
    let first = moments.partition_point(|at| *at <= from).saturating_sub(1);
    let gaps = moments[first..].windows(2).take_while(|pair| pair[0] <= to);
    gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}
