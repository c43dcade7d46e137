//! Identity of the intended receiver, in two headers on every request. A request that reaches the
//! wrong process (the address was reassigned to another machine, or another cluster uses the same
//! ports) is rejected.

use meridian_domain::{ClusterId, NodeId};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

const CLUSTER: &str = "meridian-cluster";
const TARGET: &str = "meridian-target";

/// Headers of requests to one node.
#[derive(Clone)]
pub struct Headers {
    cluster: MetadataValue<Ascii>,
    target: MetadataValue<Ascii>,
}

impl Headers {
    /// Creates the headers of requests to node `target` of `cluster`.
    pub fn new(cluster: ClusterId, target: NodeId) -> Self {
        let ascii = |text: String| text.parse().expect("ids are ASCII");
        Self { cluster: ascii(cluster.to_string()), target: ascii(target.to_string()) }
    }
}

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(CLUSTER, self.cluster.clone());
        request.metadata_mut().insert(TARGET, self.target.clone());
        Ok(request)
    }
}

/// Rejects requests that are intended for another node or cluster.
#[derive(Clone)]
pub struct Check(Headers);

impl Check {
    /// Accepts requests to `node` of `cluster`.
    pub fn new(cluster: ClusterId, node: NodeId) -> Self {
        Self(Headers::new(cluster, node))
    }
}

impl tonic::service::Interceptor for Check {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        for (key, expected) in [(CLUSTER, &self.0.cluster), (TARGET, &self.0.target)] {
            let found = request.metadata().get(key);
            if found != Some(expected) {
                let found = found.and_then(|value| value.to_str().ok()).unwrap_or("nothing");
                return Err(Status::failed_precondition(format!(
                    "{key} mismatch: this node has {}, the request has {found}",
                    expected.to_str().unwrap_or_default(),
                )));
            }
        }
        Ok(request)
    }
}
