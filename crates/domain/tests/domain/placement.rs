//! Placement, compared with an exhaustive search of all balanced distributions.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::placement::{Hosts, Plan, plan};
use meridian_domain::*;
use proptest::prelude::*;

use crate::world::{agent_name, region, service, zone, zones};

fn location(units: u16, over: &[u8]) -> Location {
    Location::new(units, zones(over))
}

fn unit(slot: u16, agent: &AgentName, ready: bool) -> Unit {
    Unit {
        id: UnitId { service: service("contoso"), region: region("westeurope"), slot },
        incarnation: Incarnation(slot.into()),
        agent: agent.clone(),
        port: 8080,
        phase: if ready {
            UnitPhase::Ready { pid: None, configuration: Revision(0), refused: None }
        } else {
            UnitPhase::Starting
        },
    }
}

fn run<'a>(location: &Location, hosts: &Hosts, units: &'a [Unit]) -> Plan<'a> {
    plan(&service("contoso"), location, hosts, units)
}

/// Returns the units after a plan was executed.
fn execute(plan: &Plan<'_>) -> Vec<Unit> {
    let kept = plan.kept.iter().map(|unit| (*unit).clone());
    let started = plan.assigned.iter().map(|started| unit(started.slot, &started.agent, true));
    kept.chain(started).collect()
}

fn counts(units: &[Unit], among: &BTreeSet<AgentName>) -> BTreeMap<AgentName, usize> {
    let count = |agent: &AgentName| units.iter().filter(|unit| unit.agent == *agent).count();
    among.iter().map(|agent| (agent.clone(), count(agent))).collect()
}

/// Returns the pools of agents with their shares: one for all units, or one for each zone.
fn pools(location: &Location, hosts: &Hosts) -> Vec<(usize, BTreeSet<AgentName>)> {
    let units = usize::from(location.units);
    let of = |zone: Option<Zone>| {
        let agents = hosts.iter().filter(|(_, other)| zone.is_none() || **other == zone);
        agents.map(|(agent, _)| agent.clone()).collect()
    };
    if location.zones.is_empty() {
        return vec![(units, of(None))];
    }
    location.zones.iter().map(|zone| (units / location.zones.len(), of(Some(*zone)))).collect()
}

/// Returns the minimum number of releases for a balanced distribution, by exhaustive search.
fn min_releases(location: &Location, hosts: &Hosts, units: &[Unit]) -> usize {
    let mut outside_pools = units.len();
    let mut fewest = 0;
    for (share, agents) in pools(location, hosts) {
        let held: Vec<usize> = counts(units, &agents).into_values().collect();
        outside_pools -= held.iter().sum::<usize>();
        let Some(each) = share.checked_div(held.len()) else {
            continue;
        };
        let choices = (0..1_u32 << held.len())
            .filter(|chosen| chosen.count_ones() as usize == share % held.len());
        let releases = |chosen: u32| -> usize {
            let target = |position| each + (chosen >> position & 1) as usize;
            held.iter()
                .enumerate()
                .map(|(position, has)| has.saturating_sub(target(position)))
                .sum()
        };
        fewest += choices.map(releases).min().expect("a balanced distribution exists");
    }
    fewest + outside_pools
}

fn any_hosts() -> impl Strategy<Value = Hosts> {
    prop::collection::btree_map(0..9_u8, prop::option::of(1..4_u8), 0..6).prop_map(|drawn| {
        let host =
            |(name, number): (u8, Option<u8>)| (agent_name(&format!("a{name}")), number.map(zone));
        drawn.into_iter().map(host).collect()
    })
}

fn any_location() -> impl Strategy<Value = Location> {
    (1..5_u16, prop::sample::select(vec![vec![], vec![1], vec![1, 2], vec![1, 2, 3]])).prop_map(
        |(share, over)| {
            location(share * over.len().max(1) as u16 * if over.is_empty() { 3 } else { 1 }, &over)
        },
    )
}

/// Units of random agents on distinct slots.
fn any_units() -> impl Strategy<Value = Vec<Unit>> {
    prop::collection::btree_map(1..15_u16, (0..9_u8, any::<bool>()), 0..14).prop_map(|drawn| {
        let drawn = drawn.into_iter();
        drawn
            .map(|(slot, (name, ready))| unit(slot, &agent_name(&format!("a{name}")), ready))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_plan_is_balanced_and_complete_and_moves_as_few_units_as_possible(
        hosts in any_hosts(), location in any_location(), units in any_units(),
    ) {
        let plan = run(&location, &hosts, &units);
        prop_assert_eq!(plan.kept.len() + plan.released.len(), units.len());
        prop_assert_eq!(plan.released.len(), min_releases(&location, &hosts, &units));
        let after = execute(&plan);
        let slots: BTreeSet<u16> = after.iter().map(|unit| unit.id.slot).collect();
        prop_assert_eq!(slots.len(), after.len(), "slots are unique");
        let mut placed = 0;
        for (share, agents) in pools(&location, &hosts) {
            let counts = counts(&after, &agents);
            let sum: usize = counts.values().sum();
            prop_assert_eq!(sum, if agents.is_empty() { 0 } else { share });
            let (min, max) = (counts.values().min(), counts.values().max());
            prop_assert!(max.unwrap_or(&0) - min.unwrap_or(&0) <= 1, "{:?}", counts);
            placed += sum;
        }
        prop_assert_eq!(placed, after.len(), "no unit is outside the pools");
    }

    #[test]
    fn a_plan_is_independent_of_the_order_of_units_and_idempotent(
        hosts in any_hosts(), location in any_location(), units in any_units(),
    ) {
        let first = run(&location, &hosts, &units);
        let mut reversed = units.clone();
        reversed.reverse();
        prop_assert_eq!(&run(&location, &hosts, &reversed), &first);
        let after = execute(&first);
        let second = run(&location, &hosts, &after);
        prop_assert!(second.released.is_empty() && second.assigned.is_empty());
    }

    #[test]
    fn when_an_agent_joins_or_leaves_only_the_necessary_units_move_and_keep_their_slots(
        hosts in any_hosts(), location in any_location(), joining_zone in prop::option::of(1..4_u8),
    ) {
        let nothing = run(&location, &hosts, &[]);
        let before = execute(&nothing);
        let mut more = hosts.clone();
        let joining = agent_name("joining");
        more.insert(joining.clone(), joining_zone.map(zone));
        let joined = run(&location, &more, &before);
        let only_to_joining = joined.assigned.iter().all(|started| started.agent == joining);
        prop_assert!(only_to_joining, "units move to the new agent only");
        let after = execute(&joined);
        let held = after.iter().filter(|unit| unit.agent == joining).count();
        let left = run(&location, &hosts, &after);
        prop_assert_eq!(left.released.len(), held, "only its own units are released");
        if before.len() == after.len() {
            let slots = |units: &[Unit]| units.iter().map(|u| u.id.slot).collect::<BTreeSet<_>>();
            prop_assert_eq!(slots(&before), slots(&after));
        }
    }
}

#[test]
fn scaling_down_releases_units_that_are_not_ready_from_the_most_loaded_agent() {
    let (a, b) = (agent_name("a"), agent_name("b"));
    let hosts = Hosts::from([(a.clone(), None), (b.clone(), None)]);
    let units = [unit(1, &a, false), unit(2, &b, true), unit(3, &a, true)];
    let released = run(&location(2, &[]), &hosts, &units).released;
    assert_eq!(released, [&units[0]]);
    let even = [unit(1, &a, false), unit(2, &b, true)];
    assert_eq!(run(&location(1, &[]), &hosts, &even).released, [&even[0]]);
}

#[test]
fn the_share_of_a_zone_without_an_agent_stays_unassigned() {
    let hosts = Hosts::from([(agent_name("a"), Some(zone(1))), (agent_name("b"), None)]);
    let plan = run(&location(4, &[1, 2]), &hosts, &[]);
    let agents: Vec<&str> = plan.assigned.iter().map(|started| started.agent.as_str()).collect();
    assert_eq!(agents, ["a", "a"]);
}

#[test]
fn adjacent_slots_go_to_different_agents() {
    let hosts = Hosts::from([(agent_name("a"), None), (agent_name("b"), None)]);
    let plan = run(&location(4, &[]), &hosts, &[]);
    let agents: Vec<&AgentName> = plan.assigned.iter().map(|started| &started.agent).collect();
    assert!(agents[0] != agents[1] && agents[..2] == agents[2..], "{agents:?}");
}

#[test]
fn services_with_one_unit_are_spread_over_the_agents_of_a_region() {
    let hosts: Hosts = ["a", "b", "c"].into_iter().map(|name| (agent_name(name), None)).collect();
    let mut load: BTreeMap<AgentName, u32> = BTreeMap::new();
    for number in 0..300 {
        let name = service(&format!("service-{number}"));
        let plan = plan(&name, &location(1, &[]), &hosts, []);
        *load.entry(plan.assigned[0].agent.clone()).or_default() += 1;
    }
    assert!(load.len() == 3 && load.values().all(|units| (70..=130).contains(units)), "{load:?}");
}
