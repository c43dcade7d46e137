//! Injection and removal of faults; `links` has those between agents.

mod links;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_replication::disk_watch::STALL_AFTER;
use meridian_replication::timing::Profile;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use tokio::time::Instant;
use turmoil::Sim;

use crate::agent::Agent;
use crate::disk::Unsynced;
use crate::machine::Harm;
use crate::plan::{Fault, Plan};
use crate::trace;

/// An active fault.
#[derive(Debug, Clone)]
enum ActiveFault {
    /// An agent is down.
    Down(usize),
    /// A disk is slow.
    SlowDisk(usize),
    /// Syncs of a disk hang.
    HungDisk(usize),
    /// Messages between the pairs are lost.
    Partitioned(Vec<(usize, usize)>),
    /// Messages between the pairs are delayed until the fault ends.
    Held(Vec<(usize, usize)>),
    /// Messages from the first to the second agent are lost.
    OneWay(usize, usize),
    /// The link has a high latency.
    SlowLink(usize, usize),
    /// The link loses messages.
    LossyLink(usize, usize),
    /// The wall clock is wrong.
    SkewedClock(usize),
    /// Starting units fails.
    FailingStarts(usize),
    /// The gateways of agents are unreachable for others: pairs of an agent and an agent with gateways.
    GatewaysCut(Vec<(usize, usize)>),
}

/// The fault injector.
pub struct Faults {
    plan: Arc<Plan>,
    rng: SmallRng,
    next: Duration,
    active: Vec<(Duration, ActiveFault)>,
    /// Number of injected faults by kind.
    pub counts: BTreeMap<Fault, u64>,
}

impl Faults {
    /// Creates an injector without active faults.
    #[must_use]
    pub fn new(plan: &Arc<Plan>) -> Self {
        let (plan, rng) = (plan.clone(), plan.rng(2));
        Self { plan, rng, next: Duration::ZERO, active: Vec::new(), counts: BTreeMap::new() }
    }

    /// Injects a fault if it is time for one.
    pub fn step(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        if self.next > trace::now() {
            return;
        }
        let gap = self.plan.fault_gap.mul_f64(self.rng.random_range(0.1..1.0));
        self.next = trace::now() + gap;
        let kinds = self.plan.faults.clone();
        if let Some(fault) = kinds.into_iter().choose(&mut self.rng)
            && let Some(active) = self.inject(fault, sim, agents)
        {
            let mut length = self.plan.fault_length.mul_f64(self.rng.random_range(0.05..1.0));
            length += match fault {
                Fault::HungDisk => STALL_AFTER,
                // Long enough for a loss.
                Fault::GatewayCut => self.plan.profile.timing().probe_window * 3,
                _ => Duration::ZERO,
            };
            trace::note(format_args!("fault: {active:?} for {length:?}"));
            *self.counts.entry(fault).or_default() += 1;
            self.active.push((trace::now() + length, active));
        }
    }

    /// Ends all active faults.
    pub fn heal(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        trace::note(format_args!("all faults removed"));
        self.end_expired(sim, agents, Duration::MAX);
    }

    /// Ends expired faults, and restarts agents that have stopped on their own.
    pub fn supervise(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        self.end_expired(sim, agents, trace::now());
        for (index, agent) in agents.iter().enumerate() {
            let down = self
                .active
                .iter()
                .any(|(_, fault)| matches!(fault, ActiveFault::Down(i) if *i == index));
            if !down && !sim.is_host_running(&*agent.host) {
                stop(sim, agent, Unsynced::Kept);
                let until = trace::now() + Duration::from_millis(self.rng.random_range(50..2_000));
                self.active.push((until, ActiveFault::Down(index)));
            }
        }
    }

    fn inject(
        &mut self,
        fault: Fault,
        sim: &mut Sim<'_>,
        agents: &[Arc<Agent>],
    ) -> Option<ActiveFault> {
        let one = self.rng.random_range(0..agents.len());
        let agent = &agents[one];
        match fault {
            Fault::Crash => self.take_down(one, Unsynced::Kept, sim, agents),
            Fault::PowerLoss => self.take_down(one, Unsynced::Torn, sim, agents),
            Fault::BrokenDisk => {
                agent.disk.fail_syncs();
                trace::note(format_args!("fault: the disk of {} fails", agent.host));
                *self.counts.entry(fault).or_default() += 1;
                None
            }
            Fault::SlowDisk => {
                let slower = Duration::from_millis(self.rng.random_range(20..2_000));
                agent.disk.set_slower(slower);
                Some(ActiveFault::SlowDisk(one))
            }
            Fault::HungDisk => {
                agent.disk.set_hanging(true);
                Some(ActiveFault::HungDisk(one))
            }
            Fault::Partition | Fault::Hold => Some(self.split(fault, sim, agents)),
            Fault::OneWay => {
                let other = self.other_agent(one, agents.len());
                sim.partition_oneway(&*agent.host, &*agents[other].host);
                Some(ActiveFault::OneWay(one, other))
            }
            Fault::Delay => {
                let other = self.other_agent(one, agents.len());
                let max_ms = match self.plan.profile {
                    Profile::Lan => 400,
                    Profile::Wan => 3_000,
                };
                let latency = Duration::from_millis(self.rng.random_range(20..max_ms));
                sim.set_link_max_message_latency(&*agent.host, &*agents[other].host, latency);
                Some(ActiveFault::SlowLink(one, other))
            }
            Fault::Loss => {
                let other = self.other_agent(one, agents.len());
                let rate = self.rng.random_range(0.005..0.1);
                sim.set_link_fail_rate(&*agent.host, &*agents[other].host, rate);
                Some(ActiveFault::LossyLink(one, other))
            }
            Fault::Skew => {
                agent.set_skew(self.rng.random_range(-86_400_000..86_400_000));
                Some(ActiveFault::SkewedClock(one))
            }
            Fault::UnitDeath => {
                self.harm(fault, Harm::Kill, agent);
                None
            }
            Fault::UnitHang => {
                let harms = [Harm::Hang, Harm::Stick, Harm::Drain];
                let harm = harms[self.rng.random_range(0..harms.len())];
                self.harm(fault, harm, agent);
                None
            }
            Fault::GatewayCut => Some(self.cut_gateways(one, sim, agents)),
            Fault::StartFailure => {
                agent.machine.set_failing_starts(true);
                Some(ActiveFault::FailingStarts(one))
            }
            Fault::Transfer | Fault::Snapshot => {
                self.run_operation(fault, agent);
                None
            }
        }
    }

    fn harm(&mut self, fault: Fault, harm: Harm, agent: &Agent) {
        if agent.machine.harm_random(harm, &mut self.rng) {
            *self.counts.entry(fault).or_default() += 1;
        }
    }

    /// Stops an agent. On a power loss, unsynced writes are torn and its peers see no end of the
    /// connections.
    fn take_down(
        &self,
        one: usize,
        unsynced: Unsynced,
        sim: &mut Sim<'_>,
        agents: &[Arc<Agent>],
    ) -> Option<ActiveFault> {
        let agent = &agents[one];
        if !sim.is_host_running(&*agent.host) {
            return None;
        }
        let power_loss = matches!(unsynced, Unsynced::Torn);
        if power_loss {
            for other in agents.iter().filter(|other| other.host != agent.host) {
                sim.partition(&*agent.host, &*other.host);
            }
        }
        stop(sim, agent, unsynced);
        if power_loss {
            self.restore_links(sim, agents);
        }
        Some(ActiveFault::Down(one))
    }

    /// Runs an operation that operators may request at any time.
    fn run_operation(&mut self, fault: Fault, agent: &Agent) {
        let Some(process) = agent.process() else { return };
        let (cluster, runtime) = (process.ports.cluster, process.runtime);
        trace::note(format_args!("fault: {fault:?} on {}", agent.host));
        *self.counts.entry(fault).or_default() += 1;
        runtime.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(5);
            if fault == Fault::Transfer {
                let result = cluster.transfer_leader(None, deadline).await;
                trace::note(format_args!("leadership transfer: {result:?}"));
            } else {
                let result = cluster.snapshot(deadline).await;
                trace::note(format_args!("snapshot: {result:?}"));
            }
        });
    }

    fn end_expired(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>], now: Duration) {
        let (expired, active): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.active).into_iter().partition(|(until, _)| *until <= now);
        self.active = active;
        if expired.is_empty() {
            return;
        }
        for (_, fault) in expired {
            trace::note(format_args!("fault ended: {fault:?}"));
            let host = |index: usize| &*agents[index].host;
            match fault {
                ActiveFault::Down(index) => sim.bounce(host(index)),
                ActiveFault::SlowDisk(index) => agents[index].disk.set_slower(Duration::ZERO),
                ActiveFault::HungDisk(index) => agents[index].disk.set_hanging(false),
                ActiveFault::Partitioned(pairs) => {
                    pairs.iter().for_each(|(a, b)| sim.repair(host(*a), host(*b)));
                }
                ActiveFault::Held(pairs) => {
                    pairs.iter().for_each(|(a, b)| sim.release(host(*a), host(*b)));
                }
                ActiveFault::OneWay(from, to) => sim.repair_oneway(host(from), host(to)),
                ActiveFault::SlowLink(a, b) => {
                    sim.set_link_max_message_latency(host(a), host(b), self.plan.latency.1);
                }
                ActiveFault::LossyLink(a, b) => {
                    sim.set_link_fail_rate(host(a), host(b), 0.0);
                    sim.repair(host(a), host(b));
                }
                ActiveFault::GatewaysCut(_) => {}
                ActiveFault::SkewedClock(index) => agents[index].set_skew(0),
                ActiveFault::FailingStarts(index) => {
                    agents[index].machine.set_failing_starts(false)
                }
            }
        }
        self.restore_links(sim, agents);
    }

    fn other_agent(&mut self, one: usize, agents: usize) -> usize {
        (one + self.rng.random_range(1..agents)) % agents
    }
}

/// Stops an agent and all its tasks.
fn stop(sim: &mut Sim<'_>, agent: &Agent, unsynced: Unsynced) {
    agent.disk.crash(unsynced);
    agent.mark_stopped();
    sim.crash(&*agent.host);
    agent.machine.forget_exited();
}
