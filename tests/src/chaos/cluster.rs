//! The agents: processes, and the network between them.

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

use super::pid_squatter::PidSquatter;
use super::schedule::{Kind, Target};

/// Regions of the agents.
const REGIONS: [&str; 5] = ["westeurope", "eastus", "southeastasia", "northeurope", "uksouth"];
/// Frequent snapshots and few retained log entries, so that an agent needs a snapshot after seconds
/// of isolation. `insecure`, because no other host is on the namespaces' network.
const SETTINGS: &str = "snapshot_after_entries = 100\nkeep_entries = 10\ninsecure = true";
/// Connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Agents, running or temporarily down. Members are numbered from 0.
pub struct Cluster {
    pub members: Vec<Member>,
    /// The leader, according to a majority.
    leader: Mutex<Option<usize>>,
    // Drop order: the processes end before their network and directories are removed.
    sandbox: Sandbox,
    network: Box<dyn Network>,
}

/// A member of the cluster.
pub struct Member {
    pub agent: Agent,
    pub region: &'static str,
    /// Number of process runs that ended. Read consistency is only promised within one process run.
    process_runs: AtomicU64,
}

impl Cluster {
    /// Starts the agents of a new cluster. `seed` determines the random effects of network faults.
    pub async fn start(agents: u8, seed: u64) -> anyhow::Result<Self> {
        let mut sandbox = Sandbox::new().await?;
        let network: Box<dyn Network> = match Namespaces::create(agents, seed) {
            Ok(network) => Box::new(network),
            Err(error) => {
                eprintln!(
                    "the agents share the network of this machine, behind proxies: no packet is \
                     duplicated or reordered, and a cut or loss delays streams: {error:#}"
                );
                Box::new(Proxies::start(&sandbox, agents, seed).await?)
            }
        };
        let regions = REGIONS.iter().zip(1..).take(agents.into());
        let members = regions.map(|(&region, number)| {
            let agent = network.agent(&sandbox, number, region).with_machine()?;
            anyhow::Ok(Member { agent, region, process_runs: AtomicU64::new(0) })
        });
        let members = members.collect::<anyhow::Result<Vec<_>>>()?;
        for member in &members {
            if let Err(error) = sandbox.attach_disk(&member.agent) {
                eprintln!("full-disk faults are skipped: {error:#}");
                break;
            }
        }
        let cluster = Self { members, leader: Mutex::new(None), sandbox, network };
        let peers = cluster.members.iter().map(|it| format!("\"{}\"", it.agent.peer_endpoint()));
        let peers = peers.collect::<Vec<_>>().join(", ");
        for (index, member) in cluster.members.iter().enumerate() {
            let init = index == 0;
            let settings = format!("bootstrap_peers = [{peers}]\nbootstrap = {init}\n{SETTINGS}");
            member.agent.configure(member.region, &settings)?;
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

    /// Returns the disk of a member.
    pub fn disk(&self, index: usize) -> anyhow::Result<&Disk> {
        let disk = self.sandbox.disk(&self.members[index].agent);
        disk.context("a full disk needs a dedicated file system; run as root")
    }

    /// Returns the reason why faults of a kind cannot be injected, if any.
    pub fn unsupported(&self, kind: Kind) -> Option<String> {
        let error = match kind {
            Kind::DiskFull => self.disk(self.members.len() - 1).err(),
            Kind::PidReuse => PidSquatter::check_supported().err(),
            Kind::Move | Kind::Clone if !self.network.has_packets() => {
                Some(anyhow::anyhow!("proxies forward to one port of an agent; run as root"))
            }
            kind if kind.needs_packets() && !self.network.has_packets() => {
                Some(anyhow::anyhow!("packet faults need network namespaces; run as root"))
            }
            _ => None,
        };
        error.map(|error| format!("{error:#}"))
    }

    pub fn nodes(&self) -> Vec<NodeInfo> {
        let nodes = self.members.iter();
        let node = |it: &Member| NodeInfo { name: it.name(), region: it.region.to_owned() };
        nodes.map(node).collect()
    }

    /// Returns the index of the member with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.agent.name == name)
    }

    pub fn leader(&self) -> Option<usize> {
        *self.leader.lock().expect("no thread panics while holding the lock")
    }

    /// Sets the leader, and returns true if it changed.
    pub fn set_leader(&self, leader: usize) -> bool {
        let mut known = self.leader.lock().expect("no thread panics while holding the lock");
        known.replace(leader) != Some(leader)
    }

    /// Returns the index of the target; the first member if the leader is unknown.
    pub fn target(&self, target: Target) -> usize {
        match target {
            Target::Leader => self.leader().unwrap_or(0),
            Target::Agent(number) => usize::from(number.saturating_sub(1)) % self.members.len(),
        }
    }

    /// Starts an agent, and waits until it is running or has exited. The exit status is not
    /// awaited: tokio reaps the process.
    pub fn start_member(&self, index: usize) -> anyhow::Result<()> {
        let agent = &self.members[index].agent;
        let mut child = agent.start()?;
        // The child first enters the agent's namespace and then becomes the agent; the next fault
        // may need it.
        while agent.process()?.is_none() && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Kills an agent; its units keep running.
    pub fn kill(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        member.agent.kill()?;
        member.process_runs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Ensures that an agent is not running: kills it unless it has exited on its own.
    pub fn ensure_stopped(&self, index: usize) -> anyhow::Result<()> {
        if self.members[index].agent.process()?.is_some() {
            return self.kill(index);
        }
        self.members[index].process_runs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Restarts an agent that has exited on its own, or should have.
    pub fn restart(&self, index: usize) -> anyhow::Result<()> {
        self.ensure_stopped(index)?;
        self.start_member(index)
    }

    /// Simulates the loss of a stopped agent's disk: kills its units, empties its data directory
    /// and configures it to join as a new agent.
    pub fn wipe(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        self.units(index)?.iter().try_for_each(Process::kill)?;
        empty(&member.agent.data()).context("cannot empty the data directory")?;
        let others = self.members.iter().filter(|it| it.agent.name != member.agent.name);
        let others = others.map(|it| format!("\"{}\"", it.agent.endpoint())).collect::<Vec<_>>();
        let joining = format!("join = [{}]\n{SETTINGS}", others.join(", "));
        member.agent.configure(member.region, &joining)
    }

    /// Returns the units of an agent, including those started by its earlier process runs.
    pub fn units(&self, index: usize) -> anyhow::Result<Vec<Process>> {
        let home = self.members[index].agent.home();
        let mut processes = self.sandbox.processes()?;
        processes.retain(|it| it.unit().is_some() && it.works_within(home));
        Ok(processes)
    }

    /// Returns the units of an agent without those that a fault has made hang: their agent is about to
    /// kill them.
    pub fn serving_units(&self, index: usize) -> anyhow::Result<Vec<Process>> {
        let mut units = self.units(index)?;
        units.retain(|unit| !unit.is_frozen());
        Ok(units)
    }

    /// Returns the number of the agent's current process run.
    pub fn process_run(&self, index: usize) -> u64 {
        self.members[index].process_runs.load(Ordering::SeqCst)
    }

    /// Creates a new connection, opened by the first request.
    pub fn connect(&self, index: usize) -> anyhow::Result<Channel> {
        let address = format!("http://{}", self.members[index].agent.endpoint());
        Ok(Endpoint::from_shared(address)?.connect_timeout(CONNECT_TIMEOUT).connect_lazy())
    }
}

/// Removes the contents of a directory, which may be a mount point.
pub fn empty(directory: &Path) -> io::Result<()> {
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
