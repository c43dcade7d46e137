//! A cluster of three etcd members with default settings.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};

use super::changes::timed;
use super::member::{Client, Cluster, MEMBERS, REQUEST_TIMEOUT, free_address, until};
use super::process::Process;

#[expect(unused_qualifications, reason = "generated")]
mod rpc {
    tonic::include_proto!("etcdserverpb");
}

use rpc::kv_client::KvClient;
use rpc::maintenance_client::MaintenanceClient;
use rpc::{PutRequest, StatusRequest};

/// Size of a value in bytes.
const VALUE_BYTES: usize = 256;

/// The etcd cluster.
pub struct Etcd {
    members: Vec<Member>,
}

struct Member {
    address: SocketAddr,
    arguments: Vec<String>,
    log: PathBuf,
    process: Process,
}

impl Etcd {
    /// Bootstraps a cluster under `root`, and waits until each member acknowledges a write. Returns
    /// `None` if etcd is not installed.
    ///
    /// # Errors
    /// If a member does not become ready in time.
    pub async fn start(root: &Path) -> anyhow::Result<Option<Self>> {
        if Command::new("etcd").arg("--version").output().await.is_err() {
            return Ok(None);
        }
        let peers = (0..MEMBERS).map(|_| free_address()).collect::<Result<Vec<_>, _>>()?;
        let mut members = Vec::new();
        for index in 0..MEMBERS {
            let address = free_address()?;
            let directory = root.join(name(index));
            let arguments = arguments(index, address, &peers, &directory);
            let log = root.join(format!("{}.log", name(index)));
            let process = start(&arguments, &log)?;
            members.push(Member { address, arguments, log, process });
        }
        let mut cluster = Self { members };
        for member in 0..MEMBERS {
            cluster.ready(member).await?;
        }
        Ok(Some(cluster))
    }

    async fn ready(&mut self, member: usize) -> anyhow::Result<()> {
        let Member { address, log, process, .. } = &mut self.members[member];
        until(async || {
            process.check(log)?;
            Puts::new(connect(*address).await?, 0).write().await
        })
        .await
        .with_context(|| format!("{} did not become ready", name(member)))
    }
}

impl Cluster for Etcd {
    const NAME: &'static str = "etcd";
    type Client = Puts;

    async fn client(&self, number: usize, member: usize) -> anyhow::Result<Puts> {
        Ok(Puts::new(connect(self.members[member].address).await?, number))
    }

    async fn leader(&self, member: usize) -> anyhow::Result<usize> {
        let leader = status(self.members[member].address).await?.leader;
        for index in 0..MEMBERS {
            let header = status(self.members[index].address).await?.header;
            if header.is_some_and(|header| header.member_id == leader) {
                return Ok(index);
            }
        }
        anyhow::bail!("the cluster has no leader")
    }

    fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.members.iter().map(|member| member.process.cpu_time()).sum()
    }

    async fn kill(&mut self, member: usize) -> anyhow::Result<()> {
        self.members[member].process.kill().await
    }

    async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        let Member { arguments, log, process, .. } = &mut self.members[member];
        *process = start(arguments, log)?;
        self.ready(member).await
    }
}

/// Puts to one key that no other client writes.
#[derive(Clone)]
pub struct Puts {
    client: KvClient<Channel>,
    key: Vec<u8>,
}

impl Puts {
    fn new(channel: Channel, number: usize) -> Self {
        Self { client: KvClient::new(channel), key: format!("bench-{number:03}").into_bytes() }
    }
}

impl Client for Puts {
    async fn write(&mut self) -> anyhow::Result<()> {
        let request = PutRequest { key: self.key.clone(), value: vec![b'x'; VALUE_BYTES] };
        self.client.put(timed(request)).await?;
        Ok(())
    }
}

fn name(index: usize) -> String {
    format!("etcd-{}", index + 1)
}

fn arguments(
    index: usize,
    client: SocketAddr,
    peers: &[SocketAddr],
    directory: &Path,
) -> Vec<String> {
    let all =
        peers.iter().enumerate().map(|(index, peer)| format!("{}=http://{peer}", name(index)));
    let all: Vec<_> = all.collect();
    let (client, peer) = (format!("http://{client}"), format!("http://{}", peers[index]));
    let pairs = [
        ("--name", name(index)),
        ("--data-dir", directory.display().to_string()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer),
        ("--initial-cluster", all.join(",")),
        ("--logger", "zap".to_owned()),
        ("--log-level", "error".to_owned()),
    ];
    pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}

fn start(arguments: &[String], log: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new("etcd");
    command.args(arguments);
    // etcd also reads its flags from the environment.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(variable);
        }
    }
    Process::start(&mut command, log)
}

async fn connect(address: SocketAddr) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(REQUEST_TIMEOUT)
        .connect()
        .await?)
}

async fn status(address: SocketAddr) -> anyhow::Result<rpc::StatusResponse> {
    let mut client = MaintenanceClient::new(connect(address).await?);
    Ok(client.status(timed(StatusRequest {})).await?.into_inner())
}
