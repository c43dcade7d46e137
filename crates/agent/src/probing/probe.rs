//! A probe, and the reasons why it fails.

use std::time::Duration;

use meridian_domain::{RegionName, ServiceName};

/// A gateway to be probed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gateway {
    pub service: ServiceName,
    pub port: u16,
}

/// A gateway to be probed, and what its response must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// Host of the gateway. An IPv6 address has brackets.
    pub host: String,
    pub gateway: Gateway,
    pub region: RegionName,
    /// True if only a status document counts.
    pub must_name_itself: bool,
    /// Timeout of the connection and the response together.
    pub timeout: Duration,
}

impl Probe {
    /// Returns the address of the gateway.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.gateway.port)
    }
}

/// Reason why a probe failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection was refused.
    Refused,
    /// There was no response in time.
    TimedOut,
    /// The connection failed otherwise, or its response is not valid HTTP.
    Failed,
    /// Another gateway responded.
    OtherGateway,
    /// The response is not a status document, and has to be one.
    NoStatusDocument,
}

impl Failure {
    /// Returns the name in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::OtherGateway => "other_gateway",
            Self::NoStatusDocument => "no_status_document",
        }
    }
}
