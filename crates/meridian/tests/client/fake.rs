//! A fake agent whose responses a test scripts.

mod routing;
mod rpc;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_proto::convert::json;
use meridian_proto::v1;
use meridian_proto::v1::cluster_server::ClusterServer;
use meridian_proto::v1::events_server::EventsServer;
use meridian_proto::v1::routing_server::RoutingServer;
use meridian_proto::v1::services_server::ServicesServer;
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Response to a change.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Accepted at revision 12.
    Done,
    /// Accepted, with this response.
    Accept(v1::ChangeResponse),
    /// Accepted, with as many events as make a message of this size.
    Large(usize),
    /// Failed with this status.
    Fail(Status),
    /// No response.
    Hang,
}

/// The frames of one watch, and the status that ends it.
pub type Stream = (Vec<v1::WatchResponse>, Option<Status>);

#[derive(Debug, Default)]
struct Script {
    replies: VecDeque<Reply>,
    last: Option<Reply>,
    changes: Vec<(String, v1::ChangeContext)>,
    services: Vec<v1::Service>,
    locations: VecDeque<v1::Location>,
    others: Vec<v1::Location>,
    apis: Vec<v1::Api>,
    units: Vec<v1::Unit>,
    members: VecDeque<Vec<v1::Member>>,
    catalog: Vec<v1::Region>,
    observer: Option<v1::Observer>,
    edits: Vec<v1::Edit>,
    expected: Vec<Option<u64>>,
    rolls: Vec<(String, String)>,
    status: v1::GetStatusResponse,
    streams: VecDeque<Stream>,
    watched_from: Vec<u64>,
    list_error: Option<Status>,
}

/// An agent on a loopback port. It stops with the runtime of the test.
#[derive(Debug, Clone)]
pub struct Agent {
    pub endpoint: String,
    script: Arc<Mutex<Script>>,
}

impl Agent {
    /// Starts an agent that responds to changes with these replies in turn, and then with the last
    /// one.
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
            .add_service(RoutingServer::new(agent.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        agent
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics while it holds the script")
    }

    /// The services, by name.
    pub fn with_services(self, names: &[&str]) -> Self {
        self.script().services = names.iter().map(|name| service(name)).collect();
        self
    }

    /// The states of one location, one per request; the last one stays.
    pub fn with_locations(self, states: impl IntoIterator<Item = v1::Location>) -> Self {
        self.script().locations = states.into_iter().collect();
        self
    }

    /// Further locations, whose states do not change.
    pub fn with_other_locations(self, others: impl IntoIterator<Item = v1::Location>) -> Self {
        self.script().others = others.into_iter().collect();
        self
    }

    /// The APIs of every service.
    pub fn with_apis(self, apis: impl IntoIterator<Item = v1::Api>) -> Self {
        self.script().apis = apis.into_iter().collect();
        self
    }

    /// The units of all services.
    pub fn with_units(self, units: impl IntoIterator<Item = v1::Unit>) -> Self {
        self.script().units = units.into_iter().collect();
        self
    }

    /// The members, one list per request; the last one stays.
    pub fn with_members(self, lists: impl IntoIterator<Item = Vec<v1::Member>>) -> Self {
        self.script().members = lists.into_iter().collect();
        self
    }

    /// The catalog of regions.
    pub fn with_catalog(self, regions: impl IntoIterator<Item = v1::Region>) -> Self {
        self.script().catalog = regions.into_iter().collect();
        self
    }

    /// The observer of all lists, without a leader: this agent.
    pub fn without_leader(self, agent: &str) -> Self {
        self.script().observer = Some(v1::Observer { agent: agent.to_owned(), leader: false });
        self
    }

    /// The response to `status`.
    pub fn with_status(self, status: v1::GetStatusResponse) -> Self {
        self.script().status = status;
        self
    }

    /// The streams, one per watch.
    pub fn with_streams(self, streams: impl IntoIterator<Item = Stream>) -> Self {
        self.script().streams = streams.into_iter().collect();
        self
    }

    /// Fails all lists of locations.
    pub fn fail_lists(&self, status: Status) {
        self.script().list_error = Some(status);
    }

    /// Its endpoint alone.
    pub fn endpoints(&self) -> [String; 1] {
        [self.endpoint.clone()]
    }

    /// The changes that it received, each with the name of its RPC.
    pub fn changes(&self) -> Vec<(String, v1::ChangeContext)> {
        self.script().changes.clone()
    }

    /// The request ids that it received.
    pub fn request_ids(&self) -> Vec<String> {
        self.changes().into_iter().map(|(_, context)| context.request_id).collect()
    }

    /// The edits that it received.
    pub fn edits(&self) -> Vec<v1::edit::Edit> {
        self.script().edits.iter().filter_map(|edit| edit.edit.clone()).collect()
    }

    /// The expected revisions of the edits that it received.
    pub fn expected_revisions(&self) -> Vec<Option<u64>> {
        self.script().expected.clone()
    }

    /// The services and regions of the rolls that it received.
    pub fn rolls(&self) -> Vec<(String, String)> {
        self.script().rolls.clone()
    }

    /// The first revisions of the watches that it received.
    pub fn watched_from(&self) -> Vec<u64> {
        self.script().watched_from.clone()
    }

    async fn change(
        &self,
        rpc: &str,
        context: Option<v1::ChangeContext>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let reply = {
            let mut script = self.script();
            script.changes.push((rpc.to_owned(), context.unwrap_or_default()));
            let reply = script.replies.pop_front().or_else(|| script.last.clone());
            script.last.clone_from(&reply);
            reply
        };
        match reply {
            Some(Reply::Fail(status)) => Err(status),
            Some(Reply::Hang) => std::future::pending().await,
            Some(Reply::Large(bytes)) => {
                Ok(Response::new(done(bytes.div_ceil(event(12).encoded_len()))))
            }
            Some(Reply::Accept(response)) => Ok(Response::new(response)),
            Some(Reply::Done) | None => Ok(Response::new(done(1))),
        }
    }
}

fn done(events: usize) -> v1::ChangeResponse {
    let events = vec![event(12); events];
    v1::ChangeResponse { revision: 12, base: 11, events, ..Default::default() }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    (listener, address)
}

/// Starts an endpoint that accepts connections and never reads: a stopped process.
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

/// Starts an endpoint that closes each connection after the first byte.
pub async fn closing() -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read_u8().await;
        }
    });
    address.to_string()
}

/// An endpoint without a listener. The port stays reserved for the rest of the process.
pub fn unreachable() -> String {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
    let address = socket.local_addr().expect("is bound");
    std::mem::forget(socket);
    address.to_string()
}

/// A status with the details that an agent attaches.
pub fn status(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "meridian", HashMap::new());
    Status::with_error_details(code, message, details)
}

pub fn no_leader() -> Reply {
    Reply::Fail(status(Code::Unavailable, "NO_LEADER", "no leader was found"))
}

/// A conflict with a newer revision of the service.
pub fn conflict() -> Reply {
    Reply::Fail(status(Code::Aborted, "CONFLICT", "contoso was changed"))
}

/// An event of some type, with its fields.
pub fn event_of(revision: u64, kind: &str, data: serde_json::Value) -> v1::Event {
    let serde_json::Value::Object(fields) = data else { panic!("{data} is not an object") };
    let (r#type, data) = (kind.to_owned(), Some(json::to_struct(fields)));
    let actor = "ada@host".to_owned();
    v1::Event { revision, r#type, data, actor, ..Default::default() }
}

pub fn event(revision: u64) -> v1::Event {
    let data = serde_json::json!({
        "service": "contoso", "region": "eastus", "units": 2, "zones": []
    });
    event_of(revision, "RegionAdded", data)
}

/// A location in one of its states.
pub fn location(region: &str, status: v1::LocationStatus, ready: u32, units: u32) -> v1::Location {
    v1::Location {
        region: region.to_owned(),
        units,
        ready_units: ready,
        status: status.into(),
        configuration: 12,
        ..Default::default()
    }
}

pub fn frame(revisions: impl IntoIterator<Item = u64>, caught_up: bool) -> v1::WatchResponse {
    let events = revisions.into_iter().map(event).collect();
    v1::WatchResponse { events, caught_up, ..Default::default() }
}

fn service(name: &str) -> v1::Service {
    v1::Service {
        name: name.to_owned(),
        tier: "premium".to_owned(),
        primary: "westeurope".to_owned(),
        regions: vec!["westeurope".to_owned(), "eastus".to_owned()],
        units: 3,
        port: 8080,
        revision: 9,
        configuration: 7,
        routing: "nearest".to_owned(),
        when_disabled: "refuse".to_owned(),
    }
}
