//! One agent as a process, and its units.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Child;

use super::cli::{self, Output};
use super::http::{Answer, get};
use super::machine::Machine;
use super::port;
use super::running::{Process, UnitProcess};
use crate::wait::{PATIENCE, until};

/// Where an agent is, running or not.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: String,
    address: Ipv4Addr,
    home: PathBuf,
    /// The network namespace that it is started in; none for this program's.
    namespace: Option<String>,
    /// The address of the proxy by which other agents reach it, if there is one.
    proxy: Option<Ipv4Addr>,
    /// What is preloaded under it.
    machine: Option<Arc<Machine>>,
}

impl Agent {
    pub(super) fn new(name: &str, address: Ipv4Addr, home: PathBuf) -> Self {
        let (namespace, proxy, machine) = (None, None, None);
        Self { name: name.to_owned(), address, home, namespace, proxy, machine }
    }

    pub(super) fn within(self, namespace: String) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    pub(super) fn behind(self, proxy: Ipv4Addr) -> Self {
        Self { proxy: Some(proxy), ..self }
    }

    /// The same agent, started on a machine whose disk and clock can be meddled with.
    ///
    /// # Errors
    /// If there is no place for what is said to it, or its library cannot be built.
    pub fn on_a_machine(self) -> anyhow::Result<Self> {
        fs::create_dir_all(&self.home)?;
        let machine = Machine::create(&self.home.join("machine"))?;
        Ok(Self { machine: Some(machine.into()), ..self })
    }

    /// That machine, if it is on one.
    ///
    /// # Errors
    /// If it is not.
    pub fn machine(&self) -> anyhow::Result<&Machine> {
        self.machine.as_deref().with_context(|| format!("{} is on no such machine", self.name))
    }

    /// Where it keeps what it must not lose.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Its address, without a port.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// Where it serves clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.address, port::CLIENT)
    }

    /// Where other agents reach it.
    #[must_use]
    pub fn peer_endpoint(&self) -> String {
        format!("{}:{}", self.proxy.unwrap_or(self.address), port::PEER)
    }

    /// What is its own.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("agent.toml")
    }

    /// Its log, as far as it is written.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("agent.log")).unwrap_or_default()
    }

    /// Writes a configuration for an agent that `meridian dev` knows nothing of: in `region`, with
    /// further lines of TOML.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, region: &str, further: &str) -> anyhow::Result<()> {
        fs::create_dir_all(&self.home)?;
        let Self { name, address, .. } = self;
        let (client, peer, http) = (port::CLIENT, port::PEER, port::HTTP);
        let reached = self.peer_endpoint();
        let text = format!(
            "name = \"{name}\"\nregion = \"{region}\"\ndata_dir = \"data\"\nnetwork = \"lan\"\n\
             client_listen = \"{address}:{client}\"\npeer_listen = \"{address}:{peer}\"\n\
             peer_advertise = \"{reached}\"\n\
             http_listen = \"{address}:{http}\"\ngateway_listen = \"{address}\"\n{further}\n"
        );
        fs::write(self.config(), text).context("the configuration cannot be written")
    }

    /// Starts it by its configuration. Its log is appended to.
    ///
    /// # Errors
    /// If it runs, or cannot be started.
    pub fn start(&self) -> anyhow::Result<Child> {
        ensure!(self.process()?.is_none(), "the agent {} runs", self.name);
        let log = File::options().create(true).append(true).open(self.home.join("agent.log"))?;
        let config = self.config();
        let arguments = [OsStr::new("agent"), OsStr::new("--config"), config.as_os_str()];
        let mut command = cli::command_in(self.namespace.as_deref(), arguments)?;
        if let Some(machine) = &self.machine {
            command.envs(machine.environment()?);
        }
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).process_group(0);
        command.spawn().with_context(|| format!("the agent {} cannot be started", self.name))
    }

    /// The process that it is, if it runs.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn process(&self) -> anyhow::Result<Option<Process>> {
        let config = self.config();
        let line = ["agent", "--config", &config.to_string_lossy()];
        let line = line.map(str::to_owned);
        let processes = Process::all_within(&self.home)?.into_iter();
        // What is about to become a unit is a copy of the agent, for a moment.
        let alike = processes.filter(|process| process.arguments().starts_with(&line));
        Ok(alike.min_by_key(Process::began))
    }

    /// Has it stop in good order, with SIGTERM, and returns when it has ended.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let process = self.process()?.with_context(|| format!("the agent {} runs", self.name))?;
        process.terminate();
        until("the agent to stop", async || process.has_ended().then_some(())).await;
        Ok(())
    }

    /// Kills it with SIGKILL, and returns when nothing is left of it but units.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.process()?.with_context(|| format!("the agent {} runs", self.name))?.kill()?;
        let killed = Instant::now();
        while self.process()?.is_some() {
            ensure!(killed.elapsed() < PATIENCE, "a copy of the agent {} goes on", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Its units that run, of this life of it and of earlier ones, in order.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn units(&self) -> anyhow::Result<Vec<UnitProcess>> {
        let processes = Process::all_within(&self.home)?;
        let mut units: Vec<_> = processes.iter().filter_map(Process::unit).collect();
        units.sort();
        Ok(units)
    }

    /// Runs a command of the binary against this agent alone, with JSON for data.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let endpoint = self.endpoint();
        let global = ["--endpoint", &endpoint, "--output", "json"];
        cli::run(arguments.iter().copied().chain(global)).await
    }

    /// Runs a command of the binary against this agent alone, with JSON for data, until it is
    /// dropped; the data go to a file.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn follow(&self, arguments: &[&str], data: &Path) -> anyhow::Result<Child> {
        let endpoint = self.endpoint();
        let global = ["--endpoint", &endpoint, "--output", "json"];
        let mut command = cli::command(arguments.iter().copied().chain(global))?;
        command.stdout(File::create(data)?).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().context("the binary cannot be run")
    }

    /// The data of a command that is done.
    ///
    /// # Errors
    /// What the command says, if it is not.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.run(arguments).await?.done()?.json()
    }

    /// What its gateway on a port answers.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn gateway(&self, port: u16, path: &str) -> anyhow::Result<Answer> {
        get(SocketAddr::new(self.address(), port), path).await
    }
}
