//! Identity of the intended receiver and of the sender, in headers on every request, and the epoch of
//! the sender. A request that reaches the wrong process (the address was reassigned to another
//! machine, or another cluster uses the same ports), or one of another epoch, is rejected. The
//! sender's address is only a hint, because it may have moved (see
//! [`introductions`](super::introductions)).

use meridian_domain::NodeId;
use meridian_domain::agent::Address;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};
use uuid::Uuid;

use super::epoch::{self, ClusterEpoch};
use super::introductions::Introductions;

const CLUSTER: &str = "meridian-cluster";
const TARGET: &str = "meridian-target";
const SOURCE: &str = "meridian-source";
const SOURCE_ADDRESS: &str = "meridian-source-address";
const SOURCE_RUN: &str = "meridian-source-run";
/// Header of a refusal: the address of an older process with the sender's node id.
pub(super) const DUPLICATE: &str = "meridian-duplicate";

/// Sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Node that sends the request.
    pub node: NodeId,
    /// Peer address that it advertises.
    pub address: Address,
    /// Run of its process.
    pub run: Uuid,
}

/// Headers of requests to one node.
#[derive(Clone)]
pub struct Headers {
    cluster: MetadataValue<Ascii>,
    target: MetadataValue<Ascii>,
    source: MetadataValue<Ascii>,
    source_address: MetadataValue<Ascii>,
    source_run: MetadataValue<Ascii>,
    epoch: ClusterEpoch,
}

impl Headers {
    /// Creates the headers of requests from `source`, in the epoch of this node, to node `target` of
    /// the cluster.
    pub fn new(cluster: &ClusterEpoch, target: NodeId, source: &Source) -> Self {
        Self {
            cluster: ascii(cluster.cluster().to_string()),
            target: ascii(target.to_string()),
            source: ascii(source.node.0.to_string()),
            source_address: ascii(source.address.to_string()),
            source_run: ascii(source.run.to_string()),
            epoch: cluster.clone(),
        }
    }

    /// Returns the cluster and the epoch of this node.
    pub fn epoch(&self) -> &ClusterEpoch {
        &self.epoch
    }
}

fn ascii(text: String) -> MetadataValue<Ascii> {
    text.parse().expect("ids and addresses are ASCII")
}

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.epoch.check_current()?;
        request.metadata_mut().insert(epoch::EPOCH, epoch::header(self.epoch.epoch()));
        request.metadata_mut().insert(CLUSTER, self.cluster.clone());
        request.metadata_mut().insert(TARGET, self.target.clone());
        request.metadata_mut().insert(SOURCE, self.source.clone());
        request.metadata_mut().insert(SOURCE_ADDRESS, self.source_address.clone());
        request.metadata_mut().insert(SOURCE_RUN, self.source_run.clone());
        Ok(request)
    }
}

/// Rejects requests that are intended for another node or cluster, or of another epoch, and records
/// the senders of the others.
#[derive(Clone)]
pub struct Check {
    cluster: MetadataValue<Ascii>,
    node: MetadataValue<Ascii>,
    epoch: ClusterEpoch,
    introductions: Introductions,
}

impl Check {
    /// Accepts requests to `node` of the cluster, in the epoch of this node.
    pub fn new(epoch: &ClusterEpoch, node: NodeId, introductions: Introductions) -> Self {
        let (cluster, node) = (ascii(epoch.cluster().to_string()), ascii(node.to_string()));
        Self { cluster, node, epoch: epoch.clone(), introductions }
    }
}

impl tonic::service::Interceptor for Check {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata();
        for (key, expected) in [(CLUSTER, &self.cluster), (TARGET, &self.node)] {
            let found = headers.get(key);
            if found != Some(expected) {
                let found = found.and_then(|value| value.to_str().ok()).unwrap_or("nothing");
                return Err(Status::failed_precondition(format!(
                    "{key} mismatch: this node has {}, the request has {found}",
                    expected.to_str().unwrap_or_default(),
                )));
            }
        }
        self.epoch.check_request(headers)?;
        let node = text(headers, SOURCE).and_then(|node| node.parse().ok());
        let run = text(headers, SOURCE_RUN).and_then(|run| run.parse().ok());
        if let (Some(node), Some(run), Some(address)) = (node, run, text(headers, SOURCE_ADDRESS))
            && let Some(older) = self.introductions.record(NodeId(node), address, Some(run))
        {
            return Err(duplicate(&older));
        }
        Ok(request)
    }
}

fn duplicate(older: &Address) -> Status {
    let mut status = Status::failed_precondition(format!(
        "an older process runs as the sender's node at {older}: one of them has a copy of the other's \
         data directory"
    ));
    status.metadata_mut().insert(DUPLICATE, ascii(older.to_string()));
    status
}

fn text<'a>(headers: &'a MetadataMap, key: &str) -> Option<&'a str> {
    headers.get(key).and_then(|value| value.to_str().ok())
}
