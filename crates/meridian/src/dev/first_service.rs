//! The first service of a new cluster: `contoso`, with the echo API, and the DNS zone in which clients
//! find it.

use meridian_domain::agent::Address;
use meridian_domain::{AgentName, RegionName};
use meridian_proto::v1::routing_client::RoutingClient;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_proto::v1::{
    Api, ChangeContext, ChangeServiceRequest, CreateServiceRequest, DnsSettings, Edit,
    SetDnsRequest, edit,
};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::echo;
use super::ready::{REQUEST_TIMEOUT, connect};
use crate::client::actor;

/// Name of the service.
const SERVICE: &str = "contoso";
/// DNS zone of a development cluster. `test` is reserved for tests (RFC 6761).
pub const ZONE: &str = "meridian.test";
/// Tier of the service: the one that allows several regions.
const TIER: &str = "premium";

/// Creates the service, publishes its API with this backend, and sets the zone. Each change is sent to one agent after
/// another under one request id. Does nothing if both exist.
///
/// # Errors
/// The error of the last agent.
pub async fn create(
    agents: &[(AgentName, Address)],
    primary: &RegionName,
    backend: &str,
) -> Result<(), String> {
    let create = CreateServiceRequest {
        context: Some(context()),
        service: SERVICE.to_owned(),
        tier: TIER.to_owned(),
        primary: primary.to_string(),
        port: None,
        when_disabled: None,
    };
    send(agents, async |channel| {
        let mut client = ServicesClient::new(channel);
        client.create_service(request(create.clone())).await.map(|_| ())
    })
    .await?;
    let api = Api {
        name: echo::API.to_owned(),
        path: echo::PATH.to_owned(),
        backend: backend.to_owned(),
        ..Api::default()
    };
    let publish = ChangeServiceRequest {
        context: Some(context()),
        service: SERVICE.to_owned(),
        expected_revision: None,
        edits: vec![Edit { edit: Some(edit::Edit::PublishApi(api)) }],
    };
    send(agents, async |channel| {
        let mut client = ServicesClient::new(channel);
        client.change_service(request(publish.clone())).await.map(|_| ())
    })
    .await?;
    let zone = SetDnsRequest {
        context: Some(context()),
        settings: Some(DnsSettings {
            zone: ZONE.to_owned(),
            ..DnsSettings::from(&meridian_domain::DnsSettings::default())
        }),
    };
    send(agents, async |channel| {
        RoutingClient::new(channel).set_dns(request(zone.clone())).await.map(|_| ())
    })
    .await
}

fn context() -> ChangeContext {
    ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: actor(),
        reason: String::new(),
        dry_run: false,
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}

/// Sends a change to one agent after another until one acknowledges it, or reports that its object
/// already exists.
async fn send(
    agents: &[(AgentName, Address)],
    rpc: impl AsyncFn(Channel) -> Result<(), Status>,
) -> Result<(), String> {
    let mut last = String::new();
    for (name, address) in agents {
        let attempt = async {
            match rpc(connect(address).await?).await {
                Err(status) if status.code() != Code::AlreadyExists => {
                    Err(status.message().to_owned())
                }
                Ok(()) | Err(_) => Ok(()),
            }
        };
        match attempt.await {
            Ok(()) => return Ok(()),
            Err(error) => last = format!("{name}: {error}"),
        }
    }
    Err(last)
}
