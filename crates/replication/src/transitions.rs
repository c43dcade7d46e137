//! Logs each change of role, leader, quorum and reachability once, at the agents concerned.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_domain::NodeId;
use meridian_ports::Leadership;
use meridian_storage::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::contact::ContactTracker;
use crate::members::agent_name;

/// Interval between checks of the contacts. A change of the leader is noticed at once.
const INTERVAL: Duration = Duration::from_millis(500);

/// Task that logs the changes.
pub(crate) struct Transitions {
    pub store: Store,
    pub contact: ContactTracker,
    pub leadership: watch::Receiver<Leadership>,
    /// Silence after which a member counts as unreachable.
    pub silence: Duration,
}

/// State of the cluster as seen by this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct View {
    leadership: Leadership,
    contact: Contact,
    /// Members that do not respond to this node, the leader.
    unreachable: BTreeSet<NodeId>,
}

/// Contact with a leader; on the leader, with a majority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Contact {
    /// Not yet, shortly after the start or an election.
    #[default]
    Pending,
    Established,
    Lost,
}

impl Transitions {
    /// Runs until aborted.
    pub async fn run(mut self) {
        let (mut logged, mut since) = (View::default(), Instant::now());
        loop {
            if logged.leadership != *self.leadership.borrow() {
                since = Instant::now();
            }
            let view = self.view(since);
            self.log(&logged, &view);
            logged = view;
            // An error means that the node stops.
            if let Ok(Err(_)) = timeout(INTERVAL, self.leadership.changed()).await {
                sleep(INTERVAL).await;
            }
        }
    }

    /// Returns the current state. The leadership is unchanged `since` then.
    fn view(&self, since: Instant) -> View {
        let contact = match self.contact.since_leader_contact() {
            Some(age) if age < self.silence => Contact::Established,
            Some(_) | None if since.elapsed() < self.silence => Contact::Pending,
            Some(_) | None => Contact::Lost,
        };
        let members = self.contact.members().unwrap_or_default();
        let silent = members.into_iter().filter(|(_, contact)| contact.silence() >= self.silence);
        View {
            leadership: *self.leadership.borrow(),
            contact,
            unreachable: silent.map(|(node, _)| node).collect(),
        }
    }

    fn log(&self, before: &View, now: &View) {
        if before.leadership != now.leadership {
            match now.leadership {
                Leadership::Leader { term, .. } => tracing::info!(term, "this agent leads"),
                Leadership::Follower { leader } => {
                    tracing::info!(leader = agent_name(&self.store, leader), "following a leader");
                }
                Leadership::Unknown => tracing::warn!("no leader is known"),
            }
        }
        self.log_contact(before.contact, now);
        // The members of a term that just began are not known to be reachable yet.
        if before.leadership == now.leadership {
            for node in now.unreachable.difference(&before.unreachable) {
                tracing::warn!(agent = agent_name(&self.store, *node), silence = ?self.silence, "an agent is unreachable");
            }
            for node in before.unreachable.difference(&now.unreachable) {
                tracing::info!(
                    agent = agent_name(&self.store, *node),
                    "an agent is reachable again"
                );
            }
        }
    }

    fn log_contact(&self, before: Contact, now: &View) {
        if before == now.contact
            || (before, now.contact) == (Contact::Pending, Contact::Established)
        {
            return;
        }
        let (silence, leads) = (self.silence, matches!(now.leadership, Leadership::Leader { .. }));
        match (now.contact, leads) {
            (Contact::Lost, true) => tracing::warn!(
                ?silence,
                "no quorum: a majority of the voters does not respond; changes are refused, the \
                 units keep serving"
            ),
            (Contact::Lost, false) => tracing::warn!(
                ?silence,
                "no contact with a leader; changes are refused, the units keep serving"
            ),
            (Contact::Established, true) => tracing::info!("a majority of the voters responds"),
            (Contact::Established, false) => tracing::info!("in contact with the leader"),
            (Contact::Pending, _) => {}
        }
    }
}
