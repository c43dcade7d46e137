//! A network of Linux network namespaces: each agent has its own, with a TAP device connected to a
//! hub in this program. Needs root and `ip`.
//!
//! ```text
//! agent 1  eth0 ─┐
//! agent 2  eth0 ─┼─ hub ─ this program (clients)
//! agent 3  eth0 ─┘
//! ```
//!
//! A program that is killed leaves its namespaces behind; their names begin with `meridian-` and
//! its process id. The devices are removed with the process.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::hub::{self, Hub};
use super::tap::Tap;
use super::{Counters, Network, Rule};
use crate::process::agent::Agent;
use crate::process::sandbox::Sandbox;

/// Number of this program's own address.
const HOST: u8 = 254;
/// Maximum number of attempts to draw an address range; there are 512 and few concurrent tests.
const DRAWS: usize = 100;

/// The namespaces of agents. Removed when this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// Common prefix of the names.
    prefix: String,
    base: Ipv4Addr,
    agents: u8,
    hub: Option<Hub>,
}

impl Namespaces {
    /// Creates namespaces for `agents` agents, at most 200. `seed` determines the random effects of
    /// the rules.
    ///
    /// # Errors
    /// The error of `ip`, usually for lack of root privileges.
    pub fn create(agents: u8, seed: u64) -> anyhow::Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        ensure!((1..=200).contains(&agents), "a network has 1 to 200 agents, not {agents}");
        let count = CREATED.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("meridian-{}-{count}", std::process::id());
        // From here on, a drop cleans up what was created.
        let mut network = Self { prefix, base: free_range()?, agents, hub: None };
        network.build(seed).context("cannot create network namespaces")?;
        Ok(network)
    }

    fn build(&mut self, seed: u64) -> anyhow::Result<()> {
        let mut ports = vec![(HOST, self.port(HOST, None)?)];
        for agent in 1..=self.agents {
            let name = self.namespace(agent);
            ip(&["netns", "add", &name])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ports.push((agent, self.port(agent, Some(&name))?));
        }
        self.hub = Some(Hub::start(ports, seed)?);
        Ok(())
    }

    /// Creates a device and brings it up, in this namespace or in the given one.
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

    /// Returns the name of an agent's namespace, for `ip netns exec`. Agents are numbered from 1.
    #[must_use]
    pub fn namespace(&self, agent: u8) -> String {
        format!("{}-{agent}", self.prefix)
    }

    /// Returns the address of an agent.
    #[must_use]
    pub fn address(&self, agent: u8) -> Ipv4Addr {
        address(self.base, agent)
    }

    fn hub(&self) -> &Hub {
        self.hub.as_ref().expect("a network has a hub once built")
    }
}

impl Network for Namespaces {
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent {
        let agent = Agent::new(name, self.address(number), sandbox.data().join(name));
        agent.in_namespace(self.namespace(number))
    }

    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()> {
        for agent in [from, to] {
            ensure!((1..=self.agents).contains(&agent), "unknown agent {agent}");
        }
        self.hub().set(from, to, rule);
        Ok(())
    }

    fn heal(&self) {
        self.hub().heal();
    }

    fn counters(&self) -> Counters {
        self.hub().counters()
    }

    fn has_packets(&self) -> bool {
        true
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The devices are removed with the hub.
        drop(self.hub.take());
        for agent in 1..=self.agents {
            let _ = ip(&["netns", "delete", &self.namespace(agent)]);
        }
    }
}

/// Returns a free range in 198.18.0.0/15, which is reserved for benchmarks of networks (RFC 2544)
/// and therefore not in use otherwise.
fn free_range() -> anyhow::Result<Ipv4Addr> {
    let ranges = std::iter::repeat_with(|| {
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        Ipv4Addr::new(198, 18 + high % 2, low, 0)
    });
    // Listening succeeds only on a local address, so a failure means that no network here uses it.
    let is_free = |base: &Ipv4Addr| TcpListener::bind((address(*base, HOST), 0)).is_err();
    ranges.take(DRAWS).find(is_free).context("no free address range")
}

fn address(base: Ipv4Addr, number: u8) -> Ipv4Addr {
    let [a, b, c, _] = base.octets();
    Ipv4Addr::new(a, b, c, number)
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("cannot run ip; is it installed?")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), stderr.trim());
    Ok(())
}

#[cfg(test)]
mod tests;
