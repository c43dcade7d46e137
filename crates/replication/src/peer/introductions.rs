//! Members that moved: each request states the address of its sender, and a new address is believed
//! once the sender was identified there.
//!
//! A member that restarts with another address may be unable to record it in the log: the leader
//! replicates to the old address, and without this member there may be no quorum. It sends requests
//! itself, though, and their receivers dial back. An address is replaced only if the member no
//! longer responds at the current one, so a request cannot divert the traffic of a member that is
//! where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, NodeId};
use meridian_transport::Dialer;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::address_book::AddressBook;
use super::identity::Source;
use super::meeting::{PeerInfo, identify};

/// Maximum number of queued introductions. Further ones are dropped: every request repeats its
/// sender's.
const QUEUE: usize = 64;
/// Maximum number of members that are identified concurrently.
const CONCURRENT: usize = 16;
/// Minimum interval between attempts to identify one member.
const INTERVAL: Duration = Duration::from_secs(1);

/// Receives the senders of requests that state an unknown address. Cheap to clone.
#[derive(Clone)]
pub struct Introductions {
    book: Arc<AddressBook>,
    queue: mpsc::Sender<Source>,
}

impl Introductions {
    /// Creates the queue, and the task that verifies what is recorded. `timeout` applies to each
    /// dial and to each request of the verifier separately.
    pub(crate) fn new(
        cluster: ClusterId,
        book: Arc<AddressBook>,
        dialer: Dialer,
        timeout: Duration,
    ) -> (Self, Verifier) {
        let (queue, introduced) = mpsc::channel(QUEUE);
        let verifier = Verifier { cluster, dialer, book: Arc::clone(&book), timeout, introduced };
        (Self { book, queue }, verifier)
    }

    /// Records the sender of a request.
    pub(super) fn record(&self, node: NodeId, address: &str) {
        if self.book.differs(node, address)
            && let Ok(address) = Address::new(address)
        {
            // A full queue drops it; the next request repeats it.
            self.queue.try_send(Source { node, address }).ok();
        }
    }
}

/// Task that verifies introductions by dialing back.
pub(crate) struct Verifier {
    cluster: ClusterId,
    dialer: Dialer,
    book: Arc<AddressBook>,
    timeout: Duration,
    introduced: mpsc::Receiver<Source>,
}

impl Verifier {
    /// Runs until all senders are gone.
    pub async fn run(self) {
        let Self { cluster, dialer, book, timeout, introduced } = self;
        // Nodes that are not members are not recorded, so the map is bounded.
        let mut attempts = BTreeMap::new();
        let due = move |source: &Source| {
            let now = Instant::now();
            attempts.retain(|_, at| now.duration_since(*at) < INTERVAL);
            let is_due = !attempts.contains_key(&source.node);
            attempts.entry(source.node).or_insert(now);
            std::future::ready(is_due)
        };
        let dial_back = DialBack { cluster, dialer, book, timeout };
        ReceiverStream::new(introduced)
            .filter(due)
            .for_each_concurrent(CONCURRENT, async |source| dial_back.verify(source).await)
            .await;
    }
}

struct DialBack {
    cluster: ClusterId,
    dialer: Dialer,
    book: Arc<AddressBook>,
    timeout: Duration,
}

impl DialBack {
    async fn verify(&self, Source { node, address }: Source) {
        let Some(current) = self.book.address(node).filter(|current| *current != address) else {
            return;
        };
        let there = self.identify(node, &address);
        let (there, here) = tokio::join!(there, self.identify(node, &current));
        match (there, here) {
            (Ok(_), Ok(_)) => {
                tracing::debug!(%node, %current, %address, "two addresses of a member")
            }
            (Ok(peer), Err(cause)) => {
                let name = peer.description.name;
                tracing::info!(
                    %name, %node, from = %current, to = %address, cause,
                    "a member moved: it was identified at the address that it stated"
                );
                self.book.record_verified(node, address);
            }
            (Err(cause), _) => {
                tracing::warn!(%node, cause, "a member stated an address at which it was not found");
            }
        }
    }

    async fn identify(&self, node: NodeId, address: &Address) -> Result<PeerInfo, String> {
        identify_as(&self.dialer, address, self.timeout, self.cluster, node).await
    }
}

/// Identifies the agent at `address`, which must be `node` of `cluster`. `timeout` applies to the
/// connection and to the request separately.
///
/// # Errors
/// A message with the address and the cause.
pub(crate) async fn identify_as(
    dialer: &Dialer,
    address: &Address,
    timeout: Duration,
    cluster: ClusterId,
    node: NodeId,
) -> Result<PeerInfo, String> {
    let peer = identify(dialer, address, timeout).await?;
    let AgentDescription { node: found, name, .. } = &peer.description;
    if *found != node {
        return Err(format!("{address} is another agent: {name} ({found})"));
    }
    match peer.cluster {
        Some(other) if other != cluster => {
            Err(format!("{address}: {name} belongs to another cluster: {other}"))
        }
        Some(_) => Ok(peer),
        None => Err(format!("{address}: {name} belongs to no cluster")),
    }
}
