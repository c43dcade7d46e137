//! The status path, where a unit returns its identity.

use bytes::Bytes;
use serde::Serialize;

use crate::config::UnitConfig;
use crate::problem;

/// Path of the status document: the one that the managed cloud gateways serve to their load
/// balancers.
pub(crate) const STATUS_PATH: &str = "/status-0123456789abcdef";

/// The status document, serialized.
#[derive(Debug)]
pub(crate) struct Status(Bytes);

/// Identity of the unit that responds.
#[derive(Serialize)]
struct StatusDocument<'a> {
    cluster: String,
    service: &'a str,
    region: &'a str,
    unit: String,
    incarnation: u64,
    agent: &'a str,
    pid: u32,
    build: &'a str,
}

impl Status {
    pub(crate) fn new(config: &UnitConfig) -> Self {
        Self(problem::to_json(&StatusDocument {
            cluster: config.cluster.to_string(),
            service: config.unit.service.as_str(),
            region: config.unit.region.as_str(),
            unit: config.unit.to_string(),
            incarnation: config.incarnation.0,
            agent: config.agent.as_str(),
            pid: std::process::id(),
            build: &config.build,
        }))
    }

    /// Returns the document as JSON.
    pub(crate) fn document(&self) -> Bytes {
        self.0.clone()
    }
}
