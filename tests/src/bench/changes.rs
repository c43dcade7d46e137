//! A client that scales a location in which no agent lives, up and down again.

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::services_client::ServicesClient;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Request};
use uuid::Uuid;

use super::member::{CALL, Client};

/// Bytes of one request.
const REQUEST_BYTES: usize = 256;
/// Where no agent lives: what happens there is an event, and starts nothing.
const REGION: &str = "japaneast";

/// Changes of a service that no other client changes.
#[derive(Clone)]
pub struct Changes {
    client: ServicesClient<Channel>,
    service: String,
    /// Makes the request as long as it should be.
    reason: String,
    units: u32,
}

impl Changes {
    /// The client of that number. Its service is created unless it was before.
    ///
    /// # Errors
    /// If that is refused.
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
        };
        match self.client.create_service(timed(request)).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(status).context("the service cannot be created"),
        }
    }

    /// The next change. Other units than before, so that there is something to change; each time the
    /// number is as long.
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

/// The request that scales one location.
pub fn scale(service: &str, region: &str, units: u32, reason: &str) -> v1::ChangeServiceRequest {
    let scale = v1::ScaleRegion { region: region.to_owned(), units: Some(units), zones: None };
    v1::ChangeServiceRequest {
        context: Some(context(reason)),
        service: service.to_owned(),
        expected_revision: None,
        edits: vec![v1::Edit { edit: Some(Edit::Scale(scale)) }],
    }
}

/// What every change carries, under a new request id.
pub fn context(reason: &str) -> v1::ChangeContext {
    v1::ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: "bench@localhost".to_owned(),
        reason: reason.to_owned(),
        dry_run: false,
    }
}

/// A call that ends in time.
pub fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}
