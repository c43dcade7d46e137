//! A cluster of three agents, each in its own region.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::services_client::ServicesClient;
use tokio::process::Command;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::changes::Changes;
use super::member::{Cluster, MEMBERS, REQUEST_TIMEOUT, free_address, until};
use super::process::Process;

/// Regions of the agents, the same as those of `meridian dev`.
pub const REGIONS: [&str; MEMBERS] = ["westeurope", "eastus", "southeastasia"];

/// The cluster of agents.
pub struct Agents {
    program: PathBuf,
    agents: Vec<Agent>,
}

struct Agent {
    address: SocketAddr,
    directory: PathBuf,
    process: Process,
}

/// Returns the program to measure: the given one, or a release build of this workspace.
///
/// # Errors
/// If the build fails.
pub async fn program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--package", "meridian", "--bin", "meridian"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit());
    let built = build.output().await.context("cannot run cargo")?;
    anyhow::ensure!(built.status.success(), "cannot build meridian: {}", built.status);
    let messages = String::from_utf8(built.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let program = messages
        .into_iter()
        .find_map(|message: serde_json::Value| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo reported no executable")
}

impl Agents {
    /// Bootstraps a cluster under `root`, and waits until each agent serves linearizable reads.
    ///
    /// # Errors
    /// If an agent does not become ready in time.
    pub async fn start(program: PathBuf, root: &Path) -> anyhow::Result<Self> {
        let peers = (0..MEMBERS).map(|_| free_address()).collect::<Result<Vec<_>, _>>()?;
        let mut agents = Vec::new();
        for (index, region) in REGIONS.iter().enumerate() {
            let directory = root.join(region);
            fs::create_dir(&directory)?;
            let address = free_address()?;
            let config = config(index, address, free_address()?, &peers);
            fs::write(directory.join("agent.toml"), config)?;
            let process = start(&program, &directory)?;
            agents.push(Agent { address, directory, process });
        }
        let mut cluster = Self { program, agents };
        for member in 0..MEMBERS {
            cluster.ready(member).await?;
        }
        Ok(cluster)
    }

    /// Returns the resident memory of each agent in bytes.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn resident_bytes(&self) -> anyhow::Result<Vec<u64>> {
        self.agents.iter().map(|agent| agent.process.resident_bytes()).collect()
    }

    /// Connects to an agent.
    ///
    /// # Errors
    /// If the agent is unreachable.
    pub async fn connect(&self, member: usize) -> anyhow::Result<Channel> {
        connect(self.agents[member].address).await
    }

    /// Returns the current revision by a linearizable read from an agent.
    ///
    /// # Errors
    /// If the read fails.
    pub async fn revision(&self, member: usize) -> anyhow::Result<u64> {
        revision(self.agents[member].address).await
    }

    async fn ready(&mut self, member: usize) -> anyhow::Result<()> {
        let Agent { address, directory, process } = &mut self.agents[member];
        let log = directory.join("agent.log");
        until(async || {
            process.check(&log)?;
            anyhow::ensure!(revision(*address).await? > 0, "the cluster is not bootstrapped");
            Ok(())
        })
        .await
        .with_context(|| format!("the agent in {} did not become ready", REGIONS[member]))
    }
}

impl Cluster for Agents {
    const NAME: &'static str = "meridian";
    type Client = Changes;

    async fn client(&self, number: usize, member: usize) -> anyhow::Result<Changes> {
        Changes::new(self.connect(member).await?, number).await
    }

    async fn leader(&self, member: usize) -> anyhow::Result<usize> {
        let mut client = ClusterClient::new(self.connect(member).await?);
        let status = client.get_status(v1::GetStatusRequest {}).await?.into_inner();
        let leader = (0..MEMBERS).find(|index| name(*index) == status.leader);
        leader.context("the cluster has no leader")
    }

    fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.agents.iter().map(|member| member.process.cpu_time()).sum()
    }

    async fn kill(&mut self, member: usize) -> anyhow::Result<()> {
        self.agents[member].process.kill().await
    }

    async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        self.agents[member].process = start(&self.program, &self.agents[member].directory)?;
        self.ready(member).await
    }
}

fn name(index: usize) -> String {
    format!("{}-1", REGIONS[index])
}

/// Returns an agent's configuration: required options only, defaults otherwise.
fn config(index: usize, client: SocketAddr, http: SocketAddr, peers: &[SocketAddr]) -> String {
    let quoted_peers: Vec<_> = peers.iter().map(|peer| format!("\"{peer}\"")).collect();
    format!(
        "name = \"{}\"\nregion = \"{}\"\ndata_dir = \"data\"\nnetwork = \"lan\"\n\
         client_listen = \"{client}\"\npeer_listen = \"{}\"\nhttp_listen = \"{http}\"\n\
         gateway_listen = \"127.0.77.{}\"\nbootstrap_peers = [{}]\nbootstrap = {}\n",
        name(index),
        REGIONS[index],
        peers[index],
        index + 1,
        quoted_peers.join(", "),
        index == 0,
    )
}

fn start(program: &Path, directory: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.args(["agent", "--config"]).arg(directory.join("agent.toml"));
    // Environment variables would override the configuration files.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(variable);
        }
    }
    Process::start(&mut command, &directory.join("agent.log"))
}

async fn connect(address: SocketAddr) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(REQUEST_TIMEOUT)
        .connect()
        .await?)
}

async fn revision(address: SocketAddr) -> anyhow::Result<u64> {
    let mut request = Request::new(v1::ListServicesRequest::default());
    request.set_timeout(REQUEST_TIMEOUT);
    let response = ServicesClient::new(connect(address).await?).list_services(request).await?;
    Ok(response.into_inner().read_point.map_or(0, |point| point.revision))
}
