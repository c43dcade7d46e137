//! The agents of a development cluster while they run, and their end.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use meridian_domain::AgentName;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::home::{data_path, log_path};
use super::layout::Plan;
use super::process::{Handle, Program, describe, last_words, was_removed};
use super::units;
use crate::client::quote;

/// The agents that this process started.
pub struct Cluster {
    program: Program,
    plans: Vec<Plan>,
    pids: Vec<Option<u32>>,
    handles: Vec<Option<Handle>>,
    ends: JoinSet<(usize, io::Result<ExitStatus>)>,
    client_port: u16,
    ended: Ended,
}

/// The agents that have ended, shared with whoever waits for them.
#[derive(Debug, Clone, Default)]
pub struct Ended(Arc<Mutex<BTreeSet<AgentName>>>);

impl Ended {
    fn note(&self, agent: &AgentName) {
        self.0.lock().expect("no holder of this lock panics").insert(agent.clone());
    }

    /// Whether this one has.
    #[must_use]
    pub fn has(&self, agent: &AgentName) -> bool {
        self.0.lock().expect("no holder of this lock panics").contains(agent)
    }
}

impl Cluster {
    /// One without running agents, each of which is to serve clients at this port.
    #[must_use]
    pub fn new(program: Program, plans: Vec<Plan>, client_port: u16) -> Self {
        let pids = plans.iter().map(|_| None).collect();
        let handles = plans.iter().map(|_| None).collect();
        let (ends, ended) = (JoinSet::new(), Ended::default());
        Self { program, plans, pids, handles, ends, client_port, ended }
    }

    /// Those of the agents that have ended, now and later.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.ended.clone()
    }

    /// Starts every agent.
    ///
    /// # Errors
    /// If one cannot be started; those before it run.
    pub fn start(&mut self) -> io::Result<()> {
        for (index, plan) in self.plans.iter().enumerate() {
            let child = self.program.start_agent(plan)?;
            self.pids[index] = child.id();
            // A process that is not waited for yet keeps its number.
            self.handles[index] = child.id().map(Handle::open).transpose()?;
            self.ends.spawn(end_of(index, child));
        }
        Ok(())
    }

    /// The agents, each with its process.
    pub fn agents(&self) -> impl Iterator<Item = (&Plan, Option<u32>)> {
        self.plans.iter().zip(self.pids.iter().copied())
    }

    /// Says of each agent that ends how it ended, and how to start it again. Returns when the last
    /// has ended. Cancel-safe.
    pub async fn watch(&mut self) {
        while let Some(ended) = self.ends.join_next().await {
            let Ok((index, status)) = ended else { continue };
            let plan = &self.plans[index];
            let pid = self.pids[index].take().unwrap_or_default();
            self.handles[index] = None;
            anstream::eprintln!(
                "\nagent {} (process {pid}) ended: {}",
                plan.name,
                describe(&status)
            );
            // What a killed one last said is not why it ended.
            if status.is_ok_and(|status| status.code().is_some_and(|code| code != 0)) {
                for line in last_words(&log_path(plan)) {
                    anstream::eprintln!("    {line}");
                }
            }
            anstream::eprintln!("its log: {}", log_path(plan).display());
            anstream::eprintln!("{}", self.way_back(plan));
            self.ended.note(&plan.name);
        }
    }

    /// How an agent that has ended is started again. One that its cluster removed would end again: it
    /// comes back as a new one.
    fn way_back(&self, plan: &Plan) -> String {
        let line = self.program.agent_line(plan);
        let others = self.plans.iter().filter(|other| other.name != plan.name);
        match others.map(|other| other.address).next() {
            Some(other) if was_removed(&log_path(plan)) => format!(
                "it was removed from its cluster; to have it again as a new agent:\n    \
                 rm -r {} && {line} --join {other}:{}\n",
                quote(&data_path(plan).to_string_lossy()),
                self.client_port
            ),
            _ => format!("to start it again:\n    {line}\n"),
        }
    }

    /// Stops every agent, then its units: of all agents, those that were started by hand and those
    /// that died included. `impatient` shortens the wait for agents. Says what could not be stopped.
    pub async fn stop(self, impatient: &CancellationToken) -> Vec<String> {
        let Self { plans, handles, mut ends, .. } = self;
        // Reaps the processes meanwhile.
        let reaper = tokio::spawn(async move { while ends.join_next().await.is_some() {} });
        let stopping = plans.iter().zip(handles).map(|(plan, handle)| async move {
            if let Some(handle) = handle {
                handle.stop(impatient).await;
            }
            units::stop_rest(plan, impatient).await
        });
        let failures = join_all(stopping).await.into_iter().filter_map(Result::err).collect();
        reaper.abort();
        failures
    }
}

async fn end_of(index: usize, mut child: Child) -> (usize, io::Result<ExitStatus>) {
    (index, child.wait().await)
}
