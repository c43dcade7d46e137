//! One agent as a process, and its units.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Child;

use super::cli::{self, Output};
use super::http::{Answer, get};
use super::port;
use super::running::{Process, UnitProcess};

/// Where an agent is, running or not.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: String,
    address: Ipv4Addr,
    home: PathBuf,
}

impl Agent {
    pub(super) fn new(name: &str, address: Ipv4Addr, home: PathBuf) -> Self {
        Self { name: name.to_owned(), address, home }
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

    /// Where it serves other agents.
    #[must_use]
    pub fn peer_endpoint(&self) -> String {
        format!("{}:{}", self.address, port::PEER)
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
        let text = format!(
            "name = \"{name}\"\nregion = \"{region}\"\ndata_dir = \"data\"\nnetwork = \"lan\"\n\
             client_listen = \"{address}:{client}\"\npeer_listen = \"{address}:{peer}\"\n\
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
        let mut command = cli::command(arguments)?;
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
        let mut processes = Process::all_within(&self.home)?.into_iter();
        Ok(processes.find(|process| process.arguments().starts_with(&line.map(str::to_owned))))
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.process()?.with_context(|| format!("the agent {} runs", self.name))?.kill()
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
