//! Per-unit limits. They are the same for every unit of an agent, because they depend on the
//! machine.

/// Limits of one unit. 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitLimits {
    /// Maximum number of requests in flight. Default 1,024.
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
            concurrent_requests: 1_024,
            requests_per_second: 0,
            header_bytes: 32 << 10,
            body_bytes: 64 << 20,
            header_timeout_ms: 30_000,
            access_log: AccessLog::Off,
        }
    }
}
