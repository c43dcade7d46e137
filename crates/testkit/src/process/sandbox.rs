//! A directory and addresses for processes, which are killed at the end of the test.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::addresses::Addresses;
use super::agent::Agent;
use super::binary::binary;
use super::disk::Disk;
use super::running::Process;

/// Maximum number of concurrent sandboxes per test program. Elections take 300 ms: on a machine
/// with two cores, more concurrent clusters would measure the scheduler.
const CONCURRENT: usize = 2;
/// Maximum number of passes that kill processes: an agent may just be starting a unit.
const KILL_PASSES: usize = 50;

/// A directory and a range of loopback addresses private to a test. Dropping it kills all processes
/// of the binary under test that work there. After a panic, the directory is kept and its path
/// printed.
#[derive(Debug)]
pub struct Sandbox {
    // Drop order: first the disks, then the directory that they are mounted in, and last the permit
    // of the next sandbox. The processes are killed before.
    disks: BTreeMap<String, Disk>,
    root: Option<TempDir>,
    path: PathBuf,
    addresses: Addresses,
    _permit: OwnedSemaphorePermit,
}

impl Sandbox {
    /// Creates an empty sandbox, once fewer than the maximum are in use.
    ///
    /// # Errors
    /// If no directory or no address range is available, or the binary cannot be built.
    pub async fn new() -> anyhow::Result<Self> {
        // Built here, so that no timeout of a test includes the build.
        binary()?;
        static PERMITS: OnceLock<Arc<Semaphore>> = OnceLock::new();
        let permits = PERMITS.get_or_init(|| Semaphore::new(CONCURRENT).into());
        let permit = permits.clone().acquire_owned().await.context("the semaphore is closed")?;
        let root = TempDir::with_prefix("meridian-").context("cannot create a directory")?;
        let path = root.path().canonicalize()?;
        let (disks, addresses) = (BTreeMap::new(), Addresses::draw()?);
        Ok(Self { disks, root: Some(root), path, addresses, _permit: permit })
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the base address of the range.
    #[must_use]
    pub fn base(&self) -> Ipv4Addr {
        self.addresses.base()
    }

    /// Returns the address with the given number, from 1.
    #[must_use]
    pub fn address(&self, number: u8) -> Ipv4Addr {
        self.addresses.number(number)
    }

    /// Returns the data directory of `meridian dev` in this sandbox.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("dev")
    }

    /// Returns the agent with this name and address number, in the directory that `meridian dev`
    /// gives it.
    #[must_use]
    pub fn agent(&self, number: u8, name: &str) -> Agent {
        Agent::new(name, self.address(number), self.data().join(name))
    }

    /// Mounts a small disk at the data directory of an agent that was never started.
    ///
    /// # Errors
    /// If the disk cannot be created, usually for lack of root privileges.
    pub fn attach_disk(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let disk = Disk::create(&agent.data()).context("cannot create a disk")?;
        self.disks.insert(agent.name.clone(), disk);
        Ok(())
    }

    /// Returns the disk of an agent, if it has its own.
    #[must_use]
    pub fn disk(&self, agent: &Agent) -> Option<&Disk> {
        self.disks.get(&agent.name)
    }

    /// Returns all processes of the binary under test in this sandbox.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        Process::all_within(&self.path)
    }

    fn kill_all(&self) -> anyhow::Result<()> {
        for _ in 0..KILL_PASSES {
            let mut processes = self.processes()?;
            if processes.is_empty() {
                return Ok(());
            }
            // Agents first, because they start units.
            processes.sort_by_key(|process| process.unit().is_some());
            for process in processes {
                process.kill()?;
            }
        }
        anyhow::bail!("processes in {} spawn faster than they can be killed", self.path.display())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let killed = self.kill_all();
        if std::thread::panicking() {
            let kept = self.root.take().map(TempDir::keep);
            eprintln!("the sandbox directory is kept: {}", kept.unwrap_or_default().display());
        }
        if let Err(error) = killed {
            eprintln!("processes of this test may still run: {error:#}");
        }
    }
}
