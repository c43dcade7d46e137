//! Who opened a connection of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::process::agent::Agent;
use crate::process::running::Process;

/// Agents that may have opened one.
#[derive(Debug)]
pub struct Openers {
    sandbox: PathBuf,
    homes: BTreeMap<u8, PathBuf>,
    /// Processes of theirs, and when they were looked for.
    known: (Instant, Vec<(u8, Process)>),
    /// The sockets of this machine, and when they were read.
    sockets: (Instant, String),
}

impl Openers {
    /// Nobody of those who work in the sandbox, yet.
    pub fn new(sandbox: &Path) -> Self {
        let now = Instant::now();
        let (known, sockets) = ((now, Vec::new()), (now, String::new()));
        Self { sandbox: sandbox.to_owned(), homes: BTreeMap::new(), known, sockets }
    }

    pub fn add(&mut self, number: u8, agent: &Agent) {
        self.homes.insert(number, agent.home().to_owned());
    }

    /// The agent that holds the end `local` of a connection to `remote`, which was there at a time; none
    /// where it was closed meanwhile, or is another's.
    ///
    /// What was read since that time is not read again: connections that wait for their turn here are
    /// all answered by one look, or they would wait longer than agents do.
    pub fn find(&mut self, local: SocketAddr, remote: SocketAddr, there: Instant) -> Option<u8> {
        if self.sockets.0 <= there {
            self.sockets = (Instant::now(), fs::read_to_string("/proc/self/net/tcp").ok()?);
        }
        let socket = socket(&self.sockets.1, local, remote)?;
        if let Some(agent) = self.holding(&socket) {
            return Some(agent);
        }
        if self.known.0 > there {
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
            // What has the number of one that ended is another process.
            open.any(|it| it == socket) && !process.has_ended()
        };
        self.known.1.iter().find(holds).map(|(agent, _)| *agent)
    }
}

/// What a descriptor of that socket links to, by proc_pid_net(5).
fn socket(sockets: &str, local: SocketAddr, remote: SocketAddr) -> Option<PathBuf> {
    let written = |address: SocketAddr| match address {
        SocketAddr::V4(it) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (local, remote) = (written(local)?, written(remote)?);
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
        let found = || {
            let sockets = fs::read_to_string("/proc/self/net/tcp").expect("is there");
            socket(&sockets, local, remote)
        };
        assert_eq!(found(), Some(link.expect("is open")));
        drop(connection);
        assert_eq!(found(), None);
    }
}
