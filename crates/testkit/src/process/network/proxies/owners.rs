//! Finds the agent that owns a connection of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::process::agent::Agent;
use crate::process::running::Process;

/// The agents that may own a connection.
#[derive(Debug)]
pub struct Owners {
    sandbox: PathBuf,
    homes: BTreeMap<u8, PathBuf>,
    /// Processes of the agents, and the time of the lookup.
    known: (Instant, Vec<(u8, Process)>),
    /// Contents of `/proc/self/net/tcp`, and the time of the read.
    sockets: (Instant, String),
}

impl Owners {
    /// Creates an empty lookup for the agents of a sandbox.
    pub fn new(sandbox: &Path) -> Self {
        let now = Instant::now();
        let (known, sockets) = ((now, Vec::new()), (now, String::new()));
        Self { sandbox: sandbox.to_owned(), homes: BTreeMap::new(), known, sockets }
    }

    pub fn add(&mut self, number: u8, agent: &Agent) {
        self.homes.insert(number, agent.home().to_owned());
    }

    /// Returns the agent that holds the end `local` of a connection to `remote` that existed at
    /// time `seen`; `None` if it was closed meanwhile or belongs to another process.
    ///
    /// Data read after `seen` is reused: one read serves all connections that wait for the lock.
    /// Otherwise they would wait longer than the timeouts of the agents.
    pub fn find(&mut self, local: SocketAddr, remote: SocketAddr, seen: Instant) -> Option<u8> {
        if self.sockets.0 <= seen {
            self.sockets = (Instant::now(), fs::read_to_string("/proc/self/net/tcp").ok()?);
        }
        let socket = socket(&self.sockets.1, local, remote)?;
        if let Some(agent) = self.holding(&socket) {
            return Some(agent);
        }
        if self.known.0 > seen {
            return None;
        }
        let now = Instant::now();
        let processes = Process::all_within(&self.sandbox).ok()?.into_iter();
        let agents = processes.filter_map(|process| {
            let home = self.homes.iter().find(|(_, home)| process.works_on(home));
            home.map(|(agent, _)| *agent).map(|agent| (agent, process))
        });
        self.known = (now, agents.collect());
        self.holding(&socket)
    }

    fn holding(&self, socket: &Path) -> Option<u8> {
        let holds = |(_, process): &&(u8, Process)| {
            let open = fs::read_dir(format!("/proc/{}/fd", process.pid())).into_iter().flatten();
            let mut open = open.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
            // The pid of a process that ended may have been reused.
            open.any(|it| it == socket) && !process.has_ended()
        };
        self.known.1.iter().find(holds).map(|(agent, _)| *agent)
    }
}

/// Returns the link target of the socket's descriptor, by proc_pid_net(5).
fn socket(sockets: &str, local: SocketAddr, remote: SocketAddr) -> Option<PathBuf> {
    let written = |address: SocketAddr| match address {
        SocketAddr::V4(it) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (local, remote) = (written(local)?, written(remote)?);
    // The table has thousands of recently closed connections: search the line before parsing it.
    let (_, socket) = sockets.split_once(&format!(": {local} {remote} "))?;
    let mut words = socket.lines().next()?.split_whitespace();
    // A closed connection has inode 0. It is not looked up: the connections queued after it would
    // wait and time out in turn.
    let number = words.nth(6).filter(|number| *number != "0")?;
    Some(format!("socket:[{number}]").into())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_connection_is_found_by_its_local_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let remote = listener.local_addr().expect("has an address");
        let connection = TcpStream::connect(remote).expect("the listener accepts");
        let local = connection.local_addr().expect("has an address");
        let link = fs::read_link(format!("/proc/self/fd/{}", connection.as_raw_fd()));
        let found = || {
            let sockets = fs::read_to_string("/proc/self/net/tcp").expect("/proc is mounted");
            socket(&sockets, local, remote)
        };
        assert_eq!(found(), Some(link.expect("the descriptor is open")));
        drop(connection);
        assert_eq!(found(), None);
    }
}
