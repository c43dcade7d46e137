//! Faults of the links between agents, and from agents to the gateways of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;
use turmoil::Sim;

use super::{ActiveFault, Faults};
use crate::agent::Agent;
use crate::gateways;
use crate::plan::Fault;

impl Faults {
    /// Returns the pairs of an agent and an agent whose gateways it cannot reach now.
    pub fn gateways_cut(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.active.iter().flat_map(|(_, fault)| match fault {
            ActiveFault::GatewaysCut(pairs) => pairs.clone(),
            ActiveFault::Partitioned(pairs) => {
                pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Returns true if there is an active fault other than gateways that are cut off.
    #[must_use]
    pub fn has_others_than_gateway_cuts(&self) -> bool {
        self.active.iter().any(|(_, fault)| !matches!(fault, ActiveFault::GatewaysCut(_)))
    }

    /// Separates the agents into two groups.
    pub(super) fn split(
        &mut self,
        fault: Fault,
        sim: &Sim<'_>,
        agents: &[Arc<Agent>],
    ) -> ActiveFault {
        let pairs = self.two_groups(agents.len());
        let hold = fault == Fault::Hold;
        for (a, b) in &pairs {
            let (a, b) = (&*agents[*a].host, &*agents[*b].host);
            if hold { sim.hold(a, b) } else { sim.partition(a, b) }
        }
        if hold {
            return ActiveFault::Held(pairs);
        }
        if self.plan.probes() {
            for (a, b) in &pairs {
                sim.partition(&*agents[*a].host, gateways::host(*b));
                sim.partition(&*agents[*b].host, gateways::host(*a));
            }
        }
        ActiveFault::Partitioned(pairs)
    }

    /// Cuts the gateways in the region of an agent off from the agents of other regions.
    pub(super) fn cut_gateways(
        &self,
        one: usize,
        sim: &Sim<'_>,
        agents: &[Arc<Agent>],
    ) -> ActiveFault {
        let region = |index: usize| &self.plan.agents[index];
        let all = 0..agents.len();
        let (inside, outside): (Vec<_>, Vec<_>) = all.partition(|it| region(*it) == region(one));
        let mut pairs = Vec::new();
        for prober in outside {
            pairs.extend(inside.iter().map(|probed| (prober, *probed)));
        }
        for (prober, probed) in &pairs {
            sim.partition(&*agents[*prober].host, gateways::host(*probed));
        }
        ActiveFault::GatewaysCut(pairs)
    }

    /// Sets the state of all links again: a link that was repaired may be affected by another
    /// fault, too.
    pub(super) fn restore_links(&self, sim: &Sim<'_>, agents: &[Arc<Agent>]) {
        let pairs = |index: usize, other: usize| (&*agents[index].host, &*agents[other].host);
        let partitioned = |a: usize, b: usize| {
            self.active.iter().any(|(_, fault)| match fault {
                ActiveFault::Partitioned(pairs) => {
                    pairs.contains(&(a, b)) || pairs.contains(&(b, a))
                }
                _ => false,
            })
        };
        let held = |a: usize, b: usize| {
            self.active.iter().any(|(_, fault)| match fault {
                ActiveFault::Held(pairs) => pairs.contains(&(a, b)) || pairs.contains(&(b, a)),
                _ => false,
            })
        };
        for a in 0..agents.len() {
            for b in 0..a {
                let (host, other) = pairs(a, b);
                if partitioned(a, b) {
                    sim.partition(host, other);
                } else if held(a, b) {
                    sim.hold(host, other);
                } else {
                    sim.release(host, other);
                }
            }
        }
        if self.plan.probes() {
            self.restore_links_to_gateways(sim, agents);
        }
        for (_, fault) in &self.active {
            if let ActiveFault::OneWay(from, to) = fault {
                let (from, to) = pairs(*from, *to);
                sim.partition_oneway(from, to);
            }
        }
    }

    fn restore_links_to_gateways(&self, sim: &Sim<'_>, agents: &[Arc<Agent>]) {
        let cut: BTreeSet<_> = self.gateways_cut().collect();
        for prober in 0..agents.len() {
            for probed in (0..agents.len()).filter(|probed| *probed != prober) {
                let (host, gateways) = (&*agents[prober].host, gateways::host(probed));
                if cut.contains(&(prober, probed)) {
                    sim.partition(host, gateways);
                } else {
                    sim.repair(host, gateways);
                }
            }
        }
    }

    fn two_groups(&mut self, agents: usize) -> Vec<(usize, usize)> {
        let mut order: Vec<_> = (0..agents).collect();
        order.shuffle(&mut self.rng);
        let (some, others) = order.split_at(self.rng.random_range(1..agents));
        some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))).collect()
    }
}
