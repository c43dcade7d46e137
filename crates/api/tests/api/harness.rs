//! A server over the fake, and its clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meridian_api::{Config, Server};
use meridian_ports::Ports;
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::events_client::EventsClient;
use meridian_proto::v1::routing_client::RoutingClient;
use meridian_proto::v1::services_client::ServicesClient;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::fake::Fake;

pub struct World {
    pub fake: Arc<Fake>,
    pub address: SocketAddr,
    pub channel: Channel,
    pub services: ServicesClient<Channel>,
    pub events: EventsClient<Channel>,
    pub cluster: ClusterClient<Channel>,
    pub routing: RoutingClient<Channel>,
    pub ready: watch::Sender<bool>,
    pub stop: Option<oneshot::Sender<()>>,
    pub server: JoinHandle<()>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config { idle_frame: Duration::from_millis(100), ..Config::default() }).await
    }

    pub async fn with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        Self::on(Arc::new(listener), config).await
    }

    pub async fn on(listener: Arc<TcpListener>, config: Config) -> Self {
        let fake = Fake::bootstrapped();
        let ports = Ports {
            propose: fake.clone(),
            read: fake.clone(),
            history: fake.clone(),
            cluster: fake.clone(),
            reachability: fake.clone(),
            leadership: fake.leadership.subscribe(),
            loads: watch::Sender::default(),
            local_view: watch::Sender::default(),
            settings: watch::Sender::default(),
        };
        let (ready, is_ready) = watch::channel(true);
        let (stop, stopped) = oneshot::channel();
        let address = listener.local_addr().expect("is bound");
        let server =
            Server::build(config, ports, fake.clone(), is_ready).expect("the contracts are whole");
        let server = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            server.run(listener, shutdown).await.expect("serves to the end");
        });
        let channel = connect(address).await;
        Self {
            services: ServicesClient::new(channel.clone()),
            events: EventsClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            routing: RoutingClient::new(channel.clone()),
            fake,
            address,
            channel,
            ready,
            stop: Some(stop),
            server,
        }
    }

    /// Creates a world with the service `contoso` in westeurope and eastus, all units ready.
    pub async fn with_contoso() -> Self {
        let mut world = Self::new().await;
        world.create("contoso").await.expect("is created");
        world.edit(vec![add("eastus", 2)]).await.expect("is added");
        world.fake.settle();
        world
    }

    pub async fn create(&mut self, service: &str) -> Result<v1::ChangeResponse, Status> {
        let request = v1::CreateServiceRequest {
            context: context(),
            service: service.to_owned(),
            tier: "premium".to_owned(),
            primary: "West Europe".to_owned(),
            port: None,
            when_disabled: None,
        };
        self.services.create_service(request).await.map(tonic::Response::into_inner)
    }

    pub async fn edit(&mut self, edits: Vec<Edit>) -> Result<v1::ChangeResponse, Status> {
        self.change(change(edits)).await
    }

    pub async fn change(
        &mut self,
        request: v1::ChangeServiceRequest,
    ) -> Result<v1::ChangeResponse, Status> {
        self.services.change_service(request).await.map(tonic::Response::into_inner)
    }
}

pub async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("is an address");
    endpoint.connect().await.expect("the server listens")
}

pub fn change(edits: Vec<Edit>) -> v1::ChangeServiceRequest {
    v1::ChangeServiceRequest {
        context: context(),
        service: "contoso".to_owned(),
        expected_revision: None,
        edits: edits.into_iter().map(|edit| v1::Edit { edit: Some(edit) }).collect(),
    }
}

pub fn add(region: &str, units: u32) -> Edit {
    Edit::Add(v1::AddRegion { region: region.to_owned(), units, zones: Vec::new() })
}

pub fn scale(region: &str, units: u32) -> Edit {
    Edit::Scale(v1::ScaleRegion { region: region.to_owned(), units: Some(units), zones: None })
}

/// Creates a context with a new request id, later than the previous one.
pub fn context() -> Option<v1::ChangeContext> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let time = 0x0193_2f5e_8b1a_u128 + u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = Uuid::from_u128(time << 80 | 0x7000_8000_0000_0000_0001);
    Some(v1::ChangeContext {
        request_id: id.to_string(),
        actor: "ada@workstation".to_owned(),
        reason: "more load".to_owned(),
        dry_run: false,
    })
}

pub fn types(events: &[v1::Event]) -> Vec<&str> {
    events.iter().map(|event| event.r#type.as_str()).collect()
}

pub fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every status has an ErrorInfo").reason
}

pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let request = status.get_details_bad_request().expect("names the fields");
    request.field_violations.into_iter().map(|violation| violation.field).collect()
}

pub fn rejections(status: &Status) -> Vec<String> {
    let failure = status.get_details_precondition_failure().expect("names the rejections");
    failure.violations.into_iter().map(|violation| violation.r#type).collect()
}

/// Returns the conflict among the details of a status, found as the contract documents.
pub fn conflict(status: &Status) -> v1::Conflict {
    let details = tonic_types::pb::Status::decode(status.details()).expect("has details").details;
    let url = "type.googleapis.com/meridian.v1.Conflict";
    let any = details.into_iter().find(|detail| detail.type_url == url).expect("has a conflict");
    v1::Conflict::decode(any.value.as_slice()).expect("is one")
}
