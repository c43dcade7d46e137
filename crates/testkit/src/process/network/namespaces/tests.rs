//! Datagrams between namespaces, as the hub passes them on.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;

const PORT: u16 = 7_400;
const DELAY: Duration = Duration::from_millis(100);
/// How long a datagram that has to arrive may take, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network, and a socket of each agent.
struct Agents {
    network: Namespaces,
    sockets: Vec<UdpSocket>,
}

impl Agents {
    /// So many, which have heard of each other already, where it is root.
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
        self.network.set(from, to, rule).expect("both are there");
    }

    fn send(&self, from: u8, to: u8, said: &str) {
        let to = SocketAddr::from((self.network.address(to), PORT));
        self.sockets[usize::from(from) - 1].send_to(said.as_bytes(), to).expect("is sent");
    }

    /// What arrives next.
    fn receive(&self, agent: u8) -> String {
        let mut said = [0; 16];
        let received = self.sockets[usize::from(agent) - 1].recv(&mut said);
        String::from_utf8_lossy(&said[..received.expect("something arrives")]).into_owned()
    }
}

/// A socket in an agent's namespace, where it stays.
fn socket(network: &Namespaces, agent: u8) -> UdpSocket {
    let namespace = format!("/run/netns/{}", network.namespace(agent));
    let address = (network.address(agent), PORT);
    let opened = thread::spawn(move || {
        let namespace = File::open(namespace).expect("is there");
        let moved = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        moved.expect("root may");
        UdpSocket::bind(address).expect("is free")
    });
    let socket = opened.join().expect("opens");
    socket.set_read_timeout(Some(PATIENCE)).expect("is a time");
    socket
}

#[test]
fn what_is_cut_is_lost_one_way_until_it_is_healed() {
    let Some(agents) = Agents::new(3) else { return };
    for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
        agents.set(1, 2, rule);
        agents.send(1, 2, "lost");
        agents.send(2, 1, "back");
        assert_eq!(agents.receive(1), "back");
        agents.send(1, 3, "aside");
        assert_eq!(agents.receive(3), "aside");
        // The hub keeps the order, so what was lost would have come by now.
        assert_eq!(agents.network.felt(), Felt { lost: 1, ..Felt::default() });
        agents.network.heal();
        assert_eq!(agents.network.felt(), Felt::default());
        agents.send(1, 2, "healed");
        assert_eq!(agents.receive(2), "healed");
    }
}

#[test]
fn clients_reach_an_agent_that_is_cut_off() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule::CUT);
    agents.set(2, 1, Rule::CUT);
    let client = UdpSocket::bind((agents.network.address(HERE), 0)).expect("is here");
    for agent in [1, 2] {
        let to = SocketAddr::from((agents.network.address(agent), PORT));
        client.send_to(b"client", to).expect("is sent");
        assert_eq!(agents.receive(agent), "client");
    }
}

#[test]
fn what_is_delayed_is_late_and_the_other_way_is_not_delayed() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule { delay: DELAY, ..Rule::default() });
    let sent = Instant::now();
    agents.send(1, 2, "late");
    assert_eq!(agents.receive(2), "late");
    assert!(sent.elapsed() >= DELAY, "came after {:?}", sent.elapsed());
    agents.send(2, 1, "back");
    assert_eq!(agents.receive(1), "back");
    assert_eq!(agents.network.felt(), Felt { delayed: 1, ..Felt::default() });
}

#[test]
fn what_is_doubled_comes_twice_and_what_is_on_its_way_is_overtaken() {
    let Some(agents) = Agents::new(2) else { return };
    agents.set(1, 2, Rule { duplication: 1.0, ..Rule::default() });
    agents.send(1, 2, "twice");
    assert_eq!([agents.receive(2), agents.receive(2)], ["twice", "twice"]);
    // It would arrive long after this test.
    agents.set(1, 2, Rule { delay: Duration::from_secs(3_600), ..Rule::default() });
    agents.send(1, 2, "first");
    // The rule ends once it has met the first one.
    let began = Instant::now();
    while agents.network.felt().delayed == 0 && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    agents.set(1, 2, Rule::default());
    agents.send(1, 2, "second");
    assert_eq!(agents.receive(2), "second");
    assert_eq!(agents.network.felt().overtook, 1);
}
