//! Places the units of a location on agents: a pure function whose result becomes events.
//!
//! The agents of the region that can run units are divided into pools. Without zones, one pool has
//! all units as its share. With zones, the agents of each zone are a pool with an equal share of
//! the units. The share of a pool without agents stays unassigned.
//!
//! In a pool of n agents, the target of each agent is share / n units, and one more for share mod n
//! of them. Units above the target are released, units below it are assigned. So the numbers of
//! units differ by at most one, and as few units as possible move: the extra units go to agents
//! that already have them, because any other choice would release a unit there. Among several such
//! agents, those that keep a ready unit by it come first, then the most loaded ones, then the order
//! of the rank below. An agent releases units that are not ready before ready ones, and high slots
//! before low ones.
//!
//! Ties are broken by a rank that differs between services (rendezvous hashing, Thaler and
//! Ravishankar 1998). If names alone decided, the first agent of a region would run every service
//! that has one unit there.
//!
//! A unit that moves keeps its slot: released slots are assigned first, then the lowest free ones
//! from 1. A slot may be assigned while an older incarnation of it still drains.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::Zone;
use crate::name::{AgentName, ServiceName};
use crate::service::Location;
use crate::unit::Unit;

/// Agents of a region that can run units, each with its zone.
pub type Hosts = BTreeMap<AgentName, Option<Zone>>;

/// Placement of the units of a location.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Units that stay on their agent.
    pub kept: Vec<&'a Unit>,
    /// Units to drain and stop.
    pub released: Vec<&'a Unit>,
    /// Units to start, in the order in which their slots were chosen.
    pub assigned: Vec<Assignment>,
}

/// A unit to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Slot within the location.
    pub slot: u16,
    /// Agent that runs the unit.
    pub agent: AgentName,
}

/// Agents that share a part of the units of a location, in the order of their rank.
struct Pool<'a> {
    share: usize,
    agents: Vec<&'a AgentName>,
}

/// Plans the units of `location`, given the `wanted` units that it has now.
#[must_use]
pub fn plan<'a>(
    service: &ServiceName,
    location: &Location,
    hosts: &Hosts,
    wanted: impl IntoIterator<Item = &'a Unit>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut held: BTreeMap<&AgentName, Vec<&'a Unit>> = BTreeMap::new();
    for unit in wanted {
        held.entry(&unit.agent).or_default().push(unit);
    }
    let mut missing = Vec::new();
    for pool in pools(service, location, hosts) {
        let targets = targets(&pool, &held);
        missing.extend(below_target(&pool, &targets, &held));
        for (agent, target) in targets {
            let mut units = held.remove(agent).unwrap_or_default();
            units.sort_by_key(|unit| (!unit.is_ready(), unit.id.slot));
            plan.released.extend(units.split_off(target.min(units.len())));
            plan.kept.extend(units);
        }
    }
    // The remaining units are on agents that cannot run them or are in none of the zones.
    plan.released.extend(held.into_values().flatten());
    plan.kept.sort_by_key(|unit| unit.id.slot);
    plan.released.sort_by_key(|unit| unit.id.slot);
    plan.assigned = free_slots(&plan)
        .zip(missing)
        .map(|(slot, agent)| Assignment { slot, agent: agent.clone() })
        .collect();
    plan
}

fn pools<'a>(service: &ServiceName, location: &Location, hosts: &'a Hosts) -> Vec<Pool<'a>> {
    let pool = |share: usize, belongs: &dyn Fn(&Option<Zone>) -> bool| {
        let members = hosts.iter().filter(|(_, zone)| belongs(zone));
        let mut agents: Vec<&AgentName> = members.map(|(agent, _)| agent).collect();
        agents.sort_by_cached_key(|agent| rank(service, agent));
        Pool { share, agents }
    };
    let units = usize::from(location.units);
    if location.zones.is_empty() {
        return vec![pool(units, &|_| true)];
    }
    let share = units / location.zones.len();
    location.zones.iter().map(|zone| pool(share, &|other| *other == Some(*zone))).collect()
}

/// Returns the rank of an agent for a service: the 64-bit FNV-1a hash (Fowler, Noll and Vo) of both
/// names, followed by the finalizer of splitmix64 (Steele, Lea and Flood 2014), because FNV-1a
/// alone maps names that differ only in the last letter to close values.
fn rank(service: &ServiceName, agent: &AgentName) -> u64 {
    let bytes = [service.as_str(), "/", agent.as_str()].into_iter().flat_map(str::bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Returns the target number of units of each agent in the pool.
fn targets<'a>(
    pool: &Pool<'a>,
    held: &BTreeMap<&AgentName, Vec<&Unit>>,
) -> BTreeMap<&'a AgentName, usize> {
    let Some(each) = pool.share.checked_div(pool.agents.len()) else {
        return BTreeMap::new();
    };
    let extra = pool.share % pool.agents.len();
    let mut agents = pool.agents.clone();
    agents.sort_by_key(|agent| {
        let units = held.get(agent).map_or(&[][..], Vec::as_slice);
        let ready = units.iter().filter(|unit| unit.is_ready()).count();
        Reverse((units.len() > each, ready > each, units.len()))
    });
    let target = |(position, agent)| (agent, each + usize::from(position < extra));
    agents.into_iter().enumerate().map(target).collect()
}

/// Returns the agents below their target, once per missing unit, the least loaded first, so that
/// adjacent slots go to different agents.
fn below_target<'a>(
    pool: &Pool<'a>,
    targets: &BTreeMap<&'a AgentName, usize>,
    held: &BTreeMap<&AgentName, Vec<&Unit>>,
) -> Vec<&'a AgentName> {
    let mut missing: Vec<(usize, &AgentName)> = Vec::new();
    for agent in &pool.agents {
        let has = held.get(agent).map_or(0, Vec::len);
        missing.extend((has..targets[agent]).map(|load| (load, *agent)));
    }
    missing.sort_by_key(|(load, _)| *load);
    missing.into_iter().map(|(_, agent)| agent).collect()
}

fn free_slots(plan: &Plan<'_>) -> impl Iterator<Item = u16> + use<> {
    let slots = |units: &[&Unit]| units.iter().map(|unit| unit.id.slot).collect::<BTreeSet<u16>>();
    let (kept, released) = (slots(&plan.kept), slots(&plan.released));
    let others = released.clone();
    let never_held =
        (1..=u16::MAX).filter(move |slot| !kept.contains(slot) && !others.contains(slot));
    released.into_iter().chain(never_held)
}
