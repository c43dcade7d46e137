//! What a unit answers where it tells who it is.

use bytes::Bytes;
use serde::Serialize;

use crate::config::UnitConfig;
use crate::problem;

/// Where a unit tells who it is. The cloud's own gateways answer their load balancers there.
pub(crate) const STATUS_PATH: &str = "/status-0123456789abcdef";

/// What the status path answers.
#[derive(Debug)]
pub(crate) struct Status(Bytes);

/// Who answered.
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

    /// The document, as JSON.
    pub(crate) fn document(&self) -> Bytes {
        self.0.clone()
    }
}
