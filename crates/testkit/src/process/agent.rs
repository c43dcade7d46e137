//! One agent process and its units.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Child;

use super::cli::{self, Output};
use super::http::{Response, get};
use super::machine::{Machine, name_of};
use super::port;
use super::running::{Process, UnitProcess};
use crate::wait::{TIMEOUT, until};

/// An agent, running or not.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: String,
    address: Ipv4Addr,
    home: PathBuf,
    /// Network namespace in which the agent is started; `None` for that of this program.
    namespace: Option<String>,
    /// Address of the proxy through which other agents reach this one, if any.
    proxy: Option<Ipv4Addr>,
    /// Fault injection library preloaded under the agent, if any.
    machine: Option<Arc<Machine>>,
    /// Shell command that runs before the agent, in the same process.
    preparation: Option<String>,
}

impl Agent {
    pub(super) fn new(name: &str, address: Ipv4Addr, home: PathBuf) -> Self {
        let (namespace, proxy, machine, preparation) = (None, None, None, None);
        Self { name: name.to_owned(), address, home, namespace, proxy, machine, preparation }
    }

    pub(super) fn in_namespace(self, namespace: String) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    pub(super) fn behind_proxy(self, proxy: Ipv4Addr) -> Self {
        Self { proxy: Some(proxy), ..self }
    }

    /// Returns the same agent with another directory.
    pub(super) fn at_home(&self, home: PathBuf) -> anyhow::Result<Self> {
        ensure!(self.proxy.is_none(), "the proxy of agent {} forwards to one port", self.name);
        Ok(Self { home, ..self.clone() })
    }

    /// Returns the same agent, started by a shell that first runs this command.
    #[must_use]
    pub fn prepared_by(self, command: &str) -> Self {
        Self { preparation: Some(command.to_owned()), ..self }
    }

    /// Returns the same agent, started with a machine whose disk and clock can be manipulated.
    ///
    /// # Errors
    /// If the control page cannot be created or the library cannot be built.
    pub fn with_machine(self) -> anyhow::Result<Self> {
        fs::create_dir_all(&self.home)?;
        let machine = Machine::create(&self.home.join("machine"))?;
        Ok(Self { machine: Some(machine.into()), ..self })
    }

    /// Returns the machine of the agent.
    ///
    /// # Errors
    /// If the agent has none.
    pub fn machine(&self) -> anyhow::Result<&Machine> {
        self.machine
            .as_deref()
            .with_context(|| format!("agent {} has no fault injection", self.name))
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Returns the IP address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// Returns the address of the client API.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.address, port::CLIENT)
    }

    /// Returns the advertised address of the peer API.
    #[must_use]
    pub fn peer_endpoint(&self) -> String {
        format!("{}:{}", self.peer_host(), port::PEER)
    }

    /// Returns the advertised host of the peer API: a name if the agent has a machine.
    pub(super) fn peer_host(&self) -> String {
        let address = self.proxy.unwrap_or(self.address);
        if self.machine.is_some() { name_of(address) } else { address.to_string() }
    }

    /// Returns the directory of the agent.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the path of the configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("agent.toml")
    }

    /// Returns the log written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("agent.log")).unwrap_or_default()
    }

    /// Writes the configuration of an agent in `region` that is not managed by `meridian dev`, with
    /// additional lines of TOML. Its network profile is `lan` unless they set another one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure(&self, region: &str, extra: &str) -> anyhow::Result<()> {
        fs::create_dir_all(&self.home)?;
        let Self { name, address, .. } = self;
        let (client, peer, http) = (port::CLIENT, port::PEER, port::HTTP);
        let reached = self.peer_endpoint();
        let network = if extra.contains("network = ") { "" } else { "network = \"lan\"\n" };
        let text = format!(
            "name = \"{name}\"\nregion = \"{region}\"\ndata_dir = \"data\"\n{network}\
             client_listen = \"{address}:{client}\"\npeer_listen = \"{address}:{peer}\"\n\
             peer_advertise = \"{reached}\"\n\
             http_listen = \"{address}:{http}\"\ngateway_listen = \"{address}\"\n{extra}\n"
        );
        fs::write(self.config(), text).context("cannot write the agent configuration")
    }

    /// Changes the port of the peer API in the configuration of a stopped agent, and returns the new
    /// address. Alternates between two ports.
    ///
    /// # Errors
    /// If the agent is behind a proxy, or its configuration cannot be rewritten.
    pub fn move_peer_port(&self) -> anyhow::Result<SocketAddrV4> {
        ensure!(self.proxy.is_none(), "the proxy of agent {} forwards to one port", self.name);
        let text = fs::read_to_string(self.config())?;
        let listen = |port| format!("peer_listen = \"{}:{port}\"", self.address);
        let advertise = |port| format!("peer_advertise = \"{}:{port}\"", self.peer_host());
        let (from, to) = match text.contains(&listen(port::PEER)) {
            true => (port::PEER, port::MOVED_PEER),
            false => (port::MOVED_PEER, port::PEER),
        };
        let moved = text.replace(&listen(from), &listen(to));
        let moved = moved.replace(&advertise(from), &advertise(to));
        ensure!(moved != text, "the configuration of agent {} has no peer address", self.name);
        fs::write(self.config(), moved).context("cannot write the agent configuration")?;
        Ok(SocketAddrV4::new(self.address, to))
    }

    /// Starts the agent with its configuration file. Its log is appended to.
    ///
    /// # Errors
    /// If the agent is already running or cannot be started.
    pub fn start(&self) -> anyhow::Result<Child> {
        ensure!(self.process()?.is_none(), "agent {} is already running", self.name);
        let log = File::options().create(true).append(true).open(self.home.join("agent.log"))?;
        let config = self.config();
        let arguments = [OsStr::new("agent"), OsStr::new("--config"), config.as_os_str()];
        let mut command = match &self.preparation {
            None => cli::command_in(self.namespace.as_deref(), arguments)?,
            Some(preparation) => cli::command_prepared_by(preparation, arguments)?,
        };
        if let Some(machine) = &self.machine {
            command.envs(machine.environment()?);
        }
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).process_group(0);
        command.spawn().with_context(|| format!("cannot start agent {}", self.name))
    }

    /// Returns the agent's process, if it is running.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn process(&self) -> anyhow::Result<Option<Process>> {
        let config = self.config();
        let line = ["agent", "--config", &config.to_string_lossy()];
        let line = line.map(str::to_owned);
        let processes = Process::all_within(&self.home)?.into_iter();
        // Between fork and exec, a new unit is a copy of the agent: the oldest process is the
        // agent.
        let alike = processes.filter(|process| process.arguments().starts_with(&line));
        Ok(alike.min_by_key(Process::start_time))
    }

    /// Stops the agent with SIGTERM, and waits for it to exit.
    ///
    /// # Errors
    /// If the agent is not running.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let process =
            self.process()?.with_context(|| format!("agent {} is not running", self.name))?;
        process.terminate();
        until("the agent to stop", async || process.has_ended().then_some(())).await;
        Ok(())
    }

    /// Kills the agent with SIGKILL, and waits until only its units are left.
    ///
    /// # Errors
    /// If the agent is not running, or does not exit in time.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.process()?.with_context(|| format!("agent {} is not running", self.name))?.kill()?;
        let killed = Instant::now();
        while self.process()?.is_some() {
            ensure!(killed.elapsed() < TIMEOUT, "a copy of agent {} is still running", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Returns its running units, including those started by earlier processes of the agent,
    /// sorted.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn units(&self) -> anyhow::Result<Vec<UnitProcess>> {
        let processes = Process::all_within(&self.home)?;
        let mut units: Vec<_> = processes.iter().filter_map(Process::unit).collect();
        units.sort();
        Ok(units)
    }

    /// Runs a CLI command against this agent only, with JSON output.
    ///
    /// # Errors
    /// If the binary cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let endpoint = self.endpoint();
        let global = ["--endpoint", &endpoint, "--output", "json"];
        cli::run(arguments.iter().copied().chain(global)).await
    }

    /// Starts a CLI command against this agent only, with JSON output to the file `data`. The
    /// command is killed when the returned handle is dropped.
    ///
    /// # Errors
    /// If the binary cannot be run.
    pub fn follow(&self, arguments: &[&str], data: &Path) -> anyhow::Result<Child> {
        let endpoint = self.endpoint();
        let global = ["--endpoint", &endpoint, "--output", "json"];
        let mut command = cli::command(arguments.iter().copied().chain(global))?;
        command.stdout(File::create(data)?).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().context("cannot run the binary")
    }

    /// Runs a CLI command and returns its JSON output.
    ///
    /// # Errors
    /// If the command fails; the error includes its standard error.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.run(arguments).await?.success()?.json()
    }

    /// Sends a GET request to the agent's gateway on the given port.
    ///
    /// # Errors
    /// If there is no valid response in time.
    pub async fn gateway(&self, port: u16, path: &str) -> anyhow::Result<Response> {
        get(SocketAddr::new(self.address(), port), path).await
    }
}
