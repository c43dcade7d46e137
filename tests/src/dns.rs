//! A DNS client with a client subnet, as the resolvers of public networks send it, and names that are
//! resolved again and again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Time for a name server to respond.
pub const TIMEOUT: Duration = Duration::from_millis(500);
const TYPE_A: u16 = 1;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
/// Size of the header of a message (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;
/// The client subnet option (RFC 7871): 10.1.0.0/24.
const SUBNET: [u8; 11] = [0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 0];

/// Response to a query for addresses.
#[derive(Debug, Clone)]
pub struct Response {
    /// The addresses, in the order of the response.
    pub addresses: Vec<Ipv4Addr>,
    /// Time to live, the shortest of all.
    pub ttl: Duration,
}

/// A name that is resolved again once its time to live has passed, and not earlier, as a resolver's
/// cache does.
#[derive(Debug)]
pub struct ResolvedName {
    address: watch::Receiver<Ipv4Addr>,
    _resolution: AbortOnDropHandle<()>,
}

impl ResolvedName {
    /// Resolves a name by the first of the name servers that responds, from now on.
    ///
    /// # Errors
    /// If none responds with an address.
    pub async fn new(servers: Vec<SocketAddr>, name: &str) -> anyhow::Result<Self> {
        let (first, mut ttl) = resolve(&servers, name).await?;
        let (sender, address) = watch::channel(first);
        let name = name.to_owned();
        let resolution = tokio::spawn(async move {
            loop {
                sleep(ttl).await;
                // Without a response, the last address remains in use.
                ttl = match resolve(&servers, &name).await {
                    Ok((address, ttl)) => {
                        sender.send_replace(address);
                        ttl
                    }
                    Err(_) => TIMEOUT,
                };
            }
        });
        Ok(Self { address, _resolution: AbortOnDropHandle::new(resolution) })
    }

    /// Returns a watch of the address.
    #[must_use]
    pub fn address(&self) -> watch::Receiver<Ipv4Addr> {
        self.address.clone()
    }
}

async fn resolve(servers: &[SocketAddr], name: &str) -> anyhow::Result<(Ipv4Addr, Duration)> {
    for server in servers {
        if let Ok(response) = query(*server, name).await {
            return Ok((*response.addresses.first().context("no address")?, response.ttl));
        }
    }
    bail!("no name server responds")
}

/// Asks a name server for the addresses of a name, for a client in 10.1.0.0/24.
///
/// # Errors
/// If it does not respond in time, or with something else.
pub async fn query(server: SocketAddr, name: &str) -> anyhow::Result<Response> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    socket.send(&encode(name)).await?;
    let mut message = vec![0; 1_232];
    let received = timeout(TIMEOUT, socket.recv(&mut message)).await.context("no response")??;
    decode(&message[..received]).context("malformed response")
}

fn encode(name: &str) -> Vec<u8> {
    // One question and one additional record.
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes().into_iter().chain(CLASS_IN.to_be_bytes()));
    message.push(0);
    message.extend(TYPE_OPT.to_be_bytes().into_iter().chain(1_232_u16.to_be_bytes()));
    message.extend([0; 4]);
    message.extend((SUBNET.len() as u16).to_be_bytes());
    message.extend(SUBNET);
    message
}

/// Decodes the answers; `None` if the message ends early.
fn decode(message: &[u8]) -> Option<Response> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let mut at = skip_name(message, HEADER_BYTES)? + 4;
    let (mut addresses, mut ttl) = (Vec::new(), u32::MAX);
    for _ in 0..word(6)? {
        at = skip_name(message, at)?;
        let (record_type, length) = (word(at)?, usize::from(word(at + 8)?));
        let seconds = message.get(at + 4..at + 8)?;
        let data = message.get(at + 10..at + 10 + length)?;
        if record_type == TYPE_A {
            addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
            ttl = ttl.min(u32::from_be_bytes(seconds.try_into().ok()?));
        }
        at += 10 + length;
    }
    Some(Response { addresses, ttl: Duration::from_secs(ttl.into()) })
}

/// Returns the position after a name, compressed or not.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}
