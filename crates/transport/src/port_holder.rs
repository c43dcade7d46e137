//! The process that holds a port, for error messages.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Maximum number of characters of a command line.
const COMMAND_CHARS: usize = 120;
/// State of a listening socket in `/proc/net/tcp` (include/net/tcp_states.h).
const LISTENING: &str = "0A";

/// Process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Process id.
    pub pid: u32,
    /// Command line, truncated to 120 characters.
    pub command: String,
}

impl PortHolder {
    /// Finds a process that prevents others from listening on `address`. Returns `None` if there is
    /// none anymore, or if its descriptors are not visible, because it belongs to another user or
    /// runs in another namespace. Blocking: reads the descriptors of every process under `/proc`.
    #[must_use]
    pub fn of(address: SocketAddr) -> Option<Self> {
        let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listening_inodes(&table, address))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let holds = fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|descriptor| {
                fs::read_link(descriptor.path()).is_ok_and(|target| {
                    sockets.iter().any(|s| s.as_bytes() == target.as_os_str().as_bytes())
                })
            });
            holds.then(|| Self { pid, command: command(&process.path()) })
        })
    }
}

/// Completes "in use" in an error message: " by process 12 (nginx)".
#[must_use]
pub fn held_by(holder: Option<&PortHolder>) -> String {
    match holder {
        Some(holder) => format!(" by process {} ({})", holder.pid, holder.command),
        None => " by another process, which is not visible to this user".to_owned(),
    }
}

/// Returns the inodes of the listening sockets that conflict with `address`, from a table in the
/// format of `/proc/net/tcp` (proc(5)).
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<String> {
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace();
        let local = listening_address(fields.nth(1)?)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let (found, wanted) = (local.ip(), address.ip().to_canonical());
        let meets = found == wanted || found.is_unspecified() || wanted.is_unspecified();
        let listens = state == LISTENING && local.port() == address.port() && meets;
        listens.then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// Parses an address of such a table: each 32-bit word is in the byte order of this machine.
fn listening_address(text: &str) -> Option<SocketAddr> {
    let (digits, port) = text.rsplit_once(':')?;
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?
        .concat();
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

fn command(process: &Path) -> String {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    words.trim_end().chars().filter(|c| !c.is_control()).take(COMMAND_CHARS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0
   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0
   2: 0200007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12347 1 0
";

    #[test]
    fn only_conflicting_listeners_are_found() {
        let inodes = |address: &str| listening_inodes(TABLE, address.parse().unwrap());
        assert_eq!(inodes("127.0.0.1:8080"), ["12345"]);
        assert_eq!(inodes("0.0.0.0:8080"), ["12345"]);
        assert_eq!(inodes("127.0.0.2:8081"), ["12347"]);
        assert!(inodes("127.0.0.3:8080").is_empty());
        assert!(inodes("127.0.0.1:80").is_empty());
        assert!(listening_inodes("garbage\nmore garbage", ([127, 0, 0, 1], 80).into()).is_empty());
    }

    #[test]
    fn ipv6_addresses_are_parsed() {
        let loopback = "00000000000000000000000001000000:1F90";
        assert_eq!(listening_address(loopback), Some("[::1]:8080".parse().unwrap()));
        let mapped = "0000000000000000FFFF00000100007F:1F90";
        assert_eq!(listening_address(mapped), Some("127.0.0.1:8080".parse().unwrap()));
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = PortHolder::of(listener.local_addr().unwrap()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.command.is_empty());
    }
}
