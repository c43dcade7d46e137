//! Schedule and results of the probes of one agent's gateways.
//!
//! Two kinds of probes share a target. *Path probes* go to all of its ports in turn, and show whether
//! the agent's gateways are reachable at all. As long as the agent responds to the leader, its report
//! says which of its units serve, and that is enough. *Checks* show it for single services: once the
//! agent is silent, or until a lost service is found. A check probes one service until one probe
//! succeeds, or all fail throughout a window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_domain::ServiceName;
use meridian_domain::reachability::Gateways;
use meridian_domain::reachability::votes::{Observed, Reach};
use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use super::plan::{Plan, Purpose};
use super::probe::Gateway;
use super::response::Reached;
use super::streak::{MIN_STARTED, Streak};

/// Maximum number of concurrent checks: with the path probes, eight ports are probed at a time.
const MAX_CHECKS: u32 = 7;
/// Interval between checks of one service. With so many services that the checks take longer, they
/// follow each other without a pause.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Factor by which probes for the local view are slower: they decide nothing, and every agent starts
/// them at once.
const LOCAL_VIEW_FACTOR: u32 = 6;

/// Schedule and results of the probes of one agent's gateways.
#[derive(Debug)]
pub(super) struct Target {
    plan: Plan,
    window: Duration,
    /// Ports in random order, so that neighboring ones share no fate.
    order: Vec<Gateway>,
    /// Index of the port that is probed next.
    next: usize,
    path: Streak,
    next_path_probe: Instant,
    /// True while the agent does not respond to the leader.
    is_silent: bool,
    checks: BTreeMap<ServiceName, Check>,
    /// Earliest start of the next probe of a check, so that checks send no more probes when all
    /// succeed at once than when none does.
    next_check_probe: Instant,
    /// Services whose gateways have named themselves.
    named: BTreeSet<ServiceName>,
}

/// Purpose of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Shows whether the agent's gateways are reachable. Any of them will do.
    Path,
    /// Shows whether those of one service are reachable.
    Check,
}

/// Check of one service.
#[derive(Debug)]
struct Check {
    /// Result of the last one.
    reach: Option<Reach>,
    /// Start of the next one, unless one is in progress.
    due: Instant,
    in_progress: Option<InProgress>,
}

#[derive(Debug)]
struct InProgress {
    streak: Streak,
    next_probe: Instant,
    /// Number of probes so far, which take turns among the ports of the service.
    probes: usize,
}

impl Target {
    /// Creates a target. `window` is that of votes.
    pub(super) fn new(plan: Plan, window: Duration, now: Instant) -> Self {
        let factor = match plan.purpose {
            Purpose::Vote => 1,
            Purpose::LocalView => LOCAL_VIEW_FACTOR,
        };
        let mut target = Self {
            plan,
            window: window * factor,
            order: Vec::new(),
            next: 0,
            path: Streak::new(now),
            next_path_probe: now,
            is_silent: false,
            checks: BTreeMap::new(),
            next_check_probe: now,
            named: BTreeSet::new(),
        };
        target.shuffle();
        target.select_checks(now);
        target
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Window in which all probes must fail.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Adopts a new plan. Returns false if the results so far say nothing about it.
    pub(super) fn adopt(&mut self, plan: &Plan, now: Instant) -> bool {
        let Plan { node, generation, host, region, ports, lost: _, purpose } = plan;
        let is_same_process = (node, generation) == (&self.plan.node, &self.plan.generation);
        let is_same_place = (host, region) == (&self.plan.host, &self.plan.region);
        if !is_same_process || !is_same_place || *purpose != self.plan.purpose {
            return false;
        }
        if *plan != self.plan {
            let moved = *ports != self.plan.ports;
            self.plan = plan.clone();
            if moved {
                self.shuffle();
            }
            self.select_checks(now);
        }
        true
    }

    /// Records whether the agent responds to the leader.
    pub(super) fn set_silent(&mut self, is_silent: bool, now: Instant) {
        if is_silent != self.is_silent {
            self.is_silent = is_silent;
            self.select_checks(now);
        }
    }

    /// Forgets unfinished windows, because this agent did not run for a part of them.
    pub(super) fn restart_windows(&mut self, now: Instant) {
        self.path = Streak::new(now);
        self.next_path_probe = now;
        self.checks.values_mut().for_each(|check| check.in_progress = None);
    }

    /// Returns the time at which the next probe is due.
    pub(super) fn next_due(&self, now: Instant) -> Instant {
        if self.is_path_broken(now) {
            return self.next_path_probe;
        }
        let may_begin = self.in_progress() < MAX_CHECKS;
        let due = self.checks.values().filter_map(|check| match &check.in_progress {
            Some(in_progress) => Some(in_progress.next_probe),
            None => may_begin.then_some(check.due),
        });
        let check = due.min().map(|due| due.max(self.next_check_probe));
        check.map_or(self.next_path_probe, |due| due.min(self.next_path_probe))
    }

    /// Returns the gateway to be probed now, if one is due, and records the start of the probe.
    pub(super) fn start_probe(&mut self, now: Instant) -> Option<(Kind, Gateway)> {
        let pace = self.pace();
        if self.next_path_probe <= now {
            self.next_path_probe = (self.next_path_probe + pace).max(now);
            self.path.record_start();
            self.next = (self.next + 1) % self.order.len();
            return Some((Kind::Path, self.order[self.next].clone()));
        }
        if self.is_path_broken(now) || now < self.next_check_probe {
            return None;
        }
        let is_due = |check: &InProgress| check.next_probe <= now;
        // Checks in progress come first, so that each gets enough probes in its window.
        if !self.checks.values().filter_map(|it| it.in_progress.as_ref()).any(is_due) {
            self.begin_check(now);
        }
        let checks = self.checks.iter_mut().filter_map(|(service, check)| {
            Some((service, check.in_progress.as_mut().filter(|check| is_due(check))?))
        });
        let (service, check) = checks.min_by_key(|(_, check)| check.next_probe)?;
        check.next_probe = (check.next_probe + pace).max(now);
        check.streak.record_start();
        check.probes += 1;
        self.next_check_probe = now + pace / MAX_CHECKS;
        let ports = self.plan.ports.get(service)?;
        let port = *ports.iter().nth(check.probes % ports.len())?;
        Some((Kind::Check, Gateway { service: service.clone(), port }))
    }

    /// Returns true if a gateway of the service has named itself in response to a probe.
    pub(super) fn has_named_itself(&self, service: &ServiceName) -> bool {
        self.named.contains(service)
    }

    /// Records the success of a probe.
    pub(super) fn record_success(&mut self, service: &ServiceName, reached: Reached, now: Instant) {
        self.path.record_success(now);
        if reached.names_itself && !self.named.contains(service) {
            self.named.insert(service.clone());
        }
        if let Some(check) = self.checks.get_mut(service) {
            check.complete(Reach::Reached, now);
        }
    }

    /// Completes the checks whose window has passed.
    pub(super) fn complete_checks(&mut self, now: Instant) {
        let (window, is_path_broken) = (self.window, self.is_path_broken(now));
        for check in self.checks.values_mut() {
            if is_path_broken {
                // It would show only what the path probes show.
                check.in_progress = None;
                continue;
            }
            let in_progress = check.in_progress.as_ref();
            let reach = in_progress.and_then(|check| check.streak.reach(window, now));
            if let Some(reach) = reach {
                check.complete(reach, now);
            }
        }
    }

    /// Returns what differs from the normal case; `None` if nothing does.
    pub(super) fn observed(&self, now: Instant) -> Option<Observed> {
        let mut gateways = BTreeMap::new();
        match self.path.reach(self.window, now)? {
            Reach::Unreachable => {
                gateways.insert(Gateways::All, Reach::Unreachable);
            }
            Reach::Reached => {
                if self.plan.lost.contains(&Gateways::All) {
                    gateways.insert(Gateways::All, Reach::Reached);
                }
                for (service, check) in &self.checks {
                    let service = Gateways::Of(service.clone());
                    let is_lost = self.plan.lost.contains(&service);
                    if let Some(reach) = check.reach
                        && (is_lost || reach == Reach::Unreachable)
                    {
                        gateways.insert(service, reach);
                    }
                }
            }
        }
        (!gateways.is_empty()).then_some(Observed { generation: self.plan.generation, gateways })
    }

    /// Interval between probes of one kind: one more in a window than a vote needs.
    fn pace(&self) -> Duration {
        self.window / (MIN_STARTED + 1)
    }

    /// Returns true if no gateway was reached throughout the last window.
    fn is_path_broken(&self, now: Instant) -> bool {
        self.path.reach(self.window, now) != Some(Reach::Reached)
    }

    fn in_progress(&self) -> u32 {
        self.checks.values().map(|check| u32::from(check.in_progress.is_some())).sum()
    }

    /// Begins the check that is due for the longest time, if there is one.
    fn begin_check(&mut self, now: Instant) {
        if self.in_progress() >= MAX_CHECKS {
            return;
        }
        let waiting =
            self.checks.values_mut().filter(|it| it.in_progress.is_none() && it.due <= now);
        if let Some(check) = waiting.min_by_key(|check| check.due) {
            let streak = Streak::new(now);
            check.in_progress = Some(InProgress { streak, next_probe: now, probes: 0 });
        }
    }

    /// Selects the services that are checked.
    fn select_checks(&mut self, now: Instant) {
        let Self { plan, is_silent, checks, .. } = self;
        let is_checked = |service: &ServiceName| {
            plan.ports.contains_key(service)
                && (*is_silent || plan.lost.contains(&Gateways::Of(service.clone())))
        };
        checks.retain(|service, _| is_checked(service));
        for service in plan.ports.keys().filter(|service| is_checked(service)) {
            let new = || Check { reach: None, due: now, in_progress: None };
            checks.entry(service.clone()).or_insert_with(new);
        }
    }

    fn shuffle(&mut self) {
        let ports = self.plan.ports.iter().flat_map(|(service, ports)| {
            ports.iter().map(|port| Gateway { service: service.clone(), port: *port })
        });
        self.order = ports.collect();
        self.order.shuffle(&mut rand::rng());
        self.next = 0;
    }
}

impl Check {
    fn complete(&mut self, reach: Reach, now: Instant) {
        self.reach = Some(reach);
        self.due = now + CHECK_INTERVAL;
        self.in_progress = None;
    }
}

#[cfg(test)]
mod tests;
