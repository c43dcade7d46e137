//! The agents: their processes, and the network between them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meridian_testkit::history::NodeInfo;
use meridian_testkit::process::network::{Namespaces, Network, Proxies};
use meridian_testkit::process::{Agent, Disk, Process, Sandbox};
use tonic::transport::{Channel, Endpoint};

use super::innocent::Innocent;
use super::schedule::{Kind, Target};

/// Where the agents live.
const REGIONS: [&str; 5] = ["westeurope", "eastus", "southeastasia", "northeurope", "uksouth"];
/// Snapshots often, and hardly an entry kept: an agent that was cut off for seconds needs one. The
/// namespaces' network is nobody else's.
const SETTINGS: &str = "snapshot_after_entries = 100\nkeep_entries = 10\ninsecure = true";
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);

/// Agents that run, or are down for a while. Members are counted from 0.
pub struct Cluster {
    pub members: Vec<Member>,
    /// Who leads, as most of them say.
    leader: Mutex<Option<usize>>,
    // The processes end before their network and their directories go.
    sandbox: Sandbox,
    network: Box<dyn Network>,
}

/// One of them.
pub struct Member {
    pub agent: Agent,
    pub region: &'static str,
    /// Raised whenever the process ends: what was read before is not promised after.
    lives: AtomicU64,
}

impl Cluster {
    /// Starts the founders of a new cluster. What happens by chance between them, the seed says.
    pub async fn start(agents: u8, seed: u64) -> anyhow::Result<Self> {
        let mut sandbox = Sandbox::new().await?;
        let network: Box<dyn Network> = match Namespaces::create(agents, seed) {
            Ok(network) => Box::new(network),
            Err(error) => {
                eprintln!(
                    "the agents share this machine's network, behind proxies: no packet is doubled \
                     or reordered, and a cut or a loss makes streams wait: {error:#}"
                );
                Box::new(Proxies::start(&sandbox, agents, seed).await?)
            }
        };
        let regions = REGIONS.iter().zip(1..).take(agents.into());
        let members = regions.map(|(&region, number)| {
            let agent = network.agent(&sandbox, number, region).on_a_machine()?;
            anyhow::Ok(Member { agent, region, lives: AtomicU64::new(0) })
        });
        let members = members.collect::<anyhow::Result<Vec<_>>>()?;
        for member in &members {
            if let Err(error) = sandbox.give_disk(&member.agent) {
                eprintln!("no disk will be full: {error:#}");
                break;
            }
        }
        let cluster = Self { members, leader: Mutex::new(None), sandbox, network };
        let peers = cluster.members.iter().map(|it| format!("\"{}\"", it.agent.peer_endpoint()));
        let peers = peers.collect::<Vec<_>>().join(", ");
        for (index, member) in cluster.members.iter().enumerate() {
            let init = index == 0;
            let founding = format!("founders = [{peers}]\ninit = {init}\n{SETTINGS}");
            member.agent.configure(member.region, &founding)?;
            cluster.start_member(index)?;
        }
        Ok(cluster)
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// The disk of a member, where it has one of its own.
    pub fn disk(&self, index: usize) -> anyhow::Result<&Disk> {
        let disk = self.sandbox.disk(&self.members[index].agent);
        disk.context("a full disk needs a file system of its own, so it needs root")
    }

    /// Why faults of a kind cannot be injected here.
    pub fn lacks(&self, kind: Kind) -> Option<String> {
        let lacking = match kind {
            Kind::DiskFull => self.disk(self.members.len() - 1).err(),
            Kind::PidReuse => Innocent::possible().err(),
            kind if kind.needs_packets() && !self.network.has_packets() => {
                Some(anyhow::anyhow!("it needs packets, and so root"))
            }
            _ => None,
        };
        lacking.map(|error| format!("{error:#}"))
    }

    pub fn nodes(&self) -> Vec<NodeInfo> {
        let nodes = self.members.iter();
        let node = |it: &Member| NodeInfo { name: it.name(), region: it.region.to_owned() };
        nodes.map(node).collect()
    }

    /// The member of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.agent.name == name)
    }

    pub fn leader(&self) -> Option<usize> {
        *self.leader.lock().expect("nobody panics with this lock")
    }

    /// Notes who leads, and returns whether that is another one than before.
    pub fn note_leader(&self, leader: usize) -> bool {
        let mut known = self.leader.lock().expect("nobody panics with this lock");
        known.replace(leader) != Some(leader)
    }

    /// The member that is meant: the first one, where none is known to lead.
    pub fn target(&self, target: Target) -> usize {
        match target {
            Target::Leader => self.leader().unwrap_or(0),
            Target::Agent(number) => usize::from(number.saturating_sub(1)) % self.members.len(),
        }
    }

    /// Starts an agent, which runs then, or has ended. Nobody waits for its end: tokio reaps it.
    pub fn start_member(&self, index: usize) -> anyhow::Result<()> {
        let agent = &self.members[index].agent;
        let mut child = agent.start()?;
        // What was started enters the agent's namespace first, and a fault may be next.
        while agent.process()?.is_none() && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Kills an agent; its units go on.
    pub fn kill(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        member.agent.kill()?;
        member.lives.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Notes that an agent ended by itself, or kills it where it did not.
    pub fn retire(&self, index: usize) -> anyhow::Result<()> {
        if self.members[index].agent.process()?.is_some() {
            return self.kill(index);
        }
        self.members[index].lives.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Begins the next life of an agent that ended by itself, or should have.
    pub fn revive(&self, index: usize) -> anyhow::Result<()> {
        self.retire(index)?;
        self.start_member(index)
    }

    /// Takes the disk of a killed agent, and with it what it ran, and has it join as a new one.
    pub fn wipe(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        self.units(index)?.iter().try_for_each(Process::kill)?;
        empty(&member.agent.data()).context("the disk to be lost")?;
        let others = self.members.iter().filter(|it| it.agent.name != member.agent.name);
        let others = others.map(|it| format!("\"{}\"", it.agent.endpoint())).collect::<Vec<_>>();
        let joining = format!("join = [{}]\n{SETTINGS}", others.join(", "));
        member.agent.configure(member.region, &joining)
    }

    /// The units of an agent, of earlier lives of it, too.
    pub fn units(&self, index: usize) -> anyhow::Result<Vec<Process>> {
        let home = self.members[index].agent.home();
        let mut processes = self.sandbox.processes()?;
        processes.retain(|it| it.unit().is_some() && it.works_within(home));
        Ok(processes)
    }

    /// Which life of the agent this is.
    pub fn life(&self, index: usize) -> u64 {
        self.members[index].lives.load(Ordering::SeqCst)
    }

    /// A new connection, opened by the first call over it.
    pub fn connect(&self, index: usize) -> anyhow::Result<Channel> {
        let address = format!("http://{}", self.members[index].agent.endpoint());
        Ok(Endpoint::from_shared(address)?.connect_timeout(CONNECT).connect_lazy())
    }
}

/// Removes all that is in a directory, which may be where a disk is mounted.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

impl Member {
    pub fn name(&self) -> String {
        self.agent.name.clone()
    }
}
