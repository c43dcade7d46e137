//! Who calls whom: two headers on every call, so that a call that reaches the wrong process (an
//! address that was given to another machine, a cluster with the same ports) is refused, not answered.

use meridian_domain::{ClusterId, NodeId};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

const CLUSTER: &str = "meridian-cluster";
const TARGET: &str = "meridian-target";

/// The headers of calls to one node.
#[derive(Clone)]
pub struct Headers {
    cluster: MetadataValue<Ascii>,
    target: MetadataValue<Ascii>,
}

impl Headers {
    /// Of calls within `cluster` to `target`.
    pub fn new(cluster: ClusterId, target: NodeId) -> Self {
        let ascii = |text: String| text.parse().expect("ids are written in ASCII");
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

/// Refuses calls that were meant for another node or cluster.
#[derive(Clone)]
pub struct Check(Headers);

impl Check {
    /// Lets calls to `node` of `cluster` through.
    pub fn new(cluster: ClusterId, node: NodeId) -> Self {
        Self(Headers::new(cluster, node))
    }
}

impl tonic::service::Interceptor for Check {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        for (key, wanted) in [(CLUSTER, &self.0.cluster), (TARGET, &self.0.target)] {
            let found = request.metadata().get(key);
            if found != Some(wanted) {
                let found = found.and_then(|value| value.to_str().ok()).unwrap_or("nothing");
                return Err(Status::failed_precondition(format!(
                    "this node has {key} {}, and the call is for {found}",
                    wanted.to_str().unwrap_or_default(),
                )));
            }
        }
        Ok(request)
    }
}
