//! Resources that a process holds, according to proc(5).

use std::fs;
use std::io;

use anyhow::Context as _;

use super::running::Process;

/// Prefix of the link of a socket in /proc/PID/fd.
const SOCKET: &str = "socket:";

/// Resources of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Number of open file descriptors, sockets included.
    pub descriptors: u64,
    /// Number of open sockets: connections and listeners.
    pub sockets: u64,
    /// Number of threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

impl Usage {
    /// Reads the resources of a process.
    ///
    /// # Errors
    /// If the process has exited.
    pub fn of(process: &Process) -> anyhow::Result<Self> {
        let pid = process.pid();
        let context = || format!("cannot read the resources of process {pid}");
        let links = links(pid).with_context(context)?;
        let sockets = links.iter().filter(|link| link.starts_with(SOCKET)).count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(context)?;
        Ok(Self {
            descriptors: links.len() as u64,
            sockets: sockets as u64,
            threads: field(&status, "Threads:").with_context(context)?,
            resident_kib: field(&status, "VmRSS:").with_context(context)?,
        })
    }

    /// Returns the lesser of each number: what is held only for a moment is in one of them.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.min(other.descriptors),
            sockets: self.sockets.min(other.sockets),
            threads: self.threads.min(other.threads),
            resident_kib: self.resident_kib.min(other.resident_kib),
        }
    }
}

/// Returns the targets of the open descriptors. One that is closed meanwhile is skipped.
fn links(pid: u32) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links.map(|link| link.to_string_lossy().into_owned()).collect())
}

/// Returns the number in a line of /proc/PID/status.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_status_is_found_by_its_name() {
        let status = "Name:\tmeridian\nVmRSS:\t   1234 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(1_234));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmHWM:"), None);
    }

    #[test]
    fn an_open_socket_is_among_the_descriptors() {
        let pid = std::process::id();
        let sockets =
            || links(pid).unwrap().into_iter().filter(|link| link.starts_with(SOCKET)).count();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(sockets() > 0);
        drop(listener);
    }
}
