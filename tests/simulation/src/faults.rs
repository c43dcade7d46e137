//! What goes wrong, when, and how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_replication::timing::Profile;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IteratorRandom, SliceRandom};
use tokio::time::Instant;
use turmoil::Sim;

use crate::agent::Agent;
use crate::disk::Unsynced;
use crate::plan::{Fault, Plan};
use crate::trace;

/// Something that is wrong now.
#[derive(Debug, Clone)]
enum Wrong {
    /// An agent is down.
    Down(usize),
    /// A disk is slow.
    Sluggish(usize),
    /// Messages between the pairs are lost.
    Parted(Vec<(usize, usize)>),
    /// Messages between the pairs wait.
    Held(Vec<(usize, usize)>),
    /// Messages from the first to the second are lost.
    Deaf(usize, usize),
    /// The link is slow.
    Slow(usize, usize),
    /// The link loses messages.
    Lossy(usize, usize),
    /// The time of day is wrong.
    Skewed(usize),
    /// Starts of units fail.
    Refusing(usize),
}

/// Everything that goes wrong.
pub struct Faults {
    plan: Arc<Plan>,
    rng: SmallRng,
    next: Duration,
    wrong: Vec<(Duration, Wrong)>,
    /// How often each fault happened.
    pub counts: BTreeMap<Fault, u64>,
}

impl Faults {
    /// Nothing is wrong yet.
    #[must_use]
    pub fn new(plan: &Arc<Plan>) -> Self {
        let (plan, rng) = (plan.clone(), plan.rng(2));
        Self { plan, rng, next: Duration::ZERO, wrong: Vec::new(), counts: BTreeMap::new() }
    }

    /// Has something go wrong, if it is time for it.
    pub fn step(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        if self.next > trace::now() {
            return;
        }
        let gap = self.plan.fault_gap.mul_f64(self.rng.random_range(0.1..1.0));
        self.next = trace::now() + gap;
        let kinds = self.plan.faults.clone();
        if let Some(fault) = kinds.into_iter().choose(&mut self.rng)
            && let Some(wrong) = self.begin(fault, sim, agents)
        {
            let length = self.plan.fault_length.mul_f64(self.rng.random_range(0.05..1.0));
            trace::note(format_args!("fault: {wrong:?} for {length:?}"));
            *self.counts.entry(fault).or_default() += 1;
            self.wrong.push((trace::now() + length, wrong));
        }
    }

    /// Ends everything that is wrong.
    pub fn heal(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        trace::note(format_args!("healed"));
        self.end(sim, agents, Duration::MAX);
    }

    /// Ends what is over, and has agents that have stopped by themselves start again.
    pub fn supervise(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) {
        self.end(sim, agents, trace::now());
        for (index, agent) in agents.iter().enumerate() {
            let down =
                self.wrong.iter().any(|(_, wrong)| matches!(wrong, Wrong::Down(i) if *i == index));
            if !down && !sim.is_host_running(&*agent.host) {
                stop(sim, agent, Unsynced::Stays);
                let until = trace::now() + Duration::from_millis(self.rng.random_range(50..2_000));
                self.wrong.push((until, Wrong::Down(index)));
            }
        }
    }

    fn begin(&mut self, fault: Fault, sim: &mut Sim<'_>, agents: &[Arc<Agent>]) -> Option<Wrong> {
        let one = self.rng.random_range(0..agents.len());
        let agent = &agents[one];
        match fault {
            Fault::Crash => self.go_down(one, Unsynced::Stays, sim, agents),
            Fault::PowerLoss => self.go_down(one, Unsynced::IsTorn, sim, agents),
            Fault::BrokenDisk => {
                agent.disk.breaks();
                trace::note(format_args!("fault: the disk of {} breaks", agent.host));
                *self.counts.entry(fault).or_default() += 1;
                None
            }
            Fault::SlowDisk => {
                let slower = Duration::from_millis(self.rng.random_range(20..2_000));
                agent.disk.set_slower(slower);
                Some(Wrong::Sluggish(one))
            }
            Fault::Partition | Fault::Hold => {
                let pairs = self.two_groups(agents.len());
                for (a, b) in &pairs {
                    let (a, b) = (&*agents[*a].host, &*agents[*b].host);
                    if fault == Fault::Hold { sim.hold(a, b) } else { sim.partition(a, b) }
                }
                Some(if fault == Fault::Hold { Wrong::Held(pairs) } else { Wrong::Parted(pairs) })
            }
            Fault::OneWay => {
                let other = self.another(one, agents.len());
                sim.partition_oneway(&*agent.host, &*agents[other].host);
                Some(Wrong::Deaf(one, other))
            }
            Fault::Delay => {
                let other = self.another(one, agents.len());
                let most = match self.plan.profile {
                    Profile::Lan => 400,
                    Profile::Wan => 3_000,
                };
                let latency = Duration::from_millis(self.rng.random_range(20..most));
                sim.set_link_max_message_latency(&*agent.host, &*agents[other].host, latency);
                Some(Wrong::Slow(one, other))
            }
            Fault::Loss => {
                let other = self.another(one, agents.len());
                let rate = self.rng.random_range(0.005..0.1);
                sim.set_link_fail_rate(&*agent.host, &*agents[other].host, rate);
                Some(Wrong::Lossy(one, other))
            }
            Fault::Skew => {
                agent.set_skew(self.rng.random_range(-86_400_000..86_400_000));
                Some(Wrong::Skewed(one))
            }
            Fault::UnitDeath => {
                if agent.machine.kill_one(&mut self.rng) {
                    *self.counts.entry(fault).or_default() += 1;
                }
                None
            }
            Fault::StartFailure => {
                agent.machine.set_refuses(true);
                Some(Wrong::Refusing(one))
            }
            Fault::Transfer | Fault::Snapshot => {
                self.ask(fault, agent);
                None
            }
        }
    }

    /// Ends an agent; with the power, also what it had not synced, and nobody hears it go.
    fn go_down(
        &self,
        one: usize,
        unsynced: Unsynced,
        sim: &mut Sim<'_>,
        agents: &[Arc<Agent>],
    ) -> Option<Wrong> {
        let agent = &agents[one];
        if !sim.is_host_running(&*agent.host) {
            return None;
        }
        let power = matches!(unsynced, Unsynced::IsTorn);
        if power {
            for other in agents.iter().filter(|other| other.host != agent.host) {
                sim.partition(&*agent.host, &*other.host);
            }
        }
        stop(sim, agent, unsynced);
        if power {
            self.part_again(sim, agents);
        }
        Some(Wrong::Down(one))
    }

    /// Has an agent do what operators may ask of it at any time.
    fn ask(&mut self, fault: Fault, agent: &Agent) {
        let Some(life) = agent.life() else { return };
        let (cluster, runtime) = (life.ports.cluster, life.runtime);
        trace::note(format_args!("fault: {fault:?} at {}", agent.host));
        *self.counts.entry(fault).or_default() += 1;
        runtime.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(5);
            if fault == Fault::Transfer {
                let moved = cluster.transfer_leader(None, deadline).await;
                trace::note(format_args!("leadership was handed over: {moved:?}"));
            } else {
                let built = cluster.snapshot(deadline).await;
                trace::note(format_args!("a snapshot was built: {built:?}"));
            }
        });
    }

    fn end(&mut self, sim: &mut Sim<'_>, agents: &[Arc<Agent>], now: Duration) {
        let (over, wrong): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wrong).into_iter().partition(|(until, _)| *until <= now);
        self.wrong = wrong;
        if over.is_empty() {
            return;
        }
        for (_, wrong) in over {
            trace::note(format_args!("over: {wrong:?}"));
            let host = |index: usize| &*agents[index].host;
            match wrong {
                Wrong::Down(index) => sim.bounce(host(index)),
                Wrong::Sluggish(index) => agents[index].disk.set_slower(Duration::ZERO),
                Wrong::Parted(pairs) => {
                    pairs.iter().for_each(|(a, b)| sim.repair(host(*a), host(*b)));
                }
                Wrong::Held(pairs) => {
                    pairs.iter().for_each(|(a, b)| sim.release(host(*a), host(*b)));
                }
                Wrong::Deaf(from, to) => sim.repair_oneway(host(from), host(to)),
                Wrong::Slow(a, b) => {
                    sim.set_link_max_message_latency(host(a), host(b), self.plan.latency.1);
                }
                Wrong::Lossy(a, b) => {
                    sim.set_link_fail_rate(host(a), host(b), 0.0);
                    sim.repair(host(a), host(b));
                }
                Wrong::Skewed(index) => agents[index].set_skew(0),
                Wrong::Refusing(index) => agents[index].machine.set_refuses(false),
            }
        }
        self.part_again(sim, agents);
    }

    /// What was repaired may be parted for another reason too.
    fn part_again(&self, sim: &Sim<'_>, agents: &[Arc<Agent>]) {
        let pairs = |index: usize, other: usize| (&*agents[index].host, &*agents[other].host);
        let parted = |a: usize, b: usize| {
            self.wrong.iter().any(|(_, wrong)| match wrong {
                Wrong::Parted(pairs) => pairs.contains(&(a, b)) || pairs.contains(&(b, a)),
                _ => false,
            })
        };
        let held = |a: usize, b: usize| {
            self.wrong.iter().any(|(_, wrong)| match wrong {
                Wrong::Held(pairs) => pairs.contains(&(a, b)) || pairs.contains(&(b, a)),
                _ => false,
            })
        };
        for a in 0..agents.len() {
            for b in 0..a {
                let (host, other) = pairs(a, b);
                if parted(a, b) {
                    sim.partition(host, other);
                } else if held(a, b) {
                    sim.hold(host, other);
                } else {
                    sim.release(host, other);
                }
            }
        }
        for (_, wrong) in &self.wrong {
            if let Wrong::Deaf(from, to) = wrong {
                let (from, to) = pairs(*from, *to);
                sim.partition_oneway(from, to);
            }
        }
    }

    fn two_groups(&mut self, agents: usize) -> Vec<(usize, usize)> {
        let mut order: Vec<_> = (0..agents).collect();
        order.shuffle(&mut self.rng);
        let (some, others) = order.split_at(self.rng.random_range(1..agents));
        some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))).collect()
    }

    fn another(&mut self, one: usize, agents: usize) -> usize {
        (one + self.rng.random_range(1..agents)) % agents
    }
}

/// Ends an agent, and everything that it does.
fn stop(sim: &mut Sim<'_>, agent: &Agent, unsynced: Unsynced) {
    agent.disk.crash(unsynced);
    agent.ended();
    sim.crash(&*agent.host);
    agent.machine.forget_the_dead();
}
