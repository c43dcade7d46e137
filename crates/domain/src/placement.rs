//! Which agents run the units of a location: a pure function, whose result becomes events.
//!
//! The agents of the region that take units are divided into pools. Without zones there is one pool,
//! whose share is all units; with zones each zone is a pool of its agents, whose share is units
//! divided by zones. A pool without agents leaves its share unassigned: there is nobody to run it.
//!
//! Within a pool of n agents every agent is to have share / n units, and share mod n of them one
//! more. Everything above an agent's number is released, everything below it is assigned. So the
//! numbers of units differ by at most one, and as few units as possible move: the one more goes to
//! agents that have it already, because every other choice would release a unit of theirs. Where
//! that leaves a choice, it goes to an agent that keeps a ready unit by it, then to the most loaded
//! one, then in the order of the rank below. An agent gives up units that are not ready before
//! ready ones, and high slots before low ones.
//!
//! What nothing else decides is decided by a rank that differs from service to service (rendezvous
//! hashing, Thaler and Ravishankar 1998): by their names alone, the first agent of a region would
//! run every service that has one unit there.
//!
//! A unit that moves keeps its slot: released slots are assigned first, then the lowest free ones
//! from 1. A slot may be assigned while an older incarnation of it still drains.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::Zone;
use crate::name::{AgentName, ServiceName};
use crate::service::Location;
use crate::unit::Unit;

/// The agents of one region that take units, each with its zone.
pub type Hosts = BTreeMap<AgentName, Option<Zone>>;

/// What becomes of the units of a location.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Units that stay where they are.
    pub kept: Vec<&'a Unit>,
    /// Units that are to drain and stop.
    pub released: Vec<&'a Unit>,
    /// Units that are to start, in the order of their slots' choice.
    pub assigned: Vec<Assignment>,
}

/// A unit that is to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its place in the location.
    pub slot: u16,
    /// Who is to run it.
    pub agent: AgentName,
}

/// Agents that share a part of a location's units, in the order of their rank.
struct Pool<'a> {
    share: usize,
    agents: Vec<&'a AgentName>,
}

/// Places the units of `location`, of which `wanted` are the ones that run or are to run now.
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
        missing.extend(below(&pool, &targets, &held));
        for (agent, target) in targets {
            let mut units = held.remove(agent).unwrap_or_default();
            units.sort_by_key(|unit| (!unit.is_ready(), unit.id.slot));
            plan.released.extend(units.split_off(target.min(units.len())));
            plan.kept.extend(units);
        }
    }
    // What is left is on agents that take no units, or not in a zone of the location.
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
        let of_the_pool = hosts.iter().filter(|(_, zone)| belongs(zone));
        let mut agents: Vec<&AgentName> = of_the_pool.map(|(agent, _)| agent).collect();
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

/// FNV-1a (Fowler, Noll and Vo), 64 bits, of both names; then mixed as splitmix64 ends (Steele, Lea
/// and Flood 2014), because names that differ in their last letter alone stay close in the former.
fn rank(service: &ServiceName, agent: &AgentName) -> u64 {
    let bytes = [service.as_str(), "/", agent.as_str()].into_iter().flat_map(str::bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// How many units each agent of the pool is to have.
fn targets<'a>(
    pool: &Pool<'a>,
    held: &BTreeMap<&AgentName, Vec<&Unit>>,
) -> BTreeMap<&'a AgentName, usize> {
    let Some(each) = pool.share.checked_div(pool.agents.len()) else {
        return BTreeMap::new();
    };
    let one_more = pool.share % pool.agents.len();
    let mut agents = pool.agents.clone();
    agents.sort_by_key(|agent| {
        let units = held.get(agent).map_or(&[][..], Vec::as_slice);
        let ready = units.iter().filter(|unit| unit.is_ready()).count();
        Reverse((units.len() > each, ready > each, units.len()))
    });
    let number = |(position, agent)| (agent, each + usize::from(position < one_more));
    agents.into_iter().enumerate().map(number).collect()
}

/// The agents that have too few units, once for each unit; the least loaded first, so that
/// neighbouring slots go to different agents.
fn below<'a>(
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
