//! Connections to the other members: one for each member and [`Lane`].
//!
//! A connection is dialed in a task of its own, because the request that needs it may be cancelled
//! long before: openraft cancels a heartbeat or a vote request after a fraction of an election
//! timeout, and a dial that was cancelled with it would start over each time. A connection is
//! replaced when its member's address changes, after an error, and when it stays silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use meridian_domain::NodeId;
use meridian_domain::agent::Address;
use meridian_proto::v1::peer_client::PeerClient;
use meridian_transport::{Dialer, settings};
use tokio::time::Instant;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::address_book::AddressBook;
use super::epoch::{ClusterEpoch, ObserveEpoch};
use super::identity::{Headers, Source};

/// Maximum size of a message between agents in bytes: far above the entries of an append, which the
/// log store limits to 1 MiB or one entry, and one part of a snapshot.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Client that adds the identity headers to every request.
pub type Client = PeerClient<ObserveEpoch<InterceptedService<Channel, Headers>>>;

/// Kind of traffic. Each has its own connections, so that entries or a snapshot on a slow link delay
/// neither heartbeats nor responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Heartbeats, votes and leadership transfers.
    Control,
    /// Log entries.
    Append,
    /// Snapshots.
    Snapshot,
    /// Forwarded commands, reads and status requests.
    Request,
}

/// Configuration of a [`Pool`].
pub(crate) struct PoolConfig {
    pub cluster: ClusterEpoch,
    /// This node, as it introduces itself.
    pub source: Source,
    pub dialer: Dialer,
    pub book: Arc<AddressBook>,
    /// Timeout of a dial.
    pub connect_timeout: Duration,
    /// Silence of a connection with a request in flight after which it is replaced: retransmissions
    /// after a network outage may wait for minutes.
    pub stalled_after: Duration,
}

/// Connections of this node.
pub struct Pool {
    config: PoolConfig,
    slots: Mutex<BTreeMap<(NodeId, Lane), Slot>>,
    last_number: AtomicU64,
}

/// A connection that is open or being dialed.
struct Slot {
    number: u64,
    address: Address,
    client: Shared<BoxFuture<'static, Result<Client, String>>>,
    activity: Arc<Activity>,
}

/// Tracks whether a connection responds.
#[derive(Debug, Default)]
struct Activity {
    /// Time of the first request since the last response.
    waiting_since: Mutex<Option<Instant>>,
}

/// An open connection.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    number: u64,
    activity: Arc<Activity>,
}

impl Connection {
    /// Returns the number of the connection, which is unique in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Records that a request is sent, whose response is expected promptly.
    pub fn record_request(&self) {
        self.activity.waiting_since().get_or_insert_with(Instant::now);
    }

    /// Records a response.
    pub fn record_response(&self) {
        *self.activity.waiting_since() = None;
    }
}

impl Activity {
    fn waiting_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waiting_since.lock().expect("no holder of this lock panics")
    }

    fn is_stalled(&self, after: Duration) -> bool {
        self.waiting_since().is_some_and(|since| since.elapsed() >= after)
    }
}

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self { config, slots: Mutex::default(), last_number: AtomicU64::new(0) }
    }

    pub(crate) fn book(&self) -> &AddressBook {
        &self.config.book
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.config.dialer
    }

    /// Returns the open connection to `node`, or dials one. Cancel-safe: the dial continues, and the
    /// next call finds its connection.
    ///
    /// # Errors
    /// The cause, with the address; nothing was sent.
    pub async fn connection(&self, node: NodeId, lane: Lane) -> Result<Connection, String> {
        let (number, activity, client) = {
            let address = self.config.book.address(node);
            let address = address.ok_or_else(|| format!("{node} is not a member"))?;
            let mut slots = self.slots();
            let usable = |slot: &Slot| self.is_usable(slot, &address);
            if !slots.get(&(node, lane)).is_some_and(usable) {
                slots.insert((node, lane), self.dial(node, &address));
            }
            let slot = &slots[&(node, lane)];
            (slot.number, Arc::clone(&slot.activity), slot.client.clone())
        };
        client.await.map(|client| Connection { client, number, activity })
    }

    /// Starts to dial `node` unless there is a connection.
    pub(crate) fn warm(&self, node: NodeId, lane: Lane) {
        // The first poll starts the dial, which continues.
        let _ = self.connection(node, lane).now_or_never();
    }

    /// Removes a connection after an error.
    pub fn discard(&self, node: NodeId, lane: Lane, connection: &Connection) {
        let mut slots = self.slots();
        if slots.get(&(node, lane)).is_some_and(|slot| slot.number == connection.number) {
            slots.remove(&(node, lane));
        }
    }

    /// Removes the connections to nodes that are not among `members`.
    pub(crate) fn retain(&self, members: &BTreeSet<NodeId>) {
        self.slots().retain(|(node, _), _| members.contains(node));
    }

    fn is_usable(&self, slot: &Slot, address: &Address) -> bool {
        slot.address == *address
            && !matches!(slot.client.peek(), Some(Err(_)))
            && !slot.activity.is_stalled(self.config.stalled_after)
    }

    fn dial(&self, node: NodeId, address: &Address) -> Slot {
        let PoolConfig { cluster, source, dialer, connect_timeout, .. } = &self.config;
        let headers = Headers::new(cluster, node, source);
        let (dialer, limit, to) = (dialer.clone(), *connect_timeout, address.clone());
        let dial = async move {
            let channel = meridian_transport::connect(&dialer, &to, &settings::PEER, limit).await;
            let channel = channel.map_err(|error| format!("{to} is unreachable: {error}"))?;
            let epoch = headers.epoch().clone();
            Ok(PeerClient::new(ObserveEpoch::new(InterceptedService::new(channel, headers), epoch))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES))
        };
        let client = dial.boxed().shared();
        tokio::spawn(client.clone());
        let number = self.last_number.fetch_add(1, Ordering::Relaxed);
        Slot { number, address: address.clone(), client, activity: Arc::default() }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<(NodeId, Lane), Slot>> {
        self.slots.lock().expect("no holder of this lock panics")
    }
}
