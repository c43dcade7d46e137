//! Resolvers and diagnostic tools of others, and the name servers of real agents.
//!
//! The agents serve the zone `meridian.test` at port 53 of their loopback addresses. A root zone
//! delegates it with the records of `meridian dns delegation`, and resolvers know nothing but the
//! root. Needs root, the tools of Debian's packages bind9-dnsutils, knot-dnsutils, ldnsutils and
//! unbound, and for one more resolver knot-resolver.

mod diagnosis;
mod lookups;
mod moving;
mod servers;
mod subnets;
mod tools;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use meridian_testkit::process::{Agent, Sandbox, run};
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{execute_soon, start_cluster, wait_until_converged};
use lookups::can_mount;
use servers::Server;

/// Zone of the cluster, and name of its service.
const ZONE: &str = "meridian.test.";
const SERVICE: &str = "contoso.meridian.test.";
/// Agents with their region: two in each of two regions, and a majority without any of these.
const AGENTS: [(&str, &str); 5] = [
    ("eu-1", "westeurope"),
    ("eu-2", "westeurope"),
    ("us-1", "eastus"),
    ("us-2", "eastus"),
    ("asia-1", "southeastasia"),
];
/// Time to live of responses in seconds: as short as possible, so that lookups often reach the name
/// servers.
const TTL: u32 = 1;
/// Number of the address of the root, in the range of the sandbox. Resolvers follow.
const ROOT: u8 = 200;

/// Settings of unbound that pass the networks of clients on to all name servers, and that do not.
const WITH_SUBNET: &[&str] = &[
    "module-config: \"subnetcache validator iterator\"",
    "send-client-subnet: 127.0.0.0/8",
    "client-subnet-always-forward: yes",
];
const WITHOUT_SUBNET: &[&str] = &["module-config: \"validator iterator\""];

/// The cluster. Dropped in this order.
struct Zone {
    agents: Vec<Agent>,
    root: Server,
    sandbox: Sandbox,
    /// Held by one test at a time, because of the number of agents.
    _turn: MutexGuard<'static, ()>,
}

impl Zone {
    /// Returns `None`, and prints the reason, where it cannot run.
    async fn start() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let sandbox = Sandbox::new().await.expect("a sandbox");
        if let Some(reason) = obstacle(&sandbox).await {
            eprintln!("skipped: {reason}");
            return None;
        }
        let agents = (1..).zip(AGENTS).map(|(number, (name, _))| sandbox.agent(number, name));
        let agents: Vec<_> = agents.collect();
        start_cluster(&agents, &AGENTS.map(|(_, region)| region), |agent| {
            format!("network = \"lan\"\ndns_listen = [\"{}:53\"]", agent.address())
        });
        let first = &agents[0];
        execute_soon(first, "service create contoso --primary westeurope --tier premium").await;
        for change in [
            "region set westeurope=2 eastus=2 southeastasia=1",
            &format!("dns set --zone meridian.test --ttl {TTL}"),
            &format!("network set {}/24=westeurope", sandbox.base()),
        ] {
            execute_soon(first, change).await;
        }
        wait_until_converged(&agents).await;
        let delegation = ["dns", "delegation", "--endpoint", &first.endpoint()];
        let delegation = run(delegation).await.expect("the command runs");
        let delegation = delegation.success().expect("there is a zone").stdout;
        let root = Server::root(&sandbox, sandbox.address(ROOT), &delegation).await;
        Some(Self { agents, root, sandbox, _turn: turn })
    }

    /// Starts unbound at the address with this number, in the network of westeurope.
    async fn unbound(&self, number: u8, further: &[&str]) -> Server {
        let address = self.sandbox.address(ROOT + number);
        Server::resolver(&self.sandbox, address, self.root.address, further).await
    }

    /// Starts the resolver of Knot at the address with this number, if it is installed.
    async fn knot(&self, number: u8) -> Option<Server> {
        if !is_installed("kresd") {
            eprintln!("skipped without kresd: the resolver of Knot");
            return None;
        }
        let address = self.sandbox.address(ROOT + number);
        Some(Server::knot(&self.sandbox, address, self.root.address).await)
    }

    /// Returns the addresses of the gateways of a region, sorted.
    fn gateways(&self, region: &str) -> Vec<IpAddr> {
        let of_region = self.agents.iter().zip(AGENTS).filter(|(_, (_, of))| *of == region);
        of_region.map(|(agent, _)| agent.address()).collect()
    }

    /// Returns the same addresses as text.
    fn gateway_texts(&self, region: &str) -> Vec<String> {
        self.gateways(region).iter().map(IpAddr::to_string).collect()
    }

    /// Returns the address of the name server of the first agent, which is in westeurope.
    fn name_server(&self) -> Ipv4Addr {
        self.sandbox.address(1)
    }
}

/// Returns the reason for which these tests cannot run, if there is one.
async fn obstacle(sandbox: &Sandbox) -> Option<String> {
    for program in ["dig", "kdig", "drill", "unbound", "getent"] {
        if !is_installed(program) {
            return Some(format!("{program} is not installed"));
        }
    }
    if !can_mount().await {
        return Some("a private /etc/resolv.conf needs root".to_owned());
    }
    let port = UdpSocket::bind((sandbox.address(ROOT), 53));
    port.err().map(|error| format!("port 53 of loopback addresses is not available: {error}"))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
