//! Probing: whether the gateways of other agents are reachable from here.
//!
//! ```text
//! plan       pure: which gateways to probe, from the replicated state
//! probed     schedule and results of the probes of one agent's gateways
//! exchange   one probe over HTTP;  response: whether it counts
//! reports    what differs from the normal case, to the leader
//! ```
//!
//! Which agents probe which is decided by the domain ([`meridian_domain::reachability`]). The leader
//! counts the votes; nothing that one agent finds declares gateways lost. While the leader is silent,
//! every agent probes all others, slowly, and publishes what it fails to reach as its local view.

mod changes;
mod connections;
mod exchange;
mod plan;
mod probe;
mod probed;
mod reports;
mod response;
mod streak;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::reachability::Gateways;
use meridian_domain::reachability::votes::{Observations, Observed};
use meridian_domain::{AgentName, NodeId, Revision, limits};
use meridian_ports::{Consistency, LocalView, Ports, Read};
use meridian_transport::Dialer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::metrics;
use changes::{Changes, unreachable};
use connections::Connections;
use exchange::Connection;
use plan::{Plan, Purpose, plan};
use probe::{Failure, Gateway, Probe};
use probed::{Kind, Target};
use reports::Reports;
use response::Reached;

/// Interval at which results are compared with what was last reported.
const REFRESH_INTERVAL: Duration = Duration::from_millis(100);
/// Minimum interval between plans, each of which reads the whole state.
const PLAN_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum time between the starts of two probes, so that a prober sends at most 200 per second.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);
/// Delay of a probe for which there is no connection.
const CONNECTION_DELAY: Duration = Duration::from_millis(50);

/// Configuration of a [`Prober`].
#[derive(Debug, Clone)]
pub struct ProberConfig {
    /// Name of this agent.
    pub agent: AgentName,
    /// Window in which all probes must fail for a vote.
    pub window: Duration,
    /// Interval between reports to the leader.
    pub report_interval: Duration,
    /// Maximum number of connections to gateways.
    pub connections: usize,
    /// Opens the connections.
    pub dialer: Dialer,
}

/// Probes the gateways of other agents.
pub struct Prober {
    config: ProberConfig,
    read: Arc<dyn Read>,
    /// Time without contact after which the leader counts as silent.
    leader_silence: Duration,
    local_view: watch::Sender<LocalView>,
    targets: BTreeMap<AgentName, Tracked>,
    /// Number of the last target.
    last_number: u64,
    /// Revision of the current plan, and whether the leader was silent then.
    planned: Option<(Revision, bool)>,
    next_plan: Instant,
    next_refresh: Instant,
    next_probe: Instant,
    last_iteration: Instant,
    /// Members that do not respond to the leader.
    silent: BTreeSet<NodeId>,
    probes: JoinSet<Finished>,
    changes: Changes,
    reports: Reports,
}

/// A target with its connections.
struct Tracked {
    /// Distinguishes it from earlier targets with the same name.
    number: u64,
    target: Target,
    connections: Connections,
}

/// A probe that was completed.
struct Finished {
    agent: AgentName,
    number: u64,
    gateway: Gateway,
    result: Result<Reached, Failure>,
    /// The connection, to be used again.
    connection: Option<Connection>,
}

impl Prober {
    /// Creates a prober.
    #[must_use]
    pub fn new(config: ProberConfig, ports: &Ports) -> Self {
        let now = Instant::now();
        let reports = Reports::new(ports.reachability.clone(), config.report_interval);
        Self {
            config,
            read: ports.read.clone(),
            leader_silence: ports.cluster.unreachable_after(),
            local_view: ports.local_view.clone(),
            targets: BTreeMap::new(),
            last_number: 0,
            planned: None,
            next_plan: now,
            next_refresh: now,
            next_probe: now,
            last_iteration: now,
            silent: BTreeSet::new(),
            probes: JoinSet::new(),
            changes: Changes::default(),
            reports,
        }
    }

    /// Runs until `shutdown` is cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let wake = self.next_wake();
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(finished) = self.probes.join_next() => {
                    // An aborted probe is only missing.
                    if let Ok(finished) = finished {
                        self.record(finished);
                    }
                }
                silent = self.reports.response() => self.silent = silent,
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            self.restart_windows_after_a_stall(now);
            if now >= self.next_refresh {
                self.next_refresh = now + REFRESH_INTERVAL;
                self.refresh(now).await;
            }
            self.start_probe(now);
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let due = self.targets.values().map(|tracked| tracked.target.next_due(now)).min();
        let probe = due.map_or(self.next_refresh, |due| due.max(self.next_probe));
        probe.min(self.next_refresh)
    }

    /// Restarts all windows if this task did not run for a part of them: responses may be waiting
    /// that it has not read.
    fn restart_windows_after_a_stall(&mut self, now: Instant) {
        let stall = now.duration_since(self.last_iteration);
        self.last_iteration = now;
        if stall >= self.config.window / 4 {
            tracing::debug!(?stall, "probing was stalled; its windows start over");
            self.targets.values_mut().for_each(|tracked| tracked.target.restart_windows(now));
        }
    }

    async fn refresh(&mut self, now: Instant) {
        let contact = self.read.read(Consistency::Stale, now).await;
        let contact = contact.ok().and_then(|point| point.leader_contact);
        let leader_is_silent = contact.is_none_or(|age| age >= self.leader_silence);
        let wanted = (self.read.state().header.revision, leader_is_silent);
        if self.planned != Some(wanted) && now >= self.next_plan {
            let plans = plan(&self.read.state(), &self.config.agent, leader_is_silent);
            self.adopt(plans, now);
            (self.planned, self.next_plan) = (Some(wanted), now + PLAN_INTERVAL);
        }
        for tracked in self.targets.values_mut() {
            let is_silent = self.silent.contains(&tracked.target.plan().node);
            tracked.target.set_silent(is_silent, now);
            tracked.target.complete_checks(now);
        }
        let all = self.observations(|_| true, now);
        self.changes.log(&all);
        if self.votes() {
            let votes = self.observations(|purpose| purpose == Purpose::Vote, now);
            self.reports.send(votes, now);
        }
        let view = leader_is_silent.then(|| unreachable(&all));
        self.local_view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
    }

    /// Returns true if this agent votes on any other.
    fn votes(&self) -> bool {
        self.targets.values().any(|tracked| tracked.target.plan().purpose == Purpose::Vote)
    }

    fn adopt(&mut self, plans: BTreeMap<AgentName, Plan>, now: Instant) {
        self.targets.retain(|agent, _| plans.contains_key(agent));
        for (agent, plan) in plans {
            if let Some(known) = self.targets.get_mut(&agent) {
                let has_moved = known.target.plan().ports != plan.ports;
                if known.target.adopt(&plan, now) {
                    if has_moved {
                        known.connections.close_idle();
                    }
                    continue;
                }
            }
            self.last_number += 1;
            let target = Target::new(plan, self.config.window, now);
            let connections = Connections::default();
            let tracked = Tracked { number: self.last_number, target, connections };
            self.targets.insert(agent, tracked);
        }
    }

    /// Returns what differs from the normal case, as much of it as a report may have.
    fn observations(&self, is_meant: impl Fn(Purpose) -> bool, now: Instant) -> Observations {
        let meant = self.targets.iter().filter(|(_, it)| is_meant(it.target.plan().purpose));
        let mut observations: Observations = meant
            .filter_map(|(agent, it)| Some((agent.clone(), it.target.observed(now)?)))
            .collect();
        // All gateways of an agent weigh more than those of single services of others.
        let all = |it: &Observed| usize::from(it.gateways.contains_key(&Gateways::All));
        let agents: usize = observations.values().map(all).sum();
        let mut room = limits::PROBE_REPORT_ROWS.saturating_sub(agents);
        for observed in observations.values_mut() {
            while observed.gateways.len() - all(observed) > room {
                observed.gateways.pop_last();
            }
            room -= observed.gateways.len() - all(observed);
        }
        observations.retain(|_, observed| !observed.gateways.is_empty());
        observations
    }

    /// Starts the probe that is due for the longest time, if there is one.
    fn start_probe(&mut self, now: Instant) {
        let due = self.targets.iter().map(|(agent, it)| (it.target.next_due(now), agent)).min();
        let Some((due, agent)) = due else { return };
        if due > now || self.next_probe > now {
            return;
        }
        let agent = agent.clone();
        let open: usize = self.targets.values_mut().map(|it| it.connections.len()).sum();
        if open >= self.config.connections {
            self.next_probe = now + CONNECTION_DELAY;
            self.targets.values_mut().for_each(|tracked| tracked.connections.close_idle());
            return;
        }
        self.next_probe = now + PROBE_INTERVAL;
        let Some(Tracked { number, target, connections }) = self.targets.get_mut(&agent) else {
            return;
        };
        let Some((kind, mut gateway)) = target.start_probe(now) else { return };
        let idle = match kind {
            Kind::Path => connections.take(target.window(), now),
            Kind::Check => None,
        };
        if let Some(idle) = &idle {
            gateway = idle.gateway().clone();
        }
        let probe = Probe {
            host: target.plan().host.clone(),
            region: target.plan().region.clone(),
            must_name_itself: target.has_named_itself(&gateway.service),
            // A response after the next window would be about the one before.
            timeout: target.window() * 2,
            gateway: gateway.clone(),
        };
        let (dialer, number) = (self.config.dialer.clone(), *number);
        let handle = self.probes.spawn(async move {
            let (result, connection) = exchange::run(&dialer, &probe, idle).await;
            let connection = connection.filter(|_| kind == Kind::Path);
            Finished { agent, number, gateway, result, connection }
        });
        connections.record_start(handle);
    }

    fn record(&mut self, finished: Finished) {
        let Finished { agent, number, gateway, result, connection } = finished;
        metrics::count_probe(result.map_or_else(Failure::name, |_| "reached"));
        let tracked = self.targets.get_mut(&agent).filter(|tracked| tracked.number == number);
        let Some(tracked) = tracked else { return };
        match result {
            Ok(reached) => {
                tracked.target.record_success(&gateway.service, reached, Instant::now());
            }
            Err(failure) => {
                tracing::trace!(%agent, service = %gateway.service, ?failure, "probe failed");
            }
        }
        if let Some(connection) = connection {
            tracked.connections.keep(connection);
        }
    }
}
