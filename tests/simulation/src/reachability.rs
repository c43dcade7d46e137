//! S13: gateways are lost only while a majority of the other regions cannot reach them. S14: gateways
//! that no other region can reach are lost soon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use meridian_domain::reachability::{Evidence, Loss, ProberGroup, is_majority, probers};
use meridian_domain::{AgentName, Event, NodeId, RegionName, State};

use crate::agent::{Agent, ProcessRun};
use crate::faults::Faults;
use crate::plan::Plan;
use crate::reference::Reference;
use crate::trace;

/// Maximum time from the votes for a loss to its event: the leader may be new, and disks slow.
const DECISION: Duration = Duration::from_secs(10);
/// The same while there are no other faults: the proposal of a leader that has led for long.
const UNDISTURBED_DECISION: Duration = Duration::from_secs(1);

/// What is known of the reachability of gateways.
pub struct Reachability {
    probes: bool,
    /// Time in which all probes must fail for a vote.
    window: Duration,
    /// Number of events that were checked.
    checked: usize,
    /// The last time at which an agent could not reach the gateways of another one.
    cut: BTreeMap<(usize, usize), Duration>,
    /// The last time at which not all units of an agent served.
    unready: BTreeMap<usize, Duration>,
    /// The last time of a fault other than gateways that are cut off, and the leader at that time.
    disturbed: (Duration, Option<NodeId>),
    /// Time since which nobody outside of its region can reach the gateways of an agent.
    isolated: BTreeMap<usize, Duration>,
}

impl Reachability {
    /// Creates a check.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            probes: plan.probes(),
            window: plan.profile.timing().probe_window,
            checked: 0,
            cut: BTreeMap::new(),
            unready: BTreeMap::new(),
            disturbed: (Duration::ZERO, None),
            isolated: BTreeMap::new(),
        }
    }

    /// Checks the current time and all events that are new in the reference.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(
        &mut self,
        agents: &[Arc<Agent>],
        faults: &Faults,
        reference: &Reference,
    ) -> anyhow::Result<()> {
        if !self.probes {
            return Ok(());
        }
        self.observe(agents, faults, reference.state());
        let records = &reference.records()[self.checked..];
        self.checked += records.len();
        for record in records {
            if let Event::GatewaysLost { agent, evidence, .. } = &record.event {
                let groups = probers(reference.state(), &reference.state().agents[agent]).len();
                ensure!(
                    is_majority(evidence.unreachable_from.len(), groups),
                    "S13: the gateways of {agent} were lost without a majority of {groups} regions: \
                     {evidence:?}"
                );
                self.check_evidence(agents, agent, evidence)?;
            }
        }
        self.check_isolated(agents, reference.state())
    }

    fn observe(&mut self, agents: &[Arc<Agent>], faults: &Faults, state: &State) {
        let now = trace::now();
        let cut: BTreeSet<_> = faults.gateways_cut().collect();
        self.cut.extend(cut.iter().map(|pair| (*pair, now)));
        for (index, agent) in agents.iter().enumerate() {
            let units = state.units_on(&agent.description.name).count();
            if agent.machine.ready().len() != units || agent.machine.count() != units || units == 0
            {
                self.unready.insert(index, now);
            }
            let others = others(agents, agent);
            let is_isolated = others.iter().all(|other| cut.contains(&(*other, index)));
            if is_isolated {
                self.isolated.entry(index).or_insert(now);
            } else {
                self.isolated.remove(&index);
            }
        }
        let processes: Vec<_> = agents.iter().map(|agent| agent.process()).collect();
        let leader =
            |process: &Option<ProcessRun>| process.as_ref()?.ports.leadership.borrow().leader();
        let leaders: BTreeSet<_> = processes.iter().map(leader).collect();
        let leader = if leaders.len() == 1 { leaders.first().copied().flatten() } else { None };
        let is_disturbed = leader.is_none() || leader != self.disturbed.1;
        if is_disturbed || faults.has_others_than_gateway_cuts() {
            self.disturbed = (now, leader);
        }
    }

    /// Checks S13 for an event.
    fn check_evidence(
        &self,
        agents: &[Arc<Agent>],
        lost: &AgentName,
        evidence: &Evidence,
    ) -> anyhow::Result<()> {
        let oldest = trace::now().saturating_sub(self.window * 3 + DECISION);
        let is_recent = |time: Option<&Duration>| time.is_some_and(|time| *time >= oldest);
        let index = agents.iter().position(|agent| agent.description.name == *lost);
        let Some(index) = index else { return Ok(()) };
        for group in &evidence.unreachable_from {
            let is_cut = (0..agents.len()).any(|prober| {
                ProberGroup::Region(agents[prober].description.region.clone()) == *group
                    && is_recent(self.cut.get(&(prober, index)))
            });
            ensure!(
                is_cut || is_recent(self.unready.get(&index)),
                "S13: {group:?} can reach the gateways of {lost}, which were lost: {evidence:?}"
            );
        }
        Ok(())
    }

    /// Checks S14 for the current time.
    fn check_isolated(&self, agents: &[Arc<Agent>], state: &State) -> anyhow::Result<()> {
        let regions: BTreeSet<&RegionName> =
            agents.iter().map(|agent| &agent.description.region).collect();
        if !is_majority(regions.len() - 1, regions.len() - 1) {
            return Ok(());
        }
        for (index, since) in &self.isolated {
            let unready = self.unready.get(index).copied().unwrap_or_default();
            let undisturbed_since = (*since).max(unready).max(self.disturbed.0);
            let until = undisturbed_since + self.window * 2 + UNDISTURBED_DECISION;
            let name = &agents[*index].description.name;
            let mut losses = state.losses.get(name).into_iter().flat_map(BTreeMap::values);
            ensure!(
                trace::now() <= until || losses.any(Loss::is_current),
                "S14: nobody can reach the gateways of {name} since {since:?}, but they are not lost"
            );
        }
        Ok(())
    }
}

/// Returns the agents in other regions.
fn others(agents: &[Arc<Agent>], agent: &Agent) -> Vec<usize> {
    let region = |agent: &Agent| agent.description.region.clone();
    (0..agents.len()).filter(|other| region(&agents[*other]) != region(agent)).collect()
}
