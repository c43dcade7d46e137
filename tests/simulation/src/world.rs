//! A complete simulation.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{bail, ensure};
use meridian_domain::limits::MAX_STABLE_WINDOW;
use meridian_domain::{Command, Revision, Tier, WhenDisabled};
use meridian_ports::{Leadership, Receipt};
use meridian_replication::disk_watch::STALL_AFTER;
use turmoil::{Builder, Sim};

use crate::agent::{Agent, EPOCH_MS};
use crate::faults::Faults;
use crate::operators::{Counts, Operators};
use crate::plan::Plan;
use crate::reachability::Reachability;
use crate::reference::Reference;
use crate::{convergence, gateways, trace, verify};

/// Timeout for the bootstrap and for joining agents, without faults.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout for convergence after the last fault.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(180);
/// Additional timeout if gateways were lost: they are found once they were reached for a while.
const FOUND_TIMEOUT: Duration = MAX_STABLE_WINDOW;
/// Duration of the quiescent phase, in which nothing may happen.
const QUIESCENT: Duration = Duration::from_secs(30);
/// Maximum time until a node whose disk counts as stalled is suspended: a leader first tries to
/// transfer leadership.
const SUSPENSION_SLACK: Duration = Duration::from_secs(4);
/// Interval between comparisons of states.
const COMPARE_INTERVAL: Duration = Duration::from_millis(250);

/// Counters of a simulation, which show that it was meaningful.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Number of events in the log.
    pub events: u64,
    /// Operations of operators.
    pub counts: Counts,
    /// Number of injected faults.
    pub faults: u64,
    /// Number of leader changes.
    pub leaders: u64,
    /// Simulated time until convergence.
    pub converged: Duration,
    /// Total simulated time.
    pub simulated: Duration,
}

/// A simulation.
pub struct World {
    plan: Arc<Plan>,
    sim: Sim<'static>,
    agents: Vec<Arc<Agent>>,
    operators: Operators,
    faults: Faults,
    reference: Reference,
    reachability: Reachability,
    /// Per agent: the current process run, and the last compared revision of it.
    cursors: Vec<(u64, Revision)>,
    compared: Duration,
    leader: Option<meridian_domain::NodeId>,
    /// Counters.
    pub figures: Figures,
}

impl World {
    /// Creates the world of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let mut sim = Builder::new()
            .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
            .simulation_duration(Duration::from_secs(86_400))
            .tick_duration(plan.tick)
            .min_message_latency(plan.latency.0)
            .max_message_latency(plan.latency.1)
            .tcp_capacity(4_096)
            .repair_rate(0.05)
            .enable_random_order()
            .rng_seed(plan.seed)
            .build();
        let agents = Agent::all(&plan);
        for agent in &agents {
            let host = agent.clone();
            sim.host(&*agent.host, move || host.clone().run());
        }
        for (index, agent) in agents.iter().enumerate().filter(|_| plan.probes()) {
            let (plan, machine) = (plan.clone(), agent.machine.clone());
            sim.host(&*gateways::host(index), move || {
                let (plan, machine) = (plan.clone(), machine.clone());
                async move { gateways::serve(&plan, index, machine).await }
            });
        }
        Self {
            operators: Operators::new(&plan),
            faults: Faults::new(&plan),
            cursors: vec![Default::default(); agents.len()],
            reference: Reference::default(),
            reachability: Reachability::new(&plan),
            compared: Duration::ZERO,
            leader: None,
            figures: Figures::default(),
            plan,
            sim,
            agents,
        }
    }

    /// Runs the simulation.
    ///
    /// # Errors
    /// The first violation.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.bootstrap()?;
        let faults_end = trace::now() + self.plan.fault_phase;
        while trace::now() < faults_end {
            self.faults.step(&mut self.sim, &self.agents);
            self.operators.work(&self.agents, self.reference.state());
            self.step()?;
        }
        self.faults.heal(&mut self.sim, &self.agents);
        let healed = trace::now();
        self.converge()?;
        self.figures.converged = trace::now() - healed;
        self.check_quiescent()?;
        verify::requests(&self.reference, self.operators.requests(), &self.agents)?;
        Ok(())
    }

    fn bootstrap(&mut self) -> anyhow::Result<()> {
        let initial = self.plan.initial_agents;
        self.until(SETUP_TIMEOUT, "the cluster to bootstrap", |world| {
            world.agents[..initial].iter().all(|agent| agent.process().is_some())
                && world.reference.state().agents.len() == initial
        })?;
        for index in initial..self.agents.len() {
            let description = self.agents[index].description.clone();
            self.change(Command::RegisterAgent(description))?;
            let peer = self.agents[index].description.peer_address.clone();
            let Some(process) = self.agents[0].process() else { bail!("agent-0 is not running") };
            let cluster = process.ports.cluster;
            process.runtime.spawn(async move {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
                let result = cluster.invite(&peer, deadline).await;
                trace::note(format_args!("invitation: {result:?}"));
            });
            self.until(SETUP_TIMEOUT, "the agent to join", |world| {
                world.agents[index].process().is_some()
            })?;
        }
        Ok(())
    }

    /// Submits a change, and retries it until it is decided. No fault may be active.
    fn change(&mut self, command: Command) -> anyhow::Result<Receipt> {
        let deadline = trace::now() + SETUP_TIMEOUT;
        while trace::now() < deadline {
            let request = self.operators.submit(&self.agents, 0, command.clone());
            let retry_at = trace::now() + Duration::from_secs(6);
            while trace::now() < retry_at {
                self.step()?;
                if let Some(receipt) =
                    request.and_then(|number| self.operators.requests()[number].receipt.clone())
                {
                    return Ok(receipt);
                }
            }
        }
        bail!("L1: no receipt for {command:?} within {SETUP_TIMEOUT:?}")
    }

    fn converge(&mut self) -> anyhow::Result<()> {
        let found = if self.plan.probes() { FOUND_TIMEOUT } else { Duration::ZERO };
        let timeout = CONVERGENCE_TIMEOUT + found;
        let deadline = trace::now() + timeout;
        let service = "witness".parse().expect("a valid name");
        let primary = self.plan.agents[0].clone();
        self.change(Command::CreateService {
            service,
            tier: Tier::Premium,
            primary,
            port: None,
            when_disabled: WhenDisabled::Refuse,
        })?;
        loop {
            for _ in 0..100 {
                self.step()?;
            }
            // Operations started at the end of the fault phase may still have an effect.
            let converged =
                self.operators.check_idle().and_then(|()| convergence::check(&self.agents));
            let Err(missing) = converged else { return Ok(()) };
            ensure!(
                trace::now() < deadline,
                "L2: not converged {timeout:?} after the last fault: {missing:#}"
            );
        }
    }

    fn check_quiescent(&mut self) -> anyhow::Result<()> {
        let before = self.reference.revision();
        let deadline = trace::now() + QUIESCENT;
        while trace::now() < deadline {
            self.step()?;
        }
        let new = &self.reference.records()[usize::try_from(before.0)?..];
        ensure!(new.is_empty(), "L4: events in the quiescent phase: {new:?}");
        convergence::check(&self.agents)
    }

    fn until(
        &mut self,
        timeout: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = trace::now() + timeout;
        while !condition(self) {
            ensure!(trace::now() < deadline, "L1: timed out after {timeout:?} waiting for {what}");
            self.step()?;
        }
        Ok(())
    }

    /// Advances the simulated time by one tick, and runs the checks.
    fn step(&mut self) -> anyhow::Result<()> {
        trace::set_now(self.sim.elapsed());
        self.agents.iter().for_each(|agent| agent.machine.advance());
        if let Err(error) = self.sim.step() {
            bail!("the simulation failed: {error}");
        }
        if let Some(panic) = crate::panics::first() {
            bail!("panic: {panic}");
        }
        self.faults.supervise(&mut self.sim, &self.agents);
        self.compare()?;
        self.operators.receive(&self.agents);
        self.figures.simulated = trace::now();
        self.figures.events = self.reference.revision().0;
        self.figures.counts = self.operators.counts();
        self.figures.faults = self.faults.counts.values().sum();
        self.check()
    }

    /// Compares the applied events and states of the agents.
    fn compare(&mut self) -> anyhow::Result<()> {
        let states = trace::now() >= self.compared + COMPARE_INTERVAL;
        for (agent, cursor) in self.agents.iter().zip(&mut self.cursors) {
            let Some(process) = agent.process() else { continue };
            if cursor.0 != process.number {
                *cursor = (process.number, Revision(0));
            }
            let latest = process.ports.history.chain().0;
            if latest != cursor.1 && process.fuse.cause().is_none() {
                cursor.1 = self.reference.compare(&*process.ports.history, cursor.1)?;
            }
            if states {
                self.reference.compare_state(&process.ports.read.state())?;
                let leader = process.ports.leadership.borrow().leader();
                if leader == Some(agent.description.node) && leader != self.leader {
                    self.leader = leader;
                    self.figures.leaders += 1;
                    trace::note(format_args!("{} is the leader", agent.host));
                }
            }
        }
        if states {
            self.compared = trace::now();
            self.reachability.check(&self.agents, &self.faults, &self.reference)?;
        }
        Ok(())
    }

    /// Checks that no agent claims to lead, or follows a leader, long after its disk stopped to
    /// respond.
    fn check_hung_disks(&self) -> anyhow::Result<()> {
        let tolerated = STALL_AFTER + SUSPENSION_SLACK;
        for agent in &self.agents {
            let hung = agent.disk.hanging_since().filter(|since| trace::now() > *since + tolerated);
            let (Some(since), Some(process)) = (hung, agent.process()) else { continue };
            let leadership = *process.ports.leadership.borrow();
            ensure!(
                leadership == Leadership::Unknown,
                "S11: the disk of {} hangs since {since:?}, but its node takes part: {leadership:?}",
                agent.host
            );
        }
        Ok(())
    }

    fn check(&mut self) -> anyhow::Result<()> {
        self.check_hung_disks()?;
        for agent in &self.agents {
            for request in agent.machine.take_requests() {
                self.reference.check_request(&agent.description.name, request)?;
            }
        }
        for read in self.operators.take_reads() {
            ensure!(
                read.observed >= read.floor,
                "S6: a linearizable read returned revision {} after {} was observed",
                read.observed,
                read.floor
            );
        }
        if let Some(contradiction) = self.operators.take_contradictions().pop() {
            bail!(contradiction);
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { decided, failed, unknown, reads } = self.counts;
        write!(
            f,
            "{} events, {decided} decided, {failed} failed, {unknown} unknown, {reads} reads, \
             {} faults, {} leaders, converged in {:.1} s of {:.0} s",
            self.events,
            self.faults,
            self.leaders,
            self.converged.as_secs_f64(),
            self.simulated.as_secs_f64()
        )
    }
}
