//! Readiness of the agents of a new or restarted cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_domain::AgentName;
use meridian_domain::agent::Address;
use meridian_proto::v1::ListServicesRequest;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_transport::{Dialer, settings};
use tokio::time::{Instant, sleep, timeout};
use tonic::Request;
use tonic::transport::Channel;

use super::cluster::Exited;

/// Timeout of one request to one agent.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between rounds.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Timeout for the first agent, which includes elections and the replay of a long log.
const FIRST_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout for the other agents once one is ready.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(15);

/// Contents of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Newest revision.
    pub revision: u64,
    /// Number of services.
    pub services: usize,
    /// Regions of all services.
    pub regions: BTreeSet<String>,
}

/// A cluster that is ready for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Contents at the time when it became ready.
    pub contents: Contents,
    /// Agents that are not ready yet.
    pub missing: Vec<AgentName>,
}

/// Waits until all agents complete a linearizable read. Does not wait for agents that have exited, and
/// only a limited time for the others once one is ready. Cancel-safe.
///
/// # Errors
/// The last error of each agent, if none is ready in time.
pub async fn wait(
    agents: &[(AgentName, Address)],
    exited: &Exited,
) -> Result<Ready, Vec<(AgentName, String)>> {
    let mut deadline = Instant::now() + FIRST_TIMEOUT;
    let mut waiting: BTreeSet<_> = agents.iter().map(|(name, _)| name.clone()).collect();
    let mut first = None;
    loop {
        let mut errors = Vec::new();
        for (name, address) in agents {
            if !waiting.contains(name) {
                continue;
            }
            match read(address).await {
                Ok(contents) => {
                    waiting.remove(name);
                    if first.is_none() {
                        first = Some(contents);
                        deadline = Instant::now() + OTHERS_TIMEOUT;
                    }
                }
                Err(error) => errors.push((name.clone(), error)),
            }
        }
        match &first {
            Some(contents)
                if waiting.iter().all(|name| exited.contains(name))
                    || Instant::now() >= deadline =>
            {
                let contents = contents.clone();
                return Ok(Ready { contents, missing: waiting.into_iter().collect() });
            }
            None if Instant::now() >= deadline => return Err(errors),
            Some(_) | None => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Reads the contents through one agent; needs a quorum.
async fn read(address: &Address) -> Result<Contents, String> {
    let reading = async {
        let mut client = ServicesClient::new(connect(address).await?);
        let mut request = Request::new(ListServicesRequest::default());
        request.set_timeout(REQUEST_TIMEOUT);
        let response = client.list_services(request).await;
        let response = response.map_err(|status| status.message().to_owned())?.into_inner();
        match response.read_point.map_or(0, |point| point.revision) {
            0 => Err("the cluster is not bootstrapped yet".to_owned()),
            revision => {
                let services = response.services;
                let regions = services.iter().flat_map(|service| service.regions.clone()).collect();
                Ok(Contents { revision, services: services.len(), regions })
            }
        }
    };
    timeout(REQUEST_TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| Err(format!("no response within {REQUEST_TIMEOUT:?}")))
}

/// Connects to one agent.
pub async fn connect(address: &Address) -> Result<Channel, String> {
    meridian_transport::connect(&Dialer::default(), address, &settings::CLIENT, REQUEST_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}
