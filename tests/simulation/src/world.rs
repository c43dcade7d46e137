//! One simulation from its beginning to its end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{bail, ensure};
use meridian_domain::{Command, Revision, Tier};
use meridian_ports::Receipt;
use turmoil::{Builder, Sim};

use crate::agent::{Agent, EPOCH_MS};
use crate::faults::Faults;
use crate::operators::{Counts, Operators};
use crate::plan::Plan;
use crate::reference::Reference;
use crate::{settled, trace, verify};

/// For a cluster to be founded, and for agents to join it, without faults.
const FOUNDING: Duration = Duration::from_secs(60);
/// For a healed cluster to converge.
const CONVERGENCE: Duration = Duration::from_secs(180);
/// After which nothing happens any more.
const CALM: Duration = Duration::from_secs(30);
/// Between two comparisons of states.
const COMPARE: Duration = Duration::from_millis(250);

/// What a simulation counted, so that nobody believes one in which nothing happened.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Events of the log.
    pub events: u64,
    /// Calls of operators.
    pub counts: Counts,
    /// Faults.
    pub faults: u64,
    /// Times that another agent led.
    pub leaders: u64,
    /// How long converging took, simulated.
    pub converged: Duration,
    /// How long all of it took, simulated.
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
    /// What was compared of each agent, and of which of its lives.
    cursors: Vec<(u64, Revision)>,
    compared: Duration,
    leader: Option<meridian_domain::NodeId>,
    /// What it counted.
    pub figures: Figures,
}

impl World {
    /// The world of a plan, at its beginning.
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
        Self {
            operators: Operators::new(&plan),
            faults: Faults::new(&plan),
            cursors: vec![Default::default(); agents.len()],
            reference: Reference::default(),
            compared: Duration::ZERO,
            leader: None,
            figures: Figures::default(),
            plan,
            sim,
            agents,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What must not be, and was.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.found()?;
        let trouble = trace::now() + self.plan.trouble;
        while trace::now() < trouble {
            self.faults.step(&mut self.sim, &self.agents);
            self.operators.work(&self.agents, self.reference.state());
            self.step()?;
        }
        self.faults.heal(&mut self.sim, &self.agents);
        let healed = trace::now();
        self.converge()?;
        self.figures.converged = trace::now() - healed;
        self.stay_calm()?;
        verify::requests(&self.reference, self.operators.requests(), &self.agents)?;
        Ok(())
    }

    fn found(&mut self) -> anyhow::Result<()> {
        let founders = self.plan.founders;
        self.until(FOUNDING, "the cluster is founded", |world| {
            world.agents[..founders].iter().all(|agent| agent.life().is_some())
                && world.reference.state().agents.len() == founders
        })?;
        for index in founders..self.agents.len() {
            let description = self.agents[index].description.clone();
            self.change(Command::RegisterAgent(description))?;
            let peer = self.agents[index].description.peer_address.clone();
            let Some(life) = self.agents[0].life() else { bail!("agent-0 does not run") };
            let cluster = life.ports.cluster;
            life.runtime.spawn(async move {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
                let invited = cluster.invite(&peer, deadline).await;
                trace::note(format_args!("invited: {invited:?}"));
            });
            self.until(FOUNDING, "the agent has joined", |world| {
                world.agents[index].life().is_some()
            })?;
        }
        Ok(())
    }

    /// Has a change happen that nothing stands in the way of.
    fn change(&mut self, command: Command) -> anyhow::Result<Receipt> {
        let deadline = trace::now() + FOUNDING;
        while trace::now() < deadline {
            let request = self.operators.ask(&self.agents, 0, command.clone());
            let give_up = trace::now() + Duration::from_secs(6);
            while trace::now() < give_up {
                self.step()?;
                if let Some(receipt) =
                    request.and_then(|number| self.operators.requests()[number].answer.clone())
                {
                    return Ok(receipt);
                }
            }
        }
        bail!("L1: nobody answers {command:?} within {FOUNDING:?}")
    }

    fn converge(&mut self) -> anyhow::Result<()> {
        let deadline = trace::now() + CONVERGENCE;
        let service = "witness".parse().expect("is a name");
        let primary = self.plan.agents[0].clone();
        self.change(Command::CreateService { service, tier: Tier::Premium, primary, port: None })?;
        loop {
            for _ in 0..100 {
                self.step()?;
            }
            // A call that was made in the last moments of the trouble may still have an effect.
            let settled = self.operators.are_answered().and_then(|()| settled::check(&self.agents));
            let Err(missing) = settled else { return Ok(()) };
            ensure!(
                trace::now() < deadline,
                "L2: not converged {CONVERGENCE:?} after everything was healed: {missing:#}"
            );
        }
    }

    fn stay_calm(&mut self) -> anyhow::Result<()> {
        let before = self.reference.revision();
        let deadline = trace::now() + CALM;
        while trace::now() < deadline {
            self.step()?;
        }
        let new = &self.reference.records()[usize::try_from(before.0)?..];
        ensure!(new.is_empty(), "L4: in a settled cluster, this still happened: {new:?}");
        settled::check(&self.agents)
    }

    fn until(
        &mut self,
        patience: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = trace::now() + patience;
        while !condition(self) {
            ensure!(trace::now() < deadline, "L1: {what}: not within {patience:?}");
            self.step()?;
        }
        Ok(())
    }

    /// Lets one tick of simulated time pass, and checks what it led to.
    fn step(&mut self) -> anyhow::Result<()> {
        trace::set_now(self.sim.elapsed());
        self.agents.iter().for_each(|agent| agent.machine.advance());
        if let Err(error) = self.sim.step() {
            bail!("the simulation itself failed: {error}");
        }
        if let Some(panic) = crate::panics::first() {
            bail!("a panic: {panic}");
        }
        self.faults.supervise(&mut self.sim, &self.agents);
        self.compare()?;
        self.operators.listen(&self.agents);
        self.figures.simulated = trace::now();
        self.figures.events = self.reference.revision().0;
        self.figures.counts = self.operators.counts();
        self.figures.faults = self.faults.counts.values().sum();
        self.check()
    }

    /// Compares what the agents have applied.
    fn compare(&mut self) -> anyhow::Result<()> {
        let states = trace::now() >= self.compared + COMPARE;
        for (agent, cursor) in self.agents.iter().zip(&mut self.cursors) {
            let Some(life) = agent.life() else { continue };
            if cursor.0 != life.number {
                *cursor = (life.number, Revision(0));
            }
            let latest = life.ports.history.chain().0;
            if latest != cursor.1 && life.fuse.cause().is_none() {
                cursor.1 = self.reference.compare(&*life.ports.history, cursor.1)?;
            }
            if states {
                self.reference.compare_state(&life.ports.read.state())?;
                let leader = life.ports.cluster.leader();
                if leader == Some(agent.description.node) && leader != self.leader {
                    self.leader = leader;
                    self.figures.leaders += 1;
                    trace::note(format_args!("{} leads", agent.host));
                }
            }
        }
        if states {
            self.compared = trace::now();
        }
        Ok(())
    }

    fn check(&mut self) -> anyhow::Result<()> {
        for agent in &self.agents {
            for asked in agent.machine.take_asked() {
                self.reference.check_asked(&agent.description.name, asked)?;
            }
        }
        for sighting in self.operators.take_sightings() {
            ensure!(
                sighting.saw >= sighting.floor,
                "S6: a linearizable read saw revision {}, and {} was known before it began",
                sighting.saw,
                sighting.floor
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
        let Counts { answered, refused, unknown, reads } = self.counts;
        write!(
            f,
            "{} events, {answered} answers, {refused} refusals, {unknown} unknown, {reads} reads, \
             {} faults, {} leaders, converged in {:.1} s of {:.0} s",
            self.events,
            self.faults,
            self.leaders,
            self.converged.as_secs_f64(),
            self.simulated.as_secs_f64()
        )
    }
}
