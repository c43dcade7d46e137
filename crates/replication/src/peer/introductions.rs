//! Members that moved: each request states the address of its sender, and a new address is believed
//! once the sender was identified there.
//!
//! A member that restarts with another address may be unable to record it in the log: the leader
//! replicates to the old address, and without this member there may be no quorum. It sends requests
//! itself, though, and their receivers dial back. An address is replaced only if the member no
//! longer responds at the current one. If it responds at both, in two processes, the younger one is
//! refused. Neither requests nor identifications are authenticated yet: this protects against
//! mistakes, not against a stranger on the network of the members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, NodeId};
use meridian_proto::v1 as proto;
use meridian_transport::Dialer;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::address_book::AddressBook;
use super::meeting::{PeerInfo, identify};
use super::process_run::IdentifiedRun;

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
    queue: mpsc::Sender<Introduced>,
}

/// Sender of a request, as it states.
struct Introduced {
    node: NodeId,
    address: Address,
    /// Run of its process; `None` if an operator or another member states the address.
    run: Option<Uuid>,
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

    /// Returns the addresses that this node uses, for other members.
    pub(super) fn addresses(&self) -> Vec<proto::MemberAddress> {
        let address = |(node, address): (NodeId, Address)| proto::MemberAddress {
            node: node.0,
            address: address.to_string(),
        };
        self.book.addresses().into_iter().map(address).collect()
    }

    /// Records the addresses that another member uses.
    pub(crate) fn record_addresses(&self, own: NodeId, members: &[proto::MemberAddress]) {
        for member in members.iter().filter(|member| member.node != own.0) {
            self.record(NodeId(member.node), &member.address, None);
        }
    }

    /// Records the sender of a request. Returns the address of an older process with its node id, if
    /// there is one.
    pub(super) fn record(&self, node: NodeId, address: &str, run: Option<Uuid>) -> Option<Address> {
        if self.book.differs(node, address, run)
            && let Ok(address) = Address::new(address)
        {
            // A full queue drops it; the next request repeats it.
            self.queue.try_send(Introduced { node, address, run }).ok();
        }
        self.book.record_request(node, run?)
    }
}

/// Task that verifies introductions by dialing back.
pub(crate) struct Verifier {
    cluster: ClusterId,
    dialer: Dialer,
    book: Arc<AddressBook>,
    timeout: Duration,
    introduced: mpsc::Receiver<Introduced>,
}

impl Verifier {
    /// Runs until all senders are gone.
    pub async fn run(self) {
        let Self { cluster, dialer, book, timeout, introduced } = self;
        // Nodes that are not members are not recorded, so the map is bounded.
        let mut attempts = BTreeMap::new();
        let due = move |source: &Introduced| {
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
    async fn verify(&self, Introduced { node, address, run }: Introduced) {
        let Some(current) = self.book.address(node) else { return };
        let there = self.identify(node, &address);
        if current == address {
            match there.await {
                Ok(peer) => self.record_process(node, address, peer.run, run),
                Err(cause) => tracing::debug!(%node, cause, "a sender was not found"),
            }
            return;
        }
        let (there, here) = tokio::join!(there, self.identify(node, &current));
        match (there, here) {
            (Ok(peer), Err(cause)) => {
                let name = peer.description.name;
                tracing::info!(
                    %name, %node, from = %current, to = %address, cause,
                    "a member moved: it was identified at the address that it stated"
                );
                self.book.record_verified(node, address, peer.run.map(|run| run.id));
            }
            (Ok(there), Ok(here)) => match (there.run, here.run) {
                (Some(there), Some(here)) if there.id != here.id && there.age > here.age => {
                    self.record_process(node, address, Some(there), Some(here.id));
                }
                (there, here) => {
                    self.record_process(node, current, here, there.map(|run| run.id));
                }
            },
            // The process at the current address is another one than the sender, or advertises an
            // address at which it is not found.
            (Err(cause), Ok(_)) if run.is_none() => {
                tracing::debug!(%node, cause, "another member uses an old address");
            }
            (Err(cause), Ok(here)) => {
                tracing::warn!(%node, cause, "a member stated an address at which it was not found");
                self.record_process(node, current, here.run, run);
            }
            (Err(cause), Err(_)) => {
                tracing::debug!(%node, cause, "a member was found at neither address");
            }
        }
    }

    /// Records the process run that was identified at `address`, and another one with the same node
    /// id as its duplicate.
    fn record_process(
        &self,
        node: NodeId,
        address: Address,
        found: Option<IdentifiedRun>,
        other: Option<Uuid>,
    ) {
        let found = found.map(|run| run.id);
        self.book.record_verified(node, address.clone(), found);
        if let Some(other) = other.filter(|other| Some(*other) != found) {
            tracing::warn!(
                %node, %address,
                "two processes run with one node id; the younger one is refused: one of them has a \
                 copy of the other's data directory"
            );
            self.book.record_duplicate(node, other);
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
