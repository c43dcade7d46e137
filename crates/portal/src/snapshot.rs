//! What a page shows, and how current it is.

use std::time::Duration;

use meridian_domain::status::Observations;
use meridian_ports::{Consistency, Ports, observe};
use tokio::time::Instant;

/// Time that a page waits for a majority and for observations: it is useful without them.
const WAIT: Duration = Duration::from_millis(800);

/// How current the state of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// A majority confirmed it for this page.
    Current,
    /// No leader confirmed it in time, although this agent heard from one a moment ago.
    Unconfirmed,
    /// No majority confirms it: it is what this agent has.
    Stale {
        /// Time since this agent last heard from a leader with a majority; `None` if it never did.
        leader_contact: Option<Duration>,
    },
}

/// Reads the state as far as possible, and observes the agents.
pub(crate) async fn take(ports: &Ports) -> (Freshness, Observations) {
    let deadline = Instant::now() + WAIT;
    let read = ports.read.read(Consistency::Linearizable, deadline);
    let (read, observations) = tokio::join!(read, observe::contacts_and_loads(ports, deadline));
    let freshness = match read {
        Ok(_) => Freshness::Current,
        Err(_) => match observations.leader_contact {
            Some(contact) if contact < observations.unreachable_after => Freshness::Unconfirmed,
            leader_contact => Freshness::Stale { leader_contact },
        },
    };
    (freshness, observations)
}
