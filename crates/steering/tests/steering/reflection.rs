//! A reflection attempt: queries whose forged source is one network.
//!
//! ```text
//! MERIDIAN_REFLECTION_SECONDS=60 MERIDIAN_REFLECTION_QUERIES=1000000 \
//!     cargo test --release -p meridian-steering --test steering reflection -- --nocapture
//! ```

use std::net::{SocketAddr, UdpSocket as BlockingSocket};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::client::{Ask, receive_tcp, send_tcp};
use crate::server::TestServer;
use crate::transport::start_large;

/// Duration of the attempt in seconds; this variable overrides it.
const SECONDS: (&str, u64) = ("MERIDIAN_REFLECTION_SECONDS", 5);
/// Maximum number of queries per second; this variable overrides it. A build without optimizations
/// responds to that many, and a hundred times the limit shows its effect.
const QUERIES: (&str, u64) = ("MERIDIAN_REFLECTION_QUERIES", 20_000);
/// Maximum number of responses per second to a network, as by default.
const LIMIT: u32 = 200;
/// The network that is attacked, and another one.
const VICTIM: [u8; 3] = [127, 77, 0];
const OTHER: [u8; 3] = [127, 78, 0];
/// Number of addresses that the attempt forges.
const SOURCES: u8 = 8;
/// Number of queries from an address before its responses are taken.
const BURST: usize = 16;
/// Timeout of a query, and number of tries, as resolvers have them.
const TRY: Duration = Duration::from_secs(1);
const TRIES: usize = 5;

/// Packets with the same outcome.
#[derive(Debug, Default, Clone, Copy)]
struct Packets {
    count: u64,
    bytes: u64,
}

impl Packets {
    fn add(&mut self, length: usize) {
        self.count += 1;
        self.bytes += length as u64;
    }
}

#[derive(Debug, Default)]
struct Attack {
    sent: Packets,
    full: Packets,
    truncated: Packets,
}

impl Attack {
    /// Sends a query until the deadline, and counts the responses.
    fn run(server: SocketAddr, query: &[u8], deadline: Instant) -> Self {
        let sockets: Vec<_> = (1..=SOURCES).map(|last| socket(server, last)).collect();
        let mut attack = Self::default();
        let (started, rate) = (Instant::now(), variable(QUERIES));
        while Instant::now() < deadline {
            if attack.sent.count > started.elapsed().as_millis() as u64 * rate / 1_000 {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            for socket in &sockets {
                for _ in 0..BURST {
                    if let Ok(length) = socket.send(query) {
                        attack.sent.add(length);
                    }
                }
                attack.receive(socket);
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        sockets.iter().for_each(|socket| attack.receive(socket));
        attack
    }

    fn receive(&mut self, socket: &BlockingSocket) {
        let mut response = [0; 2_048];
        while let Ok(length) = socket.recv(&mut response) {
            let is_truncated = response[2] & 2 != 0;
            if is_truncated { &mut self.truncated } else { &mut self.full }.add(length);
        }
    }
}

fn socket(server: SocketAddr, last: u8) -> BlockingSocket {
    let socket = BlockingSocket::bind((source(VICTIM, last), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Returns the value of an environment variable, or its default.
fn variable((name, default): (&str, u64)) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn source([a, b, c]: [u8; 3], last: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(a, b, c, last)
}

/// A client of the other network. Returns its latencies and the number of queries that it repeated.
async fn ask_until(server: SocketAddr, query: &[u8], deadline: Instant) -> (Vec<Duration>, usize) {
    let (mut latencies, mut repeated) = (Vec::new(), 0);
    while Instant::now() < deadline {
        let started = Instant::now();
        let socket = UdpSocket::bind((source(OTHER, 1), 0)).await.unwrap();
        socket.connect(server).await.unwrap();
        let mut response = [0; 2_048];
        let mut tries = 0;
        loop {
            tries += 1;
            socket.send(query).await.unwrap();
            if timeout(TRY, socket.recv(&mut response)).await.is_ok() {
                break;
            }
            assert!(tries < TRIES, "another network has no response");
        }
        assert_eq!(response[2] & 2, 0, "another network has complete responses");
        repeated += tries - 1;
        latencies.push(started.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    (latencies, repeated)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflection_attempt_stays_under_the_rate_limit_and_other_networks_are_served() {
    let server = start_large(|config| config.responses_per_second = LIMIT).await;
    server.cluster.set_dns(|settings| settings.fallback_regions = 1);
    let ask = Ask::new("contoso", "AAAA").edns(4_096);
    let query = ask.bytes();
    crate::server::eventually(async || ask.tcp(&server).await.answers().len() == 32).await;

    let seconds = variable(SECONDS);
    let (address, started) = (server.address, Instant::now());
    let deadline = started + Duration::from_secs(seconds);
    let forged = query.clone();
    let attack = spawn_blocking(move || Attack::run(address, &forged, deadline));
    let (mut latencies, repeated) = ask_until(address, &query, deadline).await;
    ask_over_tcp(&server, &query).await;
    let attack = attack.await.unwrap();
    let Attack { sent, full, truncated } = attack;

    latencies.sort();
    let amplification = (full.bytes + truncated.bytes) as f64 / sent.bytes as f64;
    println!("{seconds} s: {attack:?}, {amplification:.2} bytes sent per byte received");
    println!(
        "other network: {} responses, {repeated} queries repeated, 99 % within {:?}",
        latencies.len(),
        latencies[latencies.len() * 99 / 100]
    );
    assert!(sent.count > 10 * u64::from(LIMIT) * seconds, "{sent:?} is no attempt");
    // One second of burst, and the limit of each second.
    let most = u64::from(LIMIT) * (started.elapsed().as_secs() + 2);
    assert!(full.count <= most, "{full:?}, at most {most}");
    assert!(full.count >= u64::from(LIMIT) * seconds / 2, "{full:?}: the limit is the reason");
    assert!(truncated.count <= sent.count / 2, "{attack:?}: every other one is dropped");
    assert!(truncated.bytes <= truncated.count * query.len() as u64, "{truncated:?}");
    assert!(amplification < 1.0, "{attack:?}");
}

/// A client of the attacked network is served over TCP, as a truncated response demands.
async fn ask_over_tcp(server: &TestServer, query: &[u8]) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source(VICTIM, 200), 0).into()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    send_tcp(&mut stream, query).await;
    assert_eq!(receive_tcp(&mut stream).await.expect("a response").answers().len(), 32);
}
