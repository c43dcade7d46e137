//! Agents of a development cluster: start, supervision, shutdown.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use meridian_domain::AgentName;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::directory::{data_path, log_path};
use super::layout::Plan;
use super::process::{Handle, Program, describe, last_lines, was_removed};
use super::{screen, units};
use crate::client::quote;

/// The agents that this process started.
pub struct Cluster {
    program: Program,
    plans: Vec<Plan>,
    pids: Vec<Option<u32>>,
    handles: Vec<Option<Handle>>,
    exits: JoinSet<(usize, io::Result<ExitStatus>)>,
    client_port: u16,
    exited: Exited,
}

/// Names of the agents that have exited. Cheap to clone; all clones share the set.
#[derive(Debug, Clone, Default)]
pub struct Exited(Arc<Mutex<BTreeSet<AgentName>>>);

impl Exited {
    fn insert(&self, agent: &AgentName) {
        self.0.lock().expect("no holder of this lock panics").insert(agent.clone());
    }

    /// Returns true if this agent has exited.
    #[must_use]
    pub fn contains(&self, agent: &AgentName) -> bool {
        self.0.lock().expect("no holder of this lock panics").contains(agent)
    }
}

impl Cluster {
    /// Creates a cluster without running agents, whose client port is `client_port`.
    #[must_use]
    pub fn new(program: Program, plans: Vec<Plan>, client_port: u16) -> Self {
        let pids = plans.iter().map(|_| None).collect();
        let handles = plans.iter().map(|_| None).collect();
        let (exits, exited) = (JoinSet::new(), Exited::default());
        Self { program, plans, pids, handles, exits, client_port, exited }
    }

    /// Returns the set of exited agents, which [`Cluster::supervise`] updates.
    #[must_use]
    pub fn exited(&self) -> Exited {
        self.exited.clone()
    }

    /// Starts every agent.
    ///
    /// # Errors
    /// If an agent cannot be spawned; the agents before it keep running.
    pub fn start(&mut self) -> io::Result<()> {
        for (index, plan) in self.plans.iter().enumerate() {
            let child = self.program.start_agent(plan)?;
            self.pids[index] = child.id();
            // The pid cannot be reused before the process is waited for.
            self.handles[index] = child.id().map(Handle::open).transpose()?;
            self.exits.spawn(exit_of(index, child));
        }
        Ok(())
    }

    /// Returns the pid of each running agent, in the order of the plans.
    #[must_use]
    pub fn pids(&self) -> &[Option<u32>] {
        &self.pids
    }

    /// Reports each agent that exits, with its cause and the command that restarts it, and calls
    /// `on_exit` with the remaining pids. Returns when the last agent has exited. Cancel-safe.
    pub async fn supervise(&mut self, on_exit: impl Fn(&[Option<u32>])) {
        while let Some(exit) = self.exits.join_next().await {
            let Ok((index, status)) = exit else { continue };
            let plan = &self.plans[index];
            let pid = self.pids[index].take().unwrap_or_default();
            self.handles[index] = None;
            on_exit(&self.pids);
            screen::note(&format!(
                "\nagent {} (process {pid}) exited: {}",
                plan.name,
                describe(&status)
            ));
            // The last log lines of a killed agent do not explain its end.
            if status.is_ok_and(|status| status.code().is_some_and(|code| code != 0)) {
                for line in last_lines(&log_path(plan)) {
                    screen::note(&format!("    {line}"));
                }
            }
            screen::note(&format!("its log: {}", log_path(plan).display()));
            screen::note(&self.restart_hint(plan));
            self.exited.insert(&plan.name);
        }
    }

    /// Returns the command that restarts an agent. One that its cluster removed would exit again; it
    /// comes back as a new node.
    fn restart_hint(&self, plan: &Plan) -> String {
        let line = self.program.agent_line(plan);
        let others = self.plans.iter().filter(|other| other.name != plan.name);
        match others.map(|other| other.address).next() {
            Some(other) if was_removed(&log_path(plan)) => format!(
                "it was removed from its cluster; to add it again as a new node:\n    \
                 rm -r {} && {line} --join {other}:{}\n",
                quote(&data_path(plan).to_string_lossy()),
                self.client_port
            ),
            _ => format!("to restart it:\n    {line}\n"),
        }
    }

    /// Stops every agent, then its units, including the units of agents that were started by hand or
    /// have crashed. `forced` kills agents that are still shutting down. Returns the failures.
    pub async fn stop(self, forced: &CancellationToken) -> Vec<String> {
        let Self { plans, handles, mut exits, .. } = self;
        // Reaps the processes meanwhile.
        let reaper = tokio::spawn(async move { while exits.join_next().await.is_some() {} });
        let stopping = plans.iter().zip(handles).map(|(plan, handle)| async move {
            if let Some(handle) = handle {
                handle.stop(forced).await;
            }
            units::stop_all(plan, forced).await
        });
        let failures = join_all(stopping).await.into_iter().filter_map(Result::err).collect();
        reaper.abort();
        failures
    }
}

async fn exit_of(index: usize, mut child: Child) -> (usize, io::Result<ExitStatus>) {
    (index, child.wait().await)
}
