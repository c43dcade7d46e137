//! Who opened a connection of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::process::running::Process;

/// The agent that holds the socket of that address, connected to a proxy; none where that was closed
/// meanwhile, or is another's.
pub fn find(sandbox: &Path, homes: &BTreeMap<u8, PathBuf>, address: SocketAddr) -> Option<u8> {
    let socket = format!("socket:[{}]", inode(address)?);
    let holds = |process: &Process| {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid())) else { return false };
        let mut open = open.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
        open.any(|it| it == Path::new(&socket))
    };
    let process = Process::all_within(sandbox).ok()?.into_iter().find(holds)?;
    homes.iter().find(|(_, home)| process.works_on(home)).map(|(agent, _)| *agent)
}

/// The number of the socket with that local address, by proc_pid_net(5).
fn inode(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(host) = address.ip() else { return None };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(host.octets()), address.port());
    let sockets = fs::read_to_string("/proc/self/net/tcp").ok()?;
    let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = sockets.find(|words| words.get(1) == Some(&local.as_str()))?;
    socket.get(9).map(|inode| (*inode).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_connection_is_known_by_its_own_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("has an address");
        let connection = TcpStream::connect(address).expect("connects");
        let local = connection.local_addr().expect("has an address");
        let link = fs::read_link(format!("/proc/self/fd/{}", connection.as_raw_fd()));
        let inode = inode(local).expect("is listed");
        assert_eq!(link.expect("is open"), Path::new(&format!("socket:[{inode}]")));
    }
}
