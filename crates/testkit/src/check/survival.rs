//! How a kind of fault was survived.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::history::{Fault, Micros, Step, mark};

/// For how long after its end what happens is put down to a fault, in microseconds: an election, and
/// the snapshot for who was away, come after.
const AFTERMATH: Micros = 2_000_000;

/// What faults of one kind did to a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survival {
    /// How many were injected.
    pub injected: usize,
    /// How many of them were seen to have an effect.
    pub felt: usize,
    /// The longest time without an acknowledged change that one of them fell into, in milliseconds.
    pub longest_silence_ms: u64,
    /// How often another agent was seen to lead, from their beginnings until shortly after their ends.
    pub leader_changes: usize,
    /// Snapshots that agents received in that time.
    pub snapshots: usize,
}

/// By kind.
pub(super) fn of(facts: &Facts<'_>) -> BTreeMap<String, Survival> {
    let mut acknowledged: Vec<Micros> = facts.accepted().iter().map(|it| it.returned).collect();
    // No change is asked for before and after.
    acknowledged.extend(facts.mark(mark::LOAD).into_iter().chain(facts.mark(mark::LOAD_ENDED)));
    acknowledged.sort_unstable();
    let ends: HashMap<u64, Micros> = steps(facts, |step| *step == Step::Ended).collect();
    let felt: HashMap<u64, Micros> =
        steps(facts, |step| matches!(step, Step::Bit { .. })).collect();
    let leaders = facts.leaders.windows(2).filter(|pair| pair[0].node != pair[1].node);
    let leaders: Vec<Micros> = leaders.map(|pair| pair[1].at).collect();
    let mut kinds: BTreeMap<String, Survival> = BTreeMap::new();
    for Fault { fault, at, kind, .. } in facts.faults.iter().filter(|it| it.step == Step::Begun) {
        let ended = ends.get(fault).copied().unwrap_or(*at);
        let during = |when: &Micros| (*at..=ended + AFTERMATH).contains(when);
        let survival = kinds.entry(kind.clone()).or_default();
        survival.injected += 1;
        survival.felt += usize::from(felt.contains_key(fault));
        survival.longest_silence_ms =
            survival.longest_silence_ms.max(silence(&acknowledged, *at, ended) / 1_000);
        survival.leader_changes += leaders.iter().filter(|at| during(at)).count();
        survival.snapshots += facts.snapshots.iter().filter(|it| during(&it.at)).count();
    }
    kinds
}

fn steps<'a>(
    facts: &'a Facts<'_>,
    wanted: impl Fn(&Step) -> bool + 'a,
) -> impl Iterator<Item = (u64, Micros)> + 'a {
    facts.faults.iter().filter(move |it| wanted(&it.step)).map(|it| (it.fault, it.at))
}

/// The longest time between two of these moments that meets the time from `from` to `to`.
fn silence(moments: &[Micros], from: Micros, to: Micros) -> Micros {
    let first = moments.partition_point(|at| *at <= from).saturating_sub(1);
    let gaps = moments[first..].windows(2).take_while(|pair| pair[0] <= to);
    gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}
