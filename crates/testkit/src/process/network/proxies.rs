//! All agents on loopback, with a proxy in front of the peer port of each. Agents advertise the
//! proxy's address. Works without root privileges.
//!
//! ```text
//! agent 1 ── proxy of 2 ── agent 2      requests of 1 to 2, and the responses
//! agent 2 ── proxy of 1 ── agent 1      requests of 2 to 1, and the responses
//! ```
//!
//! The agent that opened a connection is found in /proc, so rules apply per direction between two
//! agents here, too. A proxy forwards the bytes of a stream, not packets, so a rule has the effect
//! on a chunk that TCP would give it:
//!
//! - cut: chunks wait until the cut ends, as with retransmissions; a new connection is accepted but
//!   silent, while on a real network it would not open;
//! - loss: a chunk is delivered after [`RETRANSMIT`], and the following ones wait for it;
//! - delay: chunks arrive later, in order; jitter does not reorder them;
//! - duplication and reordering: not supported, because TCP hides both.
//!
//! Agents join through the client port, which has no proxy: no rule affects it.

mod owners;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::owners::Owners;
use super::{Counters, Network, Rule};
use crate::process::agent::Agent;
use crate::process::port;
use crate::process::sandbox::Sandbox;

/// Offset of a proxy's address number from that of its agent.
const PROXY_OFFSET: u8 = 100;
/// Minimum retransmission timeout of Linux: `TCP_RTO_MIN`.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Maximum size of a chunk in bytes.
const CHUNK: usize = 16 << 10;
/// Maximum number of chunks in flight per connection and direction.
const QUEUE: usize = 256;

/// Proxies in front of agents. They stop when this is dropped.
#[derive(Debug)]
pub struct Proxies {
    agents: u8,
    links: Arc<Links>,
    _shutdown: DropGuard,
}

/// State shared by all connections.
#[derive(Debug)]
struct Links {
    rules: watch::Sender<BTreeMap<(u8, u8), Rule>>,
    counters: Mutex<Counters>,
    random: Mutex<StdRng>,
    owners: Mutex<Owners>,
}

impl Proxies {
    /// Starts proxies for up to 100 agents of a sandbox. `seed` determines the random effects of
    /// the rules.
    ///
    /// # Errors
    /// If an address is in use.
    pub async fn start(sandbox: &Sandbox, agents: u8, seed: u64) -> anyhow::Result<Self> {
        ensure!(
            (1..=PROXY_OFFSET).contains(&agents),
            "a network has 1 to {PROXY_OFFSET} agents, not {agents}"
        );
        let links = Arc::new(Links::new(sandbox.path(), seed));
        let end = CancellationToken::new();
        for agent in 1..=agents {
            let address = proxy(sandbox, agent);
            let listener = TcpListener::bind((address, port::PEER)).await;
            let listener =
                listener.with_context(|| format!("cannot listen on proxy address {address}"))?;
            let target = SocketAddr::from((sandbox.address(agent), port::PEER));
            let accepting = accept(links.clone(), listener, agent, target, end.clone());
            tokio::spawn(end.clone().run_until_cancelled_owned(accepting));
        }
        Ok(Self { agents, links, _shutdown: end.drop_guard() })
    }
}

impl Network for Proxies {
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent {
        let agent = sandbox.agent(number, name).behind_proxy(proxy(sandbox, number));
        lock(&self.links.owners).add(number, &agent);
        agent
    }

    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()> {
        for agent in [from, to] {
            ensure!((1..=self.agents).contains(&agent), "unknown agent {agent}");
        }
        let hidden = rule.duplication > 0.0 || rule.reordering > 0.0;
        ensure!(!hidden, "duplication and reordering are not supported by proxies; run as root");
        self.links.set(from, to, rule);
        Ok(())
    }

    fn heal(&self) {
        self.links.heal();
    }

    fn counters(&self) -> Counters {
        *lock(&self.links.counters)
    }

    fn has_packets(&self) -> bool {
        false
    }
}

fn proxy(sandbox: &Sandbox, agent: u8) -> Ipv4Addr {
    sandbox.address(agent + PROXY_OFFSET)
}

async fn accept(
    links: Arc<Links>,
    listener: TcpListener,
    to: u8,
    target: SocketAddr,
    end: CancellationToken,
) {
    loop {
        // A failed accept concerns only that connection.
        let Ok((connection, opener)) = listener.accept().await else { continue };
        let connected = connect(links.clone(), connection, opener, to, target);
        tokio::spawn(end.clone().run_until_cancelled_owned(connected));
    }
}

/// Relays a connection to its target, once its owner is known.
async fn connect(
    links: Arc<Links>,
    connection: TcpStream,
    opener: SocketAddr,
    to: u8,
    target: SocketAddr,
) {
    let Ok(proxy) = connection.local_addr() else { return };
    let finder = links.clone();
    let seen = Instant::now().into_std();
    let found = move || lock(&finder.owners).find(opener, proxy, seen);
    let found = tokio::task::spawn_blocking(found);
    // The connection is closed if its owner is gone.
    if let Ok(Some(from)) = found.await {
        links.relay(connection, from, to, target).await;
    }
}

impl Links {
    fn new(sandbox: &Path, seed: u64) -> Self {
        Self {
            rules: watch::Sender::default(),
            counters: Mutex::default(),
            random: StdRng::seed_from_u64(seed).into(),
            owners: Owners::new(sandbox).into(),
        }
    }

    /// Connects to the target, and relays both directions until they end.
    async fn relay(&self, connection: TcpStream, from: u8, to: u8, target: SocketAddr) {
        self.wait_for_heal(from, to).await;
        self.wait_for_heal(to, from).await;
        let Ok(onward) = TcpStream::connect(target).await else { return };
        let _ = (connection.set_nodelay(true), onward.set_nodelay(true));
        let ((requests, responses_to), (responses, requests_to)) =
            (connection.into_split(), onward.into_split());
        tokio::join!(
            self.copy(from, to, requests, requests_to),
            self.copy(to, from, responses, responses_to)
        );
    }

    fn set(&self, from: u8, to: u8, rule: Rule) {
        self.rules.send_modify(|rules| {
            rules.insert((from, to), rule);
        });
    }

    fn heal(&self) {
        self.rules.send_modify(BTreeMap::clear);
        *lock(&self.counters) = Counters::default();
    }

    /// Copies one direction of a connection.
    async fn copy(&self, from: u8, to: u8, mut source: OwnedReadHalf, mut sink: OwnedWriteHalf) {
        let (send, mut receive) = mpsc::channel(QUEUE);
        let read = async move {
            let (mut piece, mut last) = (vec![0; CHUNK], Instant::now());
            while let Ok(length @ 1..) = source.read(&mut piece).await {
                last = last.max(self.due(from, to));
                if send.send((last, piece[..length].to_vec())).await.is_err() {
                    return;
                }
            }
        };
        let write = async move {
            while let Some((due, piece)) = receive.recv().await {
                sleep_until(due).await;
                self.wait_for_heal(from, to).await;
                if sink.write_all(&piece).await.is_err() {
                    return;
                }
            }
            self.wait_for_heal(from, to).await;
            let _ = sink.shutdown().await;
        };
        tokio::join!(read, write);
    }

    /// Returns the arrival time of a chunk that is sent now.
    fn due(&self, from: u8, to: u8) -> Instant {
        let rule = self.rules.borrow().get(&(from, to)).copied().unwrap_or_default();
        let mut random = lock(&self.random);
        let mut counters = lock(&self.counters);
        let mut due = Instant::now() + rule.delay + rule.jitter.mul_f64(random.random());
        counters.delayed += u64::from(!rule.delay.is_zero());
        if rule.loss > 0.0 && !rule.cuts() && random.random_bool(rule.loss) {
            counters.lost += 1;
            due += RETRANSMIT;
        }
        due
    }

    /// Waits until traffic between the two agents is not cut.
    async fn wait_for_heal(&self, from: u8, to: u8) {
        let mut rules = self.rules.subscribe();
        let cut = |rules: &BTreeMap<_, Rule>| rules.get(&(from, to)).is_some_and(Rule::cuts);
        if cut(&rules.borrow()) {
            lock(&self.counters).lost += 1;
        }
        // Fails only if the sender is dropped, and `self` owns it.
        let _ = rules.wait_for(|rules| !cut(rules)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while holding the lock")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;

    /// Returns both ends of a proxied connection from agent 1 to agent 2.
    async fn connection(links: &Arc<Links>) -> (TcpStream, TcpStream) {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
        let agent = TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
        let address = |listener: &TcpListener| listener.local_addr().expect("has an address");
        let opened = TcpStream::connect(address(&proxy)).await.expect("the proxy listens");
        let (accepted, _) = proxy.accept().await.expect("a connection arrives");
        let (links, target) = (links.clone(), address(&agent));
        tokio::spawn(async move { links.relay(accepted, 1, 2, target).await });
        let (arrived, _) = agent.accept().await.expect("a connection arrives");
        (opened, arrived)
    }

    async fn write(end: &mut (impl AsyncWrite + Unpin), data: &[u8]) {
        end.write_all(data).await.expect("the connection is open");
    }

    async fn read(end: &mut (impl AsyncRead + Unpin), bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        end.read_exact(&mut data).await.expect("the connection is open");
        data
    }

    fn links() -> Arc<Links> {
        Arc::new(Links::new(Path::new("/nonexistent"), 1))
    }

    #[tokio::test]
    async fn a_cut_delays_one_direction_until_it_is_healed() {
        let links = links();
        let (mut one, mut two) = connection(&links).await;
        for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
            write(&mut one, b"before").await;
            assert_eq!(read(&mut two, 6).await, b"before");
            links.set(1, 2, rule);
            write(&mut one, b"after").await;
            write(&mut two, b"back").await;
            assert_eq!(read(&mut one, 4).await, b"back");
            while lock(&links.counters).lost == 0 {
                tokio::task::yield_now().await;
            }
            assert!(two.try_read(&mut [0; 8]).is_err(), "no data passes a cut");
            links.heal();
            assert_eq!(read(&mut two, 5).await, b"after");
        }
    }

    #[tokio::test]
    async fn delayed_and_lost_chunks_arrive_late_and_in_order() {
        let links = links();
        let (mut one, mut two) = connection(&links).await;
        let delay = Duration::from_millis(100);
        for rule in [
            Rule { delay, ..Rule::default() },
            Rule { delay, jitter: delay, ..Rule::default() },
            // Practically certain loss, but not a cut.
            Rule { loss: 0.999_999, ..Rule::default() },
        ] {
            links.set(1, 2, rule);
            let sent = Instant::now();
            for number in 0..10 {
                write(&mut one, &[number]).await;
            }
            assert_eq!(read(&mut two, 10).await, (0..10).collect::<Vec<_>>());
            let expected = if rule.loss > 0.0 { RETRANSMIT } else { delay };
            assert!(sent.elapsed() >= expected, "{rule:?}: {:?}", sent.elapsed());
            let counters = *lock(&links.counters);
            assert!(counters.lost > 0 || counters.delayed > 0, "{rule:?}: {counters:?}");
            links.heal();
        }
    }
}
