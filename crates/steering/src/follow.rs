//! Follows the log: drops the answers that its events affect. Without a leader, follows what this
//! agent reaches itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use meridian_domain::event::Subject;
use meridian_domain::{Event, Revision};
use meridian_ports::{History, HistoryError, LocalView, Read};
use tokio::sync::watch;

use crate::hosts::resolution::Resolution;
use crate::view::{Current, View};

/// Events read at once, so that a page is a small allocation.
const PAGE: usize = 256;
/// Maximum number of events to read after a jump, such as a snapshot from another agent. Above it, all
/// answers are dropped, which costs less.
const MAX_EVENTS: u64 = 4_096;

/// Keeps the current view up to date. The cost of a change depends on the change only, unless it
/// concerns the whole cluster or an agent.
pub(crate) struct Follower {
    pub(crate) read: Arc<dyn Read>,
    pub(crate) history: Arc<dyn History>,
    /// Gateways that this agent does not reach itself, while there is no leader.
    pub(crate) local_view: watch::Receiver<LocalView>,
    pub(crate) current: Arc<Current>,
    pub(crate) resolution: Resolution,
    /// Last revision that was followed.
    pub(crate) cursor: Revision,
}

/// Extent of what events affect.
enum Affected {
    /// Services, whose answers are invalidated.
    Services,
    /// Everything.
    Everything,
}

impl Follower {
    /// Follows the log and the local view until they end with their node.
    pub(crate) async fn run(mut self) {
        let mut latest = self.history.latest();
        loop {
            let revision = *latest.borrow_and_update();
            self.catch_up(revision);
            let changed = tokio::select! {
                changed = latest.changed() => changed,
                changed = self.local_view.changed() => {
                    self.replace_view();
                    changed
                }
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn catch_up(&mut self, latest: Revision) {
        let ahead = latest.0.checked_sub(self.cursor.0);
        let affected = match ahead {
            Some(0) => return,
            // The local view is one of the whole state.
            _ if self.local_view.borrow().is_some() => Affected::Everything,
            Some(..=MAX_EVENTS) => self.invalidate(latest).unwrap_or_else(|error| {
                tracing::info!(%error, "cannot read what changed; dropping all DNS answers");
                Affected::Everything
            }),
            // The state of another node was installed, possibly an older one.
            Some(_) | None => Affected::Everything,
        };
        if let Affected::Everything = affected {
            self.replace_view();
        }
        self.cursor = latest;
        self.current.set_revision(latest);
    }

    /// Invalidates the answers about services that the events up to `latest` affect.
    fn invalidate(&self, latest: Revision) -> Result<Affected, HistoryError> {
        let view = self.current.view();
        let mut next = self.cursor.next();
        while next <= latest {
            let events = self.history.events(next, PAGE)?;
            for record in &events {
                match record.event.subject() {
                    Subject::Cluster if !affects_responses(&record.event) => {}
                    Subject::Cluster | Subject::Agent(_) => return Ok(Affected::Everything),
                    Subject::Service(service) | Subject::Units(service) => {
                        view.answers.invalidate(service);
                    }
                    Subject::Unit(unit) => view.answers.invalidate(&unit.service),
                }
            }
            // The events were announced, so there is at least one.
            let Some(last) = events.last() else { return Ok(Affected::Everything) };
            next = last.revision.next();
        }
        Ok(Affected::Services)
    }

    /// Drops all answers, and takes over the settings and the hosts of the current state.
    pub(crate) fn replace_view(&mut self) {
        let local_view = self.local_view.borrow_and_update().clone();
        let (view, hosts) = {
            let state = self.read.state();
            let hosts = state.agents.values().map(|agent| agent.description.gateway_host.clone());
            (View::of(&state, &local_view), hosts.collect::<BTreeSet<_>>())
        };
        let zone = view.zone.as_ref().map(|zone| &zone.name);
        self.resolution.set(zone, &hosts);
        self.current.replace(view);
    }
}

/// Returns true unless an event about the cluster certainly affects no response.
fn affects_responses(event: &Event) -> bool {
    !matches!(
        event,
        Event::DataVersionRaised { .. }
            | Event::LimitsSet { .. }
            | Event::HistoryTrimmed { .. }
            | Event::ClusterRecovered { .. }
    )
}
