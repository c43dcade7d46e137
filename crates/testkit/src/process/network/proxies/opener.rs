//! Who opened a connection of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::agent::Agent;
use crate::process::running::Process;

/// Agents that may have opened one.
#[derive(Debug)]
pub struct Openers {
    sandbox: PathBuf,
    homes: BTreeMap<u8, PathBuf>,
    /// Processes of theirs. To look through all of the machine for each connection takes longer than
    /// agents wait for one.
    known: Vec<(u8, Process)>,
}

impl Openers {
    /// Nobody of those who work in the sandbox, yet.
    pub fn new(sandbox: &Path) -> Self {
        Self { sandbox: sandbox.to_owned(), homes: BTreeMap::new(), known: Vec::new() }
    }

    pub fn add(&mut self, number: u8, agent: &Agent) {
        self.homes.insert(number, agent.home().to_owned());
    }

    /// The agent that holds the end `local` of a connection to `remote`; none where that was closed
    /// meanwhile, or is another's.
    pub fn find(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<u8> {
        let socket = socket(local, remote)?;
        if let Some(agent) = self.holding(&socket) {
            return Some(agent);
        }
        let processes = Process::all_within(&self.sandbox).ok()?.into_iter();
        let agents = processes.filter_map(|process| {
            let home = self.homes.iter().find(|(_, home)| process.works_on(home));
            home.map(|(agent, _)| *agent).map(|agent| (agent, process))
        });
        self.known = agents.collect();
        self.holding(&socket)
    }

    fn holding(&self, socket: &Path) -> Option<u8> {
        let holds = |(_, process): &&(u8, Process)| {
            let open = fs::read_dir(format!("/proc/{}/fd", process.pid())).into_iter().flatten();
            let mut open = open.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
            // What has the number of one that ended is another process.
            open.any(|it| it == socket) && !process.has_ended()
        };
        self.known.iter().find(holds).map(|(agent, _)| *agent)
    }
}

/// What a descriptor of that socket links to, by proc_pid_net(5).
fn socket(local: SocketAddr, remote: SocketAddr) -> Option<PathBuf> {
    let written = |address: SocketAddr| match address {
        SocketAddr::V4(it) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (local, remote) = (written(local)?, written(remote)?);
    let sockets = fs::read_to_string("/proc/self/net/tcp").ok()?;
    // There are thousands of those that ended lately: the one is found before it is taken apart.
    let (_, socket) = sockets.split_once(&format!(": {local} {remote} "))?;
    let mut words = socket.lines().next()?.split_whitespace();
    // One that was closed has none: it is not looked for, or those that come after would wait, and be
    // closed in their turn.
    let number = words.nth(6).filter(|number| *number != "0")?;
    Some(format!("socket:[{number}]").into())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_connection_is_known_by_its_own_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let remote = listener.local_addr().expect("has an address");
        let connection = TcpStream::connect(remote).expect("connects");
        let local = connection.local_addr().expect("has an address");
        let link = fs::read_link(format!("/proc/self/fd/{}", connection.as_raw_fd()));
        assert_eq!(socket(local, remote), Some(link.expect("is open")));
        drop(connection);
        assert_eq!(socket(local, remote), None);
    }
}
