//! What one unit takes on: the same for every unit of an agent, because it is a matter of the machine.

/// What one unit takes on. 0 of any means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitLimits {
    /// Calls at a time. Default 1,024.
    pub concurrent_requests: u32,
    /// Calls a second, with bursts of as many. Default 0.
    pub requests_per_second: u32,
    /// Bytes in the head of a call. Default 32 KiB.
    pub header_bytes: u32,
    /// Bytes in the body of a call. Default 64 MiB.
    pub body_bytes: u64,
    /// Milliseconds for the head of a call to arrive. Default 30 s.
    pub header_timeout_ms: u32,
    /// Which lines a unit writes of its calls.
    pub access_log: AccessLog,
}

/// Which lines a unit writes of its calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// One for each, with the path and without its query, which may hold secrets.
    Path,
    /// One for each, with path and query.
    Query,
}

impl Default for UnitLimits {
    fn default() -> Self {
        Self {
            concurrent_requests: 1_024,
            requests_per_second: 0,
            header_bytes: 32 << 10,
            body_bytes: 64 << 20,
            header_timeout_ms: 30_000,
            access_log: AccessLog::Off,
        }
    }
}
