//! A network of network namespaces: each agent in one of its own, joined by a bridge, so that the
//! kernel drops between them what a fault says. Needs root, `ip` and `iptables`.
//!
//! ```text
//! agent 1  veth ─┐
//! agent 2  veth ─┼─ bridge (a namespace of its own) ─ veth ─ here (clients)
//! agent 3  veth ─┘
//! ```
//!
//! What is dropped is dropped at the agents, by the address of the other one: clients reach an agent
//! that is cut off from the others. A program that is killed leaves its namespaces behind; their names
//! begin with `meridian-` and its process id.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, ensure};
use uuid::Uuid;

/// The number of this program's own address.
const HERE: u8 = 254;

/// Agents' namespaces. They are removed when it is dropped.
#[derive(Debug)]
pub struct Network {
    /// What all names begin with.
    prefix: String,
    /// 198.18.x.0: kept for measurements of networks (RFC 2544), so that nothing else is there.
    base: Ipv4Addr,
    agents: u8,
}

impl Network {
    /// Namespaces for that many agents, at most 200.
    ///
    /// # Errors
    /// What `ip` or `iptables` says; most often that it is not root who asks.
    pub fn create(agents: u8) -> anyhow::Result<Self> {
        ensure!((1..=200).contains(&agents), "a network has from 1 to 200 agents, not {agents}");
        let prefix = format!("meridian-{}", std::process::id());
        let base = Ipv4Addr::new(198, 18, Uuid::new_v4().into_bytes()[0], 0);
        // From here on, dropping it removes what there is.
        let network = Self { prefix, base, agents };
        network.build().context("no network namespaces")?;
        Ok(network)
    }

    fn build(&self) -> anyhow::Result<()> {
        let hub = self.hub();
        run("ip", &["netns", "add", &hub])?;
        run("ip", &["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        run("ip", &["-n", &hub, "link", "set", "bridge", "up"])?;
        for agent in 1..=self.agents {
            let name = self.namespace(agent);
            run("ip", &["netns", "add", &name])?;
            self.join(agent, &["netns", &name], "eth0")?;
            let address = format!("{}/24", self.address(agent));
            run("ip", &["-n", &name, "address", "add", &address, "dev", "eth0"])?;
            run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
            // Fails here, and not in the middle of a run, where the kernel lacks it.
            self.filter(agent, &["-L", "-n"])?;
        }
        let here = self.here();
        self.join(HERE, &["netns", "1"], &here)?;
        let address = format!("{}/24", self.address(HERE));
        run("ip", &["address", "add", &address, "dev", &here])?;
        run("ip", &["link", "set", &here, "up"])
    }

    /// A cable from the bridge to an interface of that name.
    fn join(&self, number: u8, namespace: &[&str; 2], interface: &str) -> anyhow::Result<()> {
        let (hub, port) = (self.hub(), format!("port{number}"));
        let mut cable = vec!["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name"];
        cable.push(interface);
        cable.extend(namespace);
        run("ip", &cable)?;
        run("ip", &["-n", &hub, "link", "set", &port, "master", "bridge", "up"])
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    /// The interface of this program: at most 15 characters.
    fn here(&self) -> String {
        format!("mrdn{}", std::process::id())
    }

    /// The name of an agent's namespace, for `ip netns exec`. Agents are counted from 1.
    #[must_use]
    pub fn namespace(&self, agent: u8) -> String {
        format!("{}-{agent}", self.prefix)
    }

    /// An agent's address.
    #[must_use]
    pub fn address(&self, agent: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.base.octets();
        Ipv4Addr::new(a, b, c, agent)
    }

    /// Drops everything that one agent sends to another. The other way stays open.
    ///
    /// # Errors
    /// What `iptables` says.
    pub fn cut(&self, from: u8, to: u8) -> anyhow::Result<()> {
        let sender = self.address(from).to_string();
        self.filter(to, &["-A", "INPUT", "-s", &sender, "-j", "DROP"])
    }

    /// Drops a part of what an agent receives from each other one, 0 to 1.
    ///
    /// # Errors
    /// What `iptables` says.
    pub fn lose(&self, agent: u8, part: f64) -> anyhow::Result<()> {
        let part = part.to_string();
        for other in (1..=self.agents).filter(|other| *other != agent) {
            let sender = self.address(other).to_string();
            let random = ["-m", "statistic", "--mode", "random", "--probability", &part];
            let rule = [&["-A", "INPUT", "-s", &sender][..], &random, &["-j", "DROP"]].concat();
            self.filter(agent, &rule)?;
        }
        Ok(())
    }

    /// Ends all cuts and losses.
    ///
    /// # Errors
    /// What `iptables` says.
    pub fn heal(&self) -> anyhow::Result<()> {
        (1..=self.agents).try_for_each(|agent| self.filter(agent, &["-F"]))
    }

    /// Packets dropped since the cuts and losses that are in force began.
    ///
    /// # Errors
    /// What `iptables` says.
    pub fn dropped(&self) -> anyhow::Result<u64> {
        let mut dropped = 0;
        for agent in 1..=self.agents {
            let name = self.namespace(agent);
            let list = ["netns", "exec", &name, "iptables", "-w", "-L", "INPUT", "-n", "-v", "-x"];
            let rules = output("ip", &list)?;
            let rules = rules.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let counts = rules.filter(|words| words.get(2) == Some(&"DROP"));
            dropped += counts.filter_map(|words| words.first()?.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(dropped)
    }

    fn filter(&self, agent: u8, arguments: &[&str]) -> anyhow::Result<()> {
        let name = self.namespace(agent);
        run("ip", &[&["netns", "exec", &name, "iptables", "-w"], arguments].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Both ends of each cable go with the namespace of one.
        for agent in 1..=self.agents {
            let _ = output("ip", &["netns", "delete", &self.namespace(agent)]);
        }
        let _ = output("ip", &["link", "delete", &self.here()]);
        let _ = output("ip", &["netns", "delete", &self.hub()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    output(program, arguments).map(drop)
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{program} cannot be run; is it installed?"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_cut_is_dropped_one_way_and_clients_reach_all() {
        let network = match Network::create(2) {
            Ok(network) => network,
            Err(error) => return eprintln!("skipped: {error:#}"),
        };
        // Nobody listens, so who is reached refuses.
        let reach = |agent| {
            let address = SocketAddr::from((network.address(agent), 9));
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(2));
            connected.expect_err("nobody listens").kind()
        };
        assert_eq!(reach(1), ErrorKind::ConnectionRefused);
        let ping = |from: u8, to: u8| {
            let (name, to) = (network.namespace(from), network.address(to).to_string());
            run(
                "ip",
                &[
                    "netns",
                    "exec",
                    &name,
                    "bash",
                    "-c",
                    &format!("(exec 3<>/dev/tcp/{to}/9) 2>&1 | grep -q refused"),
                ],
            )
        };
        assert!(ping(1, 2).is_ok());
        network.cut(1, 2).expect("is cut");
        let name = network.namespace(1);
        let to = network.address(2);
        let knock = format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{to}/9'");
        assert!(run("ip", &["netns", "exec", &name, "sh", "-c", &knock]).is_err());
        assert!(network.dropped().expect("is counted") > 0);
        assert_eq!(reach(2), ErrorKind::ConnectionRefused, "clients are not cut off");
        network.heal().expect("is healed");
        assert!(ping(1, 2).is_ok());
        assert_eq!(network.dropped().expect("is counted"), 0);
    }
}
