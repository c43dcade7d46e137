//! A client that alternates the units of a location without an agent.

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::services_client::ServicesClient;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Request};
use uuid::Uuid;

use super::member::{Client, REQUEST_TIMEOUT};

/// Size of a request in bytes.
const REQUEST_BYTES: usize = 256;
/// A region without an agent: a change there is one event and starts no process.
const REGION: &str = "japaneast";

/// Changes of one service that no other client changes.
#[derive(Clone)]
pub struct Changes {
    client: ServicesClient<Channel>,
    service: String,
    /// Padding of the request.
    reason: String,
    units: u32,
}

impl Changes {
    /// Creates a client. Creates its service unless it exists.
    ///
    /// # Errors
    /// If creating the service fails.
    pub async fn new(channel: Channel, number: usize) -> anyhow::Result<Self> {
        let client = ServicesClient::new(channel);
        let service = format!("bench-{number:03}");
        let mut changes = Self { client, service, reason: String::new(), units: 1 };
        changes.create(REGION).await?;
        while changes.next().encoded_len() < REQUEST_BYTES {
            changes.reason.push('x');
        }
        Ok(changes)
    }

    async fn create(&mut self, primary: &str) -> anyhow::Result<()> {
        let request = v1::CreateServiceRequest {
            context: Some(context("")),
            service: self.service.clone(),
            tier: "premium".to_owned(),
            primary: primary.to_owned(),
            port: None,
            when_disabled: None,
        };
        match self.client.create_service(timed(request)).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(status).context("cannot create the service"),
        }
    }

    /// Returns the next change. The units alternate between 1 and 2, so every change has an effect
    /// and all requests have the same size.
    fn next(&mut self) -> v1::ChangeServiceRequest {
        self.units = 3 - self.units;
        scale(&self.service, REGION, self.units, &self.reason)
    }
}

impl Client for Changes {
    async fn write(&mut self) -> anyhow::Result<()> {
        let request = timed(self.next());
        self.client.change_service(request).await?;
        Ok(())
    }
}

/// Returns a request that scales one location.
pub fn scale(service: &str, region: &str, units: u32, reason: &str) -> v1::ChangeServiceRequest {
    let scale = v1::ScaleRegion { region: region.to_owned(), units: Some(units), zones: None };
    v1::ChangeServiceRequest {
        context: Some(context(reason)),
        service: service.to_owned(),
        expected_revision: None,
        edits: vec![v1::Edit { edit: Some(Edit::Scale(scale)) }],
    }
}

/// Returns the context of a change, with a new request id.
pub fn context(reason: &str) -> v1::ChangeContext {
    v1::ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: "bench@localhost".to_owned(),
        reason: reason.to_owned(),
        dry_run: false,
    }
}

/// Returns a request with the default timeout.
pub fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}
