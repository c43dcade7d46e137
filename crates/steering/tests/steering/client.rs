//! Queries, built and read by another implementation of the protocol.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::cluster::ZONE;
use crate::server::TestServer;

/// A query.
#[derive(Clone)]
pub struct Ask {
    pub message: Message,
}

impl Ask {
    /// Returns a query for a name below the zone, or outside of it with a final dot.
    pub fn new(name: &str, record_type: &str) -> Self {
        let name = match name {
            "" => format!("{ZONE}."),
            name if name.ends_with('.') => name.to_owned(),
            name => format!("{name}.{ZONE}."),
        };
        let name = Name::from_ascii(name).unwrap();
        let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        let record_type = match record_type {
            "IXFR" => RecordType::IXFR,
            other => other.parse().unwrap(),
        };
        message.add_query(Query::query(name, record_type));
        Self { message }
    }

    pub fn class(mut self, class: DNSClass) -> Self {
        self.message.queries[0].set_query_class(class);
        self
    }

    pub fn edns(mut self, size: u16) -> Self {
        let mut edns = self.message.edns.take().unwrap_or_default();
        edns.set_max_payload(size);
        self.message.set_edns(edns);
        self
    }

    pub fn subnet(mut self, network: &str) -> Self {
        let (address, length) = network.split_once('/').unwrap();
        let subnet = ClientSubnet::new(address.parse().unwrap(), length.parse().unwrap(), 0);
        let mut edns = self.message.edns.take().unwrap_or_default();
        edns.set_max_payload(1_232);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        self.message.set_edns(edns);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.message.to_vec().unwrap()
    }

    pub async fn udp(&self, server: &TestServer) -> Response {
        let response = udp(server.address, &self.bytes()).await.expect("a response");
        Response(Message::from_vec(&response).unwrap())
    }

    pub async fn tcp(&self, server: &TestServer) -> Response {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        send_tcp(&mut stream, &self.bytes()).await;
        receive_tcp(&mut stream).await.expect("a response")
    }
}

pub async fn send_tcp(stream: &mut TcpStream, message: &[u8]) {
    stream.write_u16(message.len() as u16).await.unwrap();
    stream.write_all(message).await.unwrap();
}

/// Receives a response; `None` if the connection is closed.
pub async fn receive_tcp(stream: &mut TcpStream) -> Option<Response> {
    let length = timeout(Duration::from_secs(5), stream.read_u16()).await.expect("in time").ok()?;
    let mut response = vec![0; length.into()];
    stream.read_exact(&mut response).await.unwrap();
    Some(Response(Message::from_vec(&response).unwrap()))
}

/// Sends a message, and returns the response if there is one within a second.
pub async fn udp(server: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).await.unwrap();
    // A connected socket receives only what leaves from the address that was asked.
    socket.connect(server).await.unwrap();
    socket.send(message).await.unwrap();
    let mut response = vec![0; 65_535];
    let received = timeout(Duration::from_secs(1), socket.recv(&mut response)).await.ok()?;
    response.truncate(received.unwrap());
    Some(response)
}

/// A response.
pub struct Response(pub Message);

impl Response {
    pub fn code(&self) -> ResponseCode {
        self.0.metadata.response_code
    }

    /// Returns the answers as text, sorted.
    pub fn answers(&self) -> Vec<String> {
        texts(&self.0.answers)
    }

    pub fn authorities(&self) -> Vec<String> {
        texts(&self.0.authorities)
    }

    pub fn additionals(&self) -> Vec<String> {
        texts(&self.0.additionals)
    }

    /// Returns the scope of the client subnet.
    pub fn scope(&self) -> Option<u8> {
        self.subnet().map(|subnet| subnet.scope_prefix())
    }

    pub fn subnet(&self) -> Option<&ClientSubnet> {
        match self.0.edns.as_ref()?.option(EdnsCode::Subnet)? {
            EdnsOption::Subnet(subnet) => Some(subnet),
            _ => None,
        }
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<_> = records.iter().map(Record::to_string).collect();
    texts.sort();
    texts
}
