//! Limits of the units of an agent. They are the same for every unit, because they depend on the
//! machine.

use std::io;
use std::path::Path;

/// Maximum number of file descriptors that a running unit takes in its agent: its process, its
/// control connection, its listening socket, and one for a probe or while it is started.
pub const UNIT_DESCRIPTORS: u32 = 4;

/// Limits of the units of a machine. 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitLimits {
    /// Maximum number of units that run at the same time: those for which the agent has file
    /// descriptors, [`UNIT_DESCRIPTORS`] each. Default 0.
    pub units: u32,
    /// Maximum number of requests in flight of a unit. Default 1,024.
    pub concurrent_requests: u32,
    /// Maximum requests per second, with bursts of the same size. Default 0.
    pub requests_per_second: u32,
    /// Maximum size of a request head in bytes. Default 32 KiB.
    pub header_bytes: u32,
    /// Maximum size of a request body in bytes. Default 64 MiB.
    pub body_bytes: u64,
    /// Timeout for reading a request head, in milliseconds. Default 30 s.
    pub header_timeout_ms: u32,
    /// Access log.
    pub access_log: AccessLog,
}

/// User and group as which an agent that runs as root runs its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Adds to a refused spawn what the user of the units may lack: the system does not name the
/// directory that a process cannot pass through.
pub(super) fn explain_spawn_error(
    user: Option<UnitUser>,
    run_directory: &Path,
    error: io::Error,
) -> io::Error {
    match user {
        Some(UnitUser { uid, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
            let directory = run_directory.display();
            let cause = format!(
                "{error}: user {uid} cannot execute it, or cannot pass through a directory above \
                 {directory}"
            );
            io::Error::new(io::ErrorKind::PermissionDenied, cause)
        }
        Some(_) | None => error,
    }
}

/// Access log of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// No access log.
    #[default]
    Off,
    /// One line per request, with the path but without the query, which may hold secrets.
    Path,
    /// One line per request, with path and query.
    Query,
}

impl Default for UnitLimits {
    fn default() -> Self {
        Self {
            units: 0,
            concurrent_requests: 1_024,
            requests_per_second: 0,
            header_bytes: 32 << 10,
            body_bytes: 64 << 20,
            header_timeout_ms: 30_000,
            access_log: AccessLog::Off,
        }
    }
}
