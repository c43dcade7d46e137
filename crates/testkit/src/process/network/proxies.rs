//! All agents on loopback, and before the peer port of each a proxy: its address is the one that the
//! agent advertises. For who is not root.
//!
//! ```text
//! agent 1 ── proxy of 2 ── agent 2      all that 1 asks 2, and what 2 answers
//! agent 2 ── proxy of 1 ── agent 1      all that 2 asks 1, and what 1 answers
//! ```
//!
//! The agent that opened a connection is found in /proc, so that there is a rule for each of the two
//! ways between two agents here, too. What a proxy sees are the bytes of a stream and no packets, so
//! a rule does to a piece of a stream what TCP would make of it:
//!
//! - what is cut off waits until the cut ends, as it would be sent again and again; a new connection
//!   opens and is silent, where in earnest it would not open;
//! - what is lost is sent again after [`AGAIN`], and what follows waits for it;
//! - what is delayed arrives later, in order; jitter reorders nothing;
//! - duplication and reordering are refused: TCP hides both.
//!
//! Agents join by a client port, which no rule meets here.

mod opener;

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

use self::opener::Openers;
use super::{Felt, Network, Rule};
use crate::process::agent::Agent;
use crate::process::port;
use crate::process::sandbox::Sandbox;

/// A proxy has the address of its agent's number and this.
const ABOVE: u8 = 100;
/// When TCP sends again what was lost, at the earliest: `TCP_RTO_MIN` of Linux.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes of the longest piece of a stream.
const PIECE: usize = 16 << 10;
/// Pieces of one connection that are on their way at once.
const ON_THEIR_WAY: usize = 256;

/// Proxies before agents. They end when this is dropped.
#[derive(Debug)]
pub struct Proxies {
    agents: u8,
    wires: Arc<Wires>,
    _end: DropGuard,
}

/// What all connections share.
#[derive(Debug)]
struct Wires {
    rules: watch::Sender<BTreeMap<(u8, u8), Rule>>,
    felt: Mutex<Felt>,
    random: Mutex<StdRng>,
    openers: Mutex<Openers>,
}

impl Proxies {
    /// Proxies before that many agents of a sandbox, at most 100. What happens by chance between
    /// them, the seed says.
    ///
    /// # Errors
    /// If an address is not free.
    pub async fn start(sandbox: &Sandbox, agents: u8, seed: u64) -> anyhow::Result<Self> {
        ensure!((1..=ABOVE).contains(&agents), "there are from 1 to {ABOVE} agents, not {agents}");
        let wires = Arc::new(Wires::new(sandbox.path(), seed));
        let end = CancellationToken::new();
        for agent in 1..=agents {
            let address = proxy(sandbox, agent);
            let listener = TcpListener::bind((address, port::PEER)).await;
            let listener = listener.with_context(|| format!("a proxy at {address}"))?;
            let target = SocketAddr::from((sandbox.address(agent), port::PEER));
            let accepting = accept(wires.clone(), listener, agent, target, end.clone());
            tokio::spawn(end.clone().run_until_cancelled_owned(accepting));
        }
        Ok(Self { agents, wires, _end: end.drop_guard() })
    }
}

impl Network for Proxies {
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent {
        let agent = sandbox.agent(number, name).behind(proxy(sandbox, number));
        lock(&self.wires.openers).add(number, &agent);
        agent
    }

    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()> {
        for agent in [from, to] {
            ensure!((1..=self.agents).contains(&agent), "there is no agent {agent}");
        }
        let hidden = rule.duplication > 0.0 || rule.reordering > 0.0;
        ensure!(!hidden, "TCP hides doubled and reordered packets: that needs root");
        self.wires.set(from, to, rule);
        Ok(())
    }

    fn heal(&self) {
        self.wires.heal();
    }

    fn felt(&self) -> Felt {
        *lock(&self.wires.felt)
    }

    fn has_packets(&self) -> bool {
        false
    }
}

fn proxy(sandbox: &Sandbox, agent: u8) -> Ipv4Addr {
    sandbox.address(agent + ABOVE)
}

async fn accept(
    wires: Arc<Wires>,
    listener: TcpListener,
    to: u8,
    target: SocketAddr,
    end: CancellationToken,
) {
    loop {
        // What fails is the connection that was about to be accepted.
        let Ok((connection, opener)) = listener.accept().await else { continue };
        let connected = connect(wires.clone(), connection, opener, to, target);
        tokio::spawn(end.clone().run_until_cancelled_owned(connected));
    }
}

/// Joins a connection to its target, once it is known whose it is.
async fn connect(
    wires: Arc<Wires>,
    connection: TcpStream,
    opener: SocketAddr,
    to: u8,
    target: SocketAddr,
) {
    let Ok(proxy) = connection.local_addr() else { return };
    let finder = wires.clone();
    let there = Instant::now().into_std();
    let found = move || lock(&finder.openers).find(opener, proxy, there);
    let found = tokio::task::spawn_blocking(found);
    // It is gone where nobody has it any more.
    if let Ok(Some(from)) = found.await {
        wires.join(connection, from, to, target).await;
    }
}

impl Wires {
    fn new(sandbox: &Path, seed: u64) -> Self {
        Self {
            rules: watch::Sender::default(),
            felt: Mutex::default(),
            random: StdRng::seed_from_u64(seed).into(),
            openers: Openers::new(sandbox).into(),
        }
    }

    /// Goes on to the target, and carries both ways until they end.
    async fn join(&self, connection: TcpStream, from: u8, to: u8, target: SocketAddr) {
        self.whole(from, to).await;
        self.whole(to, from).await;
        let Ok(onward) = TcpStream::connect(target).await else { return };
        let _ = (connection.set_nodelay(true), onward.set_nodelay(true));
        let ((asked, answer), (answered, ask)) = (connection.into_split(), onward.into_split());
        tokio::join!(self.carry(from, to, asked, ask), self.carry(to, from, answered, answer));
    }

    fn set(&self, from: u8, to: u8, rule: Rule) {
        self.rules.send_modify(|rules| {
            rules.insert((from, to), rule);
        });
    }

    fn heal(&self) {
        self.rules.send_modify(BTreeMap::clear);
        *lock(&self.felt) = Felt::default();
    }

    /// Carries one way of a connection.
    async fn carry(&self, from: u8, to: u8, mut source: OwnedReadHalf, mut sink: OwnedWriteHalf) {
        let (send, mut receive) = mpsc::channel(ON_THEIR_WAY);
        let read = async move {
            let (mut piece, mut last) = (vec![0; PIECE], Instant::now());
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
                self.whole(from, to).await;
                if sink.write_all(&piece).await.is_err() {
                    return;
                }
            }
            self.whole(from, to).await;
            let _ = sink.shutdown().await;
        };
        tokio::join!(read, write);
    }

    /// When a piece that is sent now arrives.
    fn due(&self, from: u8, to: u8) -> Instant {
        let rule = self.rules.borrow().get(&(from, to)).copied().unwrap_or_default();
        let mut random = lock(&self.random);
        let mut felt = lock(&self.felt);
        let mut due = Instant::now() + rule.delay + rule.jitter.mul_f64(random.random());
        felt.delayed += u64::from(!rule.delay.is_zero());
        if rule.loss > 0.0 && !rule.cuts() && random.random_bool(rule.loss) {
            felt.lost += 1;
            due += AGAIN;
        }
        due
    }

    /// Returns once what one sends the other arrives.
    async fn whole(&self, from: u8, to: u8) {
        let mut rules = self.rules.subscribe();
        let cut = |rules: &BTreeMap<_, Rule>| rules.get(&(from, to)).is_some_and(Rule::cuts);
        if cut(&rules.borrow()) {
            lock(&self.felt).lost += 1;
        }
        // The sender lives as long as this.
        let _ = rules.wait_for(|rules| !cut(rules)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with this lock")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;

    /// Both ends of a connection of agent 1 to agent 2, with a proxy in the middle.
    async fn connection(wires: &Arc<Wires>) -> (TcpStream, TcpStream) {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let agent = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = |listener: &TcpListener| listener.local_addr().expect("has an address");
        let opened = TcpStream::connect(address(&proxy)).await.expect("connects");
        let (accepted, _) = proxy.accept().await.expect("is opened");
        let (wires, target) = (wires.clone(), address(&agent));
        tokio::spawn(async move { wires.join(accepted, 1, 2, target).await });
        let (arrived, _) = agent.accept().await.expect("is opened");
        (opened, arrived)
    }

    async fn say(end: &mut (impl AsyncWrite + Unpin), said: &[u8]) {
        end.write_all(said).await.expect("is open");
    }

    async fn hear(end: &mut (impl AsyncRead + Unpin), bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        end.read_exact(&mut heard).await.expect("is open");
        heard
    }

    fn wires() -> Arc<Wires> {
        Arc::new(Wires::new(Path::new("/nonexistent"), 1))
    }

    #[tokio::test]
    async fn what_is_cut_waits_one_way_until_it_is_healed() {
        let wires = wires();
        let (mut one, mut two) = connection(&wires).await;
        for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
            say(&mut one, b"before").await;
            assert_eq!(hear(&mut two, 6).await, b"before");
            wires.set(1, 2, rule);
            say(&mut one, b"after").await;
            say(&mut two, b"back").await;
            assert_eq!(hear(&mut one, 4).await, b"back");
            while lock(&wires.felt).lost == 0 {
                tokio::task::yield_now().await;
            }
            assert!(two.try_read(&mut [0; 8]).is_err(), "nothing passes a cut");
            wires.heal();
            assert_eq!(hear(&mut two, 5).await, b"after");
        }
    }

    #[tokio::test]
    async fn what_is_delayed_or_lost_is_late_and_in_order() {
        let wires = wires();
        let (mut one, mut two) = connection(&wires).await;
        let delay = Duration::from_millis(100);
        for rule in [
            Rule { delay, ..Rule::default() },
            Rule { delay, jitter: delay, ..Rule::default() },
            // As good as certain, and no cut.
            Rule { loss: 0.999_999, ..Rule::default() },
        ] {
            wires.set(1, 2, rule);
            let sent = Instant::now();
            for number in 0..10 {
                say(&mut one, &[number]).await;
            }
            assert_eq!(hear(&mut two, 10).await, (0..10).collect::<Vec<_>>());
            let least = if rule.loss > 0.0 { AGAIN } else { delay };
            assert!(sent.elapsed() >= least, "{rule:?}: {:?}", sent.elapsed());
            let felt = *lock(&wires.felt);
            assert!(felt.lost > 0 || felt.delayed > 0, "{rule:?}: {felt:?}");
            wires.heal();
        }
    }
}
