//! The status path: whether the unit serves, and which service and region. Agents of other regions probe
//! it. Requests from the unit's own machine get its whole identity, which is nobody else's concern.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName, VIA};
use serde::Serialize;

use crate::config::UnitConfig;
use crate::problem;

/// Path of the status document: the one that the managed cloud gateways serve to their load
/// balancers.
pub(crate) const STATUS_PATH: &str = "/status-0123456789abcdef";

/// Headers of requests that a proxy forwarded, such as one on this machine for clients elsewhere.
const FORWARDING: [HeaderName; 3] = [FORWARDED, HeaderName::from_static("x-forwarded-for"), VIA];

/// The status documents, serialized.
#[derive(Debug)]
pub(crate) struct Status {
    serving: Documents,
    draining: Documents,
}

/// The documents of a unit in one state.
#[derive(Debug)]
struct Documents {
    public: Bytes,
    local: Bytes,
}

/// Document for requests from other machines.
#[derive(Serialize)]
struct PublicDocument<'a> {
    service: &'a str,
    region: &'a str,
    /// False once the unit drains.
    ready: bool,
}

/// Document for requests from this machine: the identity of the unit.
#[derive(Serialize)]
struct LocalDocument<'a> {
    #[serde(flatten)]
    public: PublicDocument<'a>,
    cluster: String,
    unit: String,
    incarnation: u64,
    agent: &'a str,
    pid: u32,
    build: &'a str,
}

impl Status {
    pub(crate) fn new(config: &UnitConfig) -> Self {
        Self { serving: Documents::new(config, true), draining: Documents::new(config, false) }
    }

    /// Returns the document for a request of the client at `peer` as JSON.
    pub(crate) fn document(&self, peer: IpAddr, headers: &HeaderMap, is_draining: bool) -> Bytes {
        let documents = if is_draining { &self.draining } else { &self.serving };
        let is_forwarded = FORWARDING.iter().any(|name| headers.contains_key(name));
        let is_local = peer.is_loopback() && !is_forwarded;
        if is_local { documents.local.clone() } else { documents.public.clone() }
    }
}

impl Documents {
    fn new(config: &UnitConfig, ready: bool) -> Self {
        let public = || PublicDocument {
            service: config.unit.service.as_str(),
            region: config.unit.region.as_str(),
            ready,
        };
        let local = LocalDocument {
            public: public(),
            cluster: config.cluster.to_string(),
            unit: config.unit.to_string(),
            incarnation: config.incarnation.0,
            agent: config.agent.as_str(),
            pid: std::process::id(),
            build: &config.build,
        };
        Self { public: problem::to_json(&public()), local: problem::to_json(&local) }
    }
}
