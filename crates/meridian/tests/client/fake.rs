//! An agent that does what a test tells it to.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_proto::v1;
use meridian_proto::v1::cluster_server::{Cluster, ClusterServer};
use meridian_proto::v1::events_server::{Events, EventsServer};
use meridian_proto::v1::services_server::{Services, ServicesServer};
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What the agent does with a change.
#[derive(Debug, Clone)]
pub enum Reply {
    Done,
    /// As many events as make a message of this size.
    Large(usize),
    Fail(Status),
    Hang,
}

/// What one watch is sent before it ends with the status.
pub type Stream = (Vec<v1::WatchResponse>, Option<Status>);

#[derive(Debug, Default)]
struct Script {
    replies: VecDeque<Reply>,
    last: Option<Reply>,
    changes: Vec<(String, v1::ChangeContext)>,
    services: Vec<v1::Service>,
    locations: VecDeque<v1::Location>,
    apis: Vec<v1::Api>,
    edits: Vec<v1::Edit>,
    rolls: Vec<(String, String)>,
    streams: VecDeque<Stream>,
    watched_from: Vec<u64>,
}

/// An agent on a loopback port. It is gone with the test's runtime.
#[derive(Debug, Clone)]
pub struct Agent {
    pub endpoint: String,
    script: Arc<Mutex<Script>>,
}

impl Agent {
    /// An agent that answers changes with these in turn, and with the last one ever after.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let (listener, address) = listen().await;
        let script = Script {
            replies: replies.into_iter().collect(),
            services: vec![service("contoso")],
            ..Script::default()
        };
        let agent = Self { endpoint: address.to_string(), script: Arc::new(Mutex::new(script)) };
        let serving = Server::builder()
            .add_service(ServicesServer::new(agent.clone()))
            .add_service(EventsServer::new(agent.clone()))
            .add_service(ClusterServer::new(agent.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        agent
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics while it holds the script")
    }

    pub fn with_services(self, names: &[&str]) -> Self {
        self.script().services = names.iter().map(|name| service(name)).collect();
        self
    }

    /// The service has this one location, in one state after another.
    pub fn with_locations(self, states: impl IntoIterator<Item = v1::Location>) -> Self {
        self.script().locations = states.into_iter().collect();
        self
    }

    /// Every service has these.
    pub fn with_apis(self, apis: impl IntoIterator<Item = v1::Api>) -> Self {
        self.script().apis = apis.into_iter().collect();
        self
    }

    pub fn with_streams(self, streams: impl IntoIterator<Item = Stream>) -> Self {
        self.script().streams = streams.into_iter().collect();
        self
    }

    /// It and nobody else.
    pub fn endpoints(&self) -> [String; 1] {
        [self.endpoint.clone()]
    }

    /// The changes that reached it, each with the name of its call.
    pub fn changes(&self) -> Vec<(String, v1::ChangeContext)> {
        self.script().changes.clone()
    }

    /// The request ids that reached it.
    pub fn request_ids(&self) -> Vec<String> {
        self.changes().into_iter().map(|(_, context)| context.request_id).collect()
    }

    /// The edits that reached it.
    pub fn edits(&self) -> Vec<v1::edit::Edit> {
        self.script().edits.iter().filter_map(|edit| edit.edit.clone()).collect()
    }

    /// The services and regions of the rolls that reached it.
    pub fn rolls(&self) -> Vec<(String, String)> {
        self.script().rolls.clone()
    }

    /// The revisions from which it was watched.
    pub fn watched_from(&self) -> Vec<u64> {
        self.script().watched_from.clone()
    }

    async fn change(
        &self,
        call: &str,
        context: Option<v1::ChangeContext>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let reply = {
            let mut script = self.script();
            script.changes.push((call.to_owned(), context.unwrap_or_default()));
            let reply = script.replies.pop_front().or_else(|| script.last.clone());
            script.last.clone_from(&reply);
            reply
        };
        match reply {
            Some(Reply::Fail(status)) => Err(status),
            Some(Reply::Hang) => std::future::pending().await,
            Some(Reply::Large(bytes)) => Ok(done(bytes.div_ceil(event(12).encoded_len()))),
            Some(Reply::Done) | None => Ok(done(1)),
        }
    }
}

fn done(events: usize) -> Response<v1::ChangeResponse> {
    let events = vec![event(12); events];
    Response::new(v1::ChangeResponse { revision: 12, base: 11, events, ..Default::default() })
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    (listener, address)
}

/// An endpoint at which connections are taken and nothing is ever read: a stopped process.
pub async fn stopped() -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    address.to_string()
}

/// An endpoint that closes each connection once something was sent.
pub async fn closing() -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read_u8().await;
        }
    });
    address.to_string()
}

/// An endpoint at which nobody listens, nor will: the port is held for the rest of the process.
pub fn nobody() -> String {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
    let address = socket.local_addr().expect("is bound");
    std::mem::forget(socket);
    address.to_string()
}

/// A status as an agent makes it.
pub fn status(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "meridian", HashMap::new());
    Status::with_error_details(code, message, details)
}

pub fn no_leader() -> Reply {
    Reply::Fail(status(Code::Unavailable, "NO_LEADER", "no leader was found"))
}

pub fn event(revision: u64) -> v1::Event {
    v1::Event { revision, r#type: "RegionAdded".to_owned(), ..Default::default() }
}

pub fn frame(revisions: impl IntoIterator<Item = u64>, caught_up: bool) -> v1::WatchResponse {
    let events = revisions.into_iter().map(event).collect();
    v1::WatchResponse { events, caught_up, ..Default::default() }
}

fn service(name: &str) -> v1::Service {
    v1::Service { name: name.to_owned(), ..Default::default() }
}

type Answer<T> = Result<Response<T>, Status>;

fn not_played<T>() -> Answer<T> {
    Err(Status::unimplemented("no test plays this call"))
}

#[tonic::async_trait]
impl Services for Agent {
    async fn create_service(
        &self,
        r: Request<v1::CreateServiceRequest>,
    ) -> Answer<v1::ChangeResponse> {
        self.change("CreateService", r.into_inner().context).await
    }
    async fn change_service(
        &self,
        r: Request<v1::ChangeServiceRequest>,
    ) -> Answer<v1::ChangeResponse> {
        let request = r.into_inner();
        self.script().edits.extend(request.edits);
        self.change("ChangeService", request.context).await
    }
    async fn delete_service(
        &self,
        r: Request<v1::DeleteServiceRequest>,
    ) -> Answer<v1::ChangeResponse> {
        self.change("DeleteService", r.into_inner().context).await
    }
    async fn list_services(
        &self,
        _: Request<v1::ListServicesRequest>,
    ) -> Answer<v1::ListServicesResponse> {
        let services = self.script().services.clone();
        Ok(Response::new(v1::ListServicesResponse { services, ..Default::default() }))
    }
    async fn list_locations(
        &self,
        _: Request<v1::ListLocationsRequest>,
    ) -> Answer<v1::ListLocationsResponse> {
        let mut script = self.script();
        let location = match script.locations.len() {
            0 | 1 => script.locations.front().cloned(),
            _ => script.locations.pop_front(),
        };
        let locations = location.into_iter().collect();
        Ok(Response::new(v1::ListLocationsResponse { locations, ..Default::default() }))
    }
    async fn list_apis(&self, r: Request<v1::ListApisRequest>) -> Answer<v1::ListApisResponse> {
        let (service, apis) = (r.into_inner().service, self.script().apis.clone());
        Ok(Response::new(v1::ListApisResponse { service, apis, ..Default::default() }))
    }
    async fn roll_units(&self, r: Request<v1::RollUnitsRequest>) -> Answer<v1::ChangeResponse> {
        let request = r.into_inner();
        self.script().rolls.push((request.service, request.region));
        self.change("RollUnits", request.context).await
    }
    async fn list_units(&self, _: Request<v1::ListUnitsRequest>) -> Answer<v1::ListUnitsResponse> {
        Ok(Response::new(v1::ListUnitsResponse::default()))
    }
    async fn list_catalogue(
        &self,
        _: Request<v1::ListCatalogueRequest>,
    ) -> Answer<v1::ListCatalogueResponse> {
        not_played()
    }
}

#[tonic::async_trait]
impl Events for Agent {
    type WatchStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::WatchResponse, Status>>>;

    async fn watch(&self, r: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let mut script = self.script();
        script.watched_from.push(r.into_inner().from);
        let Some((frames, end)) = script.streams.pop_front() else {
            return Err(status(Code::Unavailable, "SHUTTING_DOWN", "this agent is going"));
        };
        let items: Vec<_> = frames.into_iter().map(Ok).chain(end.map(Err)).collect();
        Ok(Response::new(tokio_stream::iter(items)))
    }
}

#[tonic::async_trait]
impl Cluster for Agent {
    async fn list_members(
        &self,
        _: Request<v1::ListMembersRequest>,
    ) -> Answer<v1::ListMembersResponse> {
        not_played()
    }
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::GetStatusResponse> {
        let warnings = vec!["there are 2 voters".to_owned()];
        Ok(Response::new(v1::GetStatusResponse { warnings, ..Default::default() }))
    }
    async fn register_agent(
        &self,
        _: Request<v1::RegisterAgentRequest>,
    ) -> Answer<v1::RegisterAgentResponse> {
        not_played()
    }
    async fn invite_agent(
        &self,
        _: Request<v1::InviteAgentRequest>,
    ) -> Answer<v1::InviteAgentResponse> {
        not_played()
    }
    async fn drain_agent(&self, r: Request<v1::DrainAgentRequest>) -> Answer<v1::ChangeResponse> {
        self.change("DrainAgent", r.into_inner().context).await
    }
    async fn remove_agent(&self, r: Request<v1::RemoveAgentRequest>) -> Answer<v1::ChangeResponse> {
        self.change("RemoveAgent", r.into_inner().context).await
    }
    async fn transfer_leader(
        &self,
        _: Request<v1::TransferLeaderRequest>,
    ) -> Answer<v1::TransferLeaderResponse> {
        self.change("TransferLeader", None).await?;
        Ok(Response::new(v1::TransferLeaderResponse { agent: "eastus-1".to_owned() }))
    }
    async fn take_snapshot(
        &self,
        _: Request<v1::TakeSnapshotRequest>,
    ) -> Answer<v1::TakeSnapshotResponse> {
        not_played()
    }
    async fn set_limits(&self, r: Request<v1::SetLimitsRequest>) -> Answer<v1::ChangeResponse> {
        self.change("SetLimits", r.into_inner().context).await
    }
    async fn get_limits(&self, _: Request<v1::GetLimitsRequest>) -> Answer<v1::GetLimitsResponse> {
        not_played()
    }
    async fn define_region(
        &self,
        r: Request<v1::DefineRegionRequest>,
    ) -> Answer<v1::ChangeResponse> {
        self.change("DefineRegion", r.into_inner().context).await
    }
    async fn trim_history(&self, r: Request<v1::TrimHistoryRequest>) -> Answer<v1::ChangeResponse> {
        self.change("TrimHistory", r.into_inner().context).await
    }
}
