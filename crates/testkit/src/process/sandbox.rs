//! A place for processes, and their end.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::addresses::Addresses;
use super::agent::Agent;
use super::disk::Disk;
use super::running::Process;

/// Sandboxes at a time in one test program. A cluster elects within 300 ms: on a machine of two
/// cores, more of them at once would measure the scheduler.
const AT_ONCE: usize = 2;
/// Rounds in which processes are looked for and killed: an agent may just be starting a unit.
const ROUNDS: usize = 50;

/// A directory and a range of loopback addresses of a test's own. Whatever of the binary under test
/// works there is killed when this is dropped. After a panic, the directory is kept and named.
#[derive(Debug)]
pub struct Sandbox {
    // The processes end before any of these goes, the disks before the directory that they are mounted
    // in, and the next one's turn comes last.
    disks: BTreeMap<String, Disk>,
    root: Option<TempDir>,
    path: PathBuf,
    addresses: Addresses,
    _turn: OwnedSemaphorePermit,
}

impl Sandbox {
    /// An empty one, once it is this test's turn.
    ///
    /// # Errors
    /// If there is no directory or no address for it.
    pub async fn new() -> anyhow::Result<Self> {
        static TURNS: OnceLock<Arc<Semaphore>> = OnceLock::new();
        let turns = TURNS.get_or_init(|| Semaphore::new(AT_ONCE).into());
        let turn = turns.clone().acquire_owned().await.context("turns do not end")?;
        let root = TempDir::with_prefix("meridian-").context("a directory")?;
        let path = root.path().canonicalize()?;
        let (disks, addresses) = (BTreeMap::new(), Addresses::draw()?);
        Ok(Self { disks, root: Some(root), path, addresses, _turn: turn })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address before the first one.
    #[must_use]
    pub fn base(&self) -> Ipv4Addr {
        self.addresses.base()
    }

    /// The address of that number, from 1.
    #[must_use]
    pub fn address(&self, number: u8) -> Ipv4Addr {
        self.addresses.number(number)
    }

    /// The data directory of `meridian dev` here.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("dev")
    }

    /// The place of an agent of this name on the address of that number: where `meridian dev` puts
    /// it, too.
    #[must_use]
    pub fn agent(&self, number: u8, name: &str) -> Agent {
        Agent::new(name, self.address(number), self.data().join(name))
    }

    /// Puts the data of an agent that never ran on a small disk of its own.
    ///
    /// # Errors
    /// If there is none; most often that it is not root who asks.
    pub fn give_disk(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let disk = Disk::create(&agent.data()).context("no disks of their own")?;
        self.disks.insert(agent.name.clone(), disk);
        Ok(())
    }

    /// The disk of an agent, where it has one of its own.
    #[must_use]
    pub fn disk(&self, agent: &Agent) -> Option<&Disk> {
        self.disks.get(&agent.name)
    }

    /// Everything of the binary under test that runs here.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        Process::all_within(&self.path)
    }

    fn kill_all(&self) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            let mut processes = self.processes()?;
            if processes.is_empty() {
                return Ok(());
            }
            // Who starts others goes first.
            processes.sort_by_key(|process| process.unit().is_some());
            for process in processes {
                process.kill()?;
            }
        }
        anyhow::bail!("processes in {} start others faster than they end", self.path.display())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let killed = self.kill_all();
        if std::thread::panicking() {
            let kept = self.root.take().map(TempDir::keep);
            eprintln!("what the processes left is in {}", kept.unwrap_or_default().display());
        }
        if let Err(error) = killed {
            eprintln!("processes of this test may still run: {error:#}");
        }
    }
}
