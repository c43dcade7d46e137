//! A network of network namespaces: each agent in one of its own, with a TAP device whose cable ends
//! in a hub of this program. Needs root and `ip`.
//!
//! ```text
//! agent 1  eth0 ─┐
//! agent 2  eth0 ─┼─ hub ─ here (clients)
//! agent 3  eth0 ─┘
//! ```
//!
//! A program that is killed leaves its namespaces behind; their names begin with `meridian-` and its
//! process id. The devices go with it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::hub::{self, Hub};
use super::tap::Tap;
use super::{Felt, Network, Rule};
use crate::process::agent::Agent;
use crate::process::sandbox::Sandbox;

/// The number of this program's own address.
const HERE: u8 = 254;
/// Draws of a range of addresses before giving up: there are 512, and a few tests.
const DRAWS: usize = 100;

/// Agents' namespaces. They are removed when it is dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// What all names begin with.
    prefix: String,
    base: Ipv4Addr,
    agents: u8,
    hub: Option<Hub>,
}

impl Namespaces {
    /// Namespaces for that many agents, at most 200. What happens by chance between them, the seed
    /// says.
    ///
    /// # Errors
    /// What `ip` says; most often that it is not root who asks.
    pub fn create(agents: u8, seed: u64) -> anyhow::Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        ensure!((1..=200).contains(&agents), "a network has from 1 to 200 agents, not {agents}");
        let count = CREATED.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("meridian-{}-{count}", std::process::id());
        // From here on, dropping it removes what there is.
        let mut network = Self { prefix, base: free_range()?, agents, hub: None };
        network.build(seed).context("no network namespaces")?;
        Ok(network)
    }

    fn build(&mut self, seed: u64) -> anyhow::Result<()> {
        let mut ports = vec![(HERE, self.port(HERE, None)?)];
        for agent in 1..=self.agents {
            let name = self.namespace(agent);
            ip(&["netns", "add", &name])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ports.push((agent, self.port(agent, Some(&name))?));
        }
        self.hub = Some(Hub::start(ports, seed)?);
        Ok(())
    }

    /// A device that is up, here or in a namespace.
    fn port(&self, number: u8, namespace: Option<&str>) -> anyhow::Result<Tap> {
        let tap = Tap::create()?;
        ip(&["link", "set", &tap.name, "address", &hub::address(number)])?;
        let (within, name) = match namespace {
            None => (vec![], tap.name.as_str()),
            Some(namespace) => {
                ip(&["link", "set", &tap.name, "netns", namespace, "name", "eth0"])?;
                (vec!["-n", namespace], "eth0")
            }
        };
        let address = format!("{}/24", self.address(number));
        ip(&[&within[..], &["address", "add", &address, "dev", name]].concat())?;
        ip(&[&within[..], &["link", "set", name, "up"]].concat())?;
        Ok(tap)
    }

    /// The name of an agent's namespace, for `ip netns exec`. Agents are counted from 1.
    #[must_use]
    pub fn namespace(&self, agent: u8) -> String {
        format!("{}-{agent}", self.prefix)
    }

    /// An agent's address.
    #[must_use]
    pub fn address(&self, agent: u8) -> Ipv4Addr {
        within(self.base, agent)
    }

    fn hub(&self) -> &Hub {
        self.hub.as_ref().expect("a network that was built has a hub")
    }
}

impl Network for Namespaces {
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent {
        let agent = Agent::new(name, self.address(number), sandbox.data().join(name));
        agent.within(self.namespace(number))
    }

    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()> {
        for agent in [from, to] {
            ensure!((1..=self.agents).contains(&agent), "there is no agent {agent}");
        }
        self.hub().set(from, to, rule);
        Ok(())
    }

    fn heal(&self) {
        self.hub().heal();
    }

    fn felt(&self) -> Felt {
        self.hub().felt()
    }

    fn has_packets(&self) -> bool {
        true
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The devices go with the hub.
        drop(self.hub.take());
        for agent in 1..=self.agents {
            let _ = ip(&["netns", "delete", &self.namespace(agent)]);
        }
    }
}

/// Addresses of 198.18.0.0/15, which are kept for measurements of networks (RFC 2544), so that nothing
/// else is there; a range that no other network of this machine has.
fn free_range() -> anyhow::Result<Ipv4Addr> {
    let ranges = std::iter::repeat_with(|| {
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        Ipv4Addr::new(198, 18 + high % 2, low, 0)
    });
    // Only an address of this machine can be listened on.
    let is_free = |base: &Ipv4Addr| TcpListener::bind((within(*base, HERE), 0)).is_err();
    ranges.take(DRAWS).find(is_free).context("no range of addresses is free")
}

fn within(base: Ipv4Addr, number: u8) -> Ipv4Addr {
    let [a, b, c, _] = base.octets();
    Ipv4Addr::new(a, b, c, number)
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("ip cannot be run; is it installed?")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests;
