//! Datagrams between namespaces through the hub.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;

const PORT: u16 = 7_400;
const DELAY: Duration = Duration::from_millis(100);
/// Timeout for datagrams that must arrive; generous for busy machines.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A network with one socket per agent.
struct Agents {
    network: Namespaces,
    sockets: Vec<UdpSocket>,
}

impl Agents {
    /// Creates the network and lets the agents resolve each other's addresses. Returns `None`
    /// without root privileges.
    fn new(agents: u8) -> Option<Self> {
        let network = Namespaces::create(agents, 1);
        let network = network.inspect_err(|error| eprintln!("skipped: {error:#}")).ok()?;
        let sockets = (1..=agents).map(|agent| socket(&network, agent)).collect();
        let agents = Self { network, sockets };
        for from in 1..=agents.network.agents {
            for to in (1..=agents.network.agents).filter(|to| *to != from) {
                agents.send(from, to, "hello");
                assert_eq!(agents.receive(to), "hello");
            }
        }
        Some(agents)
    }

    fn set(&self, from: u8, to: u8, rule: Rule) {
        self.network.set(from, to, rule).expect("both agents exist");
    }

    fn send(&self, from: u8, to: u8, text: &str) {
        let to = SocketAddr::from((self.network.address(to), PORT));
        self.sockets[usize::from(from) - 1]
            .send_to(text.as_bytes(), to)
            .expect("the datagram is sent");
    }

    /// Returns the next datagram.
    fn receive(&self, agent: u8) -> String {
        let mut text = [0; 16];
        let received = self.sockets[usize::from(agent) - 1].recv(&mut text);
        String::from_utf8_lossy(&text[..received.expect("a datagram arrives")]).into_owned()
    }
}

/// Opens a socket in an agent's namespace.
fn socket(network: &Namespaces, agent: u8) -> UdpSocket {
    let namespace = format!("/run/netns/{}", network.namespace(agent));
    let address = (network.address(agent), PORT);
    let opened = thread::spawn(move || {
        let namespace = File::open(namespace).expect("the namespace exists");
        let moved = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        moved.expect("root may change namespaces");
        UdpSocket::bind(address).expect("the port is free")
    });
    let socket = opened.join().expect("the thread does not panic");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a valid timeout");
    socket
}

#[test]
fn a_cut_drops_one_direction_until_it_is_healed() {
    let Some(agents) = Agents::new(3) else { return };
    for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
        agents.set(1, 2, rule);
        agents.send(1, 2, "lost");
        agents.send(2, 1, "back");
        assert_eq!(agents.receive(1), "back");
        agents.send(1, 3, "other");
        assert_eq!(agents.receive(3), "other");
        // The hub keeps the order, so the lost datagram would have arrived by now.
        assert_eq!(agents.network.counters(), Counters { lost: 1, ..Counters::default() });
        agents.network.heal();
        assert_eq!(agents.network.counters(), Counters::default());
        agents.send(1, 2, "healed");
        assert_eq!(agents.receive(2), "healed");
    }
}

#[test]
fn clients_reach_a_partitioned_agent() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule::CUT);
    agents.set(2, 1, Rule::CUT);
    let client = UdpSocket::bind((agents.network.address(HOST), 0)).expect("the address is local");
    for agent in [1, 2] {
        let to = SocketAddr::from((agents.network.address(agent), PORT));
        client.send_to(b"client", to).expect("the datagram is sent");
        assert_eq!(agents.receive(agent), "client");
    }
}

#[test]
fn a_delay_applies_to_one_direction_only() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule { delay: DELAY, ..Rule::default() });
    let sent = Instant::now();
    agents.send(1, 2, "late");
    assert_eq!(agents.receive(2), "late");
    assert!(sent.elapsed() >= DELAY, "arrived after {:?}", sent.elapsed());
    agents.send(2, 1, "back");
    assert_eq!(agents.receive(1), "back");
    assert_eq!(agents.network.counters(), Counters { delayed: 1, ..Counters::default() });
}

#[test]
fn duplicates_arrive_twice_and_delayed_datagrams_are_overtaken() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule { duplication: 1.0, ..Rule::default() });
    agents.send(1, 2, "twice");
    assert_eq!([agents.receive(2), agents.receive(2)], ["twice", "twice"]);
    // This datagram would arrive long after the test.
    agents.set(1, 2, Rule { delay: Duration::from_secs(3_600), ..Rule::default() });
    agents.send(1, 2, "first");
    // Replace the rule only after it applied to the first datagram.
    let began = Instant::now();
    while agents.network.counters().delayed == 0 && began.elapsed() < TIMEOUT {
        thread::sleep(Duration::from_millis(1));
    }
    agents.set(1, 2, Rule::default());
    agents.send(1, 2, "second");
    assert_eq!(agents.receive(2), "second");
    assert_eq!(agents.network.counters().reordered, 1);
}
