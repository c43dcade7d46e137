//! Assignment of processes to CPU cores.

use std::path::Path;

use tokio::process::Command;

/// The cores that this process may use.
pub struct Cores(Vec<usize>);

impl Cores {
    /// Returns the affinity of this process.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn allowed() -> anyhow::Result<Self> {
        let set = rustix::thread::sched_getaffinity(None)?;
        let all = 0..rustix::thread::CpuSet::MAX_CPU;
        Ok(Self(all.filter(|core| set.is_set(*core)).collect()))
    }

    /// Returns the number of cores.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the first `count` cores as a list for taskset(1).
    #[must_use]
    pub fn first(&self, count: usize) -> String {
        list(&self.0[..count.min(self.0.len())])
    }

    /// Returns all cores but the first `count`, or all if none would be left.
    #[must_use]
    pub fn others(&self, count: usize) -> String {
        match self.0.get(count..) {
            Some(others) if !others.is_empty() => list(others),
            _ => list(&self.0),
        }
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Returns a command that runs the program on the given cores only, or on any if `None`.
#[must_use]
pub fn command(cores: Option<&str>, program: &Path) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}
