//! Limits of the domain, each with its unit and reason. Limits that operators may change are in
//! [`Limits`], which is replicated, so that all nodes enforce the same values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tier::Tier;

/// Maximum characters of a service name, as in the cloud's own services.
pub const SERVICE_NAME_CHARS: usize = 50;
/// Maximum characters of an agent name: one label of a host name (RFC 1035).
pub const AGENT_NAME_CHARS: usize = 63;
/// Maximum characters of an API name, as for services.
pub const API_NAME_CHARS: usize = 50;
/// Maximum characters of the path of an API.
pub const API_PATH_CHARS: usize = 256;
/// Maximum characters of a backend URL: the longest host name (RFC 1035) and a path of the same
/// length.
pub const BACKEND_CHARS: usize = 512;
/// Maximum characters of a region name: more than the longest in the catalog.
pub const REGION_NAME_CHARS: usize = 40;
/// Maximum characters of the display name of a region.
pub const DISPLAY_NAME_CHARS: usize = 60;
/// Maximum characters of an actor: a user, an `@` and a host name.
pub const ACTOR_CHARS: usize = 128;
/// Maximum characters of a reason: one or two sentences, stored with every event of the change.
pub const REASON_CHARS: usize = 256;
/// Maximum characters of the cause of a unit failure; longer ones are truncated.
pub const CAUSE_CHARS: usize = 256;
/// Maximum bytes of an address, `host:port`: the longest host name (RFC 1035) and a port.
pub const ADDRESS_BYTES: usize = 260;

/// Maximum edits in one change set: two for every region of the catalog, and a reserve.
pub const EDITS_PER_CHANGE_SET: usize = 128;
/// Maximum rejections of a command, including the count of those left out: more than anyone
/// corrects in one step, and few enough that the outcome of a request remains a small stored value.
pub const REJECTIONS: usize = 32;
/// Highest zone number. The clouds have three zones per region.
pub const MAX_ZONE: u8 = 9;
/// Lowest gateway port that is allocated to a service without an explicit port.
pub const FIRST_GATEWAY_PORT: u16 = 8080;
/// Lowest gateway port that a service may request. Lower ports are reserved for the system.
pub const MIN_GATEWAY_PORT: u16 = 1024;

/// Maximum services in a cluster. Bounds the state that every node has in memory.
pub const SERVICES: usize = 1_000;
/// Maximum locations of a service: more than any cloud has regions, and few enough that a service
/// remains a small stored value.
pub const LOCATIONS: usize = 256;
/// Maximum APIs of a service, so that the configuration of its units fits into one message.
pub const APIS: usize = 256;
/// Maximum regional backends of an API: few enough that an API remains a small stored value.
pub const REGIONAL_BACKENDS: usize = 64;
/// Maximum timeout of a backend in milliseconds. Clients do not wait longer.
pub const MAX_TIMEOUT_MS: u32 = 600_000;
/// Maximum agents in a cluster.
pub const AGENTS: usize = 1_000;
/// Maximum groups that vote on the gateways of an agent, so that probing costs a bounded amount in
/// clusters of many regions.
pub const PROBER_GROUPS: usize = 9;
/// Maximum probers of a group: a second one, because one that fails to reach the gateways may be broken
/// itself.
pub const PROBERS_PER_GROUP: usize = 2;
/// Maximum gateways in a report of a prober: those of every agent. Beyond, single services are left
/// out.
pub const PROBE_REPORT_ROWS: usize = AGENTS;
/// Time for which lost gateways must be reached before they count as found, after a first loss.
pub const STABLE_WINDOW: Duration = Duration::from_secs(10);
/// Maximum of that time, which doubles with each relapse.
pub const MAX_STABLE_WINDOW: Duration = Duration::from_secs(300);
/// Time after which an ended loss of gateways no longer delays the end of the next one.
pub const RELAPSE_MEMORY: Duration = Duration::from_secs(3_600);
/// Maximum networks of clients in a cluster: those that an organization assigns to sites by itself.
pub const NETWORKS: usize = 1_024;
/// Lowest priority of a location: more than there are locations.
pub const MAX_PRIORITY: u16 = 1_000;
/// Maximum weight of a location, so that weights can be thousandths.
pub const MAX_WEIGHT: u16 = 1_000;
/// Maximum characters of the name of a DNS zone: 253 (RFC 1035) minus the labels that precede it in the
/// longest name below it, `REGION.SERVICE.regional`.
pub const DNS_ZONE_CHARS: usize = 150;
/// Maximum time to live of a DNS response in seconds. Clients of a lost region use its addresses for
/// as long.
pub const MAX_TTL_SECONDS: u8 = 60;
/// Maximum further regions in a DNS response.
pub const MAX_FALLBACK_REGIONS: u8 = 3;
/// Maximum name servers of a zone, so that a delegation with addresses fits into 512 bytes (RFC 1035).
pub const NAME_SERVERS: usize = 7;
/// Maximum custom regions in a cluster.
pub const CUSTOM_REGIONS: usize = 1_000;
/// Maximum units of an agent, each of which is a process on its machine. Operators' changes above
/// it are rejected, and units that were declared before an agent joined wait for further agents.
/// Units of a drained or removed agent are assigned to the other agents regardless.
pub const UNITS_PER_AGENT: usize = 1_000;
/// Maximum draining units of an agent. An unreachable agent does not report that they stopped, so
/// the oldest are forgotten; should they still run, their agent stops them when it returns.
pub const DRAINING_PER_AGENT: usize = UNITS_PER_AGENT;
/// Maximum units in a report, each with a cause of failure of the maximum length: 1.2 MB, below the
/// maximum of a message between agents. An agent with more units reports them in parts.
pub const UNITS_PER_REPORT: usize = 1_000;

/// Maximum bytes of the commands that share a Raft entry, so that an append does not delay
/// heartbeats.
pub const ENTRY_BYTES: usize = 64 << 10;
/// Approximate maximum bytes of the events about units in a change, with a reserve for its other
/// events below [`ENTRY_BYTES`]. Reports of the agents in the region continue with the rest.
pub const UNIT_EVENT_BYTES: usize = 48 << 10;
/// Maximum bytes of a command with its events: only what one request contains makes a change so
/// large, such as a change set of many APIs. A command larger than [`ENTRY_BYTES`] has its own
/// entry.
pub const CHANGE_BYTES: usize = 1 << 20;
/// Events per segment of the event log. History is trimmed by whole segments: segment n ends with
/// revision n * `SEGMENT_EVENTS`.
pub const SEGMENT_EVENTS: u64 = 4_096;
/// Maximum bytes of one event or verdict in an entry. Each is stored with its metadata as one
/// value, which the database limits to 64 KiB.
pub const VALUE_BYTES: usize = 48 << 10;
/// Maximum outcomes of operator requests that are retained: more than an hour of constant changes.
pub const OUTCOMES: usize = 65_536;
/// Maximum time that a request id, or the time of the previous entry, may be ahead of the clock of
/// the cluster: more than clocks differ that are synchronized at all.
pub const MAX_CLOCK_ERROR: Duration = Duration::from_secs(5 * 60);

/// Highest limit of units per location that an operator may set.
pub const MAX_UNITS_PER_LOCATION: u16 = 1_000;
/// Maximum voters of a cluster. Five survive the loss of two; each further one slows down every
/// change.
pub const MAX_VOTERS: u8 = 5;

/// Limits that operators may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum units of a location in the developer tier. Default 1.
    pub developer_units: u16,
    /// Maximum units of a location in the basic tier. Default 2.
    pub basic_units: u16,
    /// Maximum units of a location in the standard tier. Default 4.
    pub standard_units: u16,
    /// Maximum units of a location in the premium tier. Default 12.
    pub premium_units: u16,
    /// Maximum number of voters: 1, 3 or 5. Default 5.
    pub voters: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            developer_units: 1,
            basic_units: 2,
            standard_units: 4,
            premium_units: 12,
            voters: MAX_VOTERS,
        }
    }
}

impl Limits {
    /// Returns the maximum units of a location in `tier`.
    #[must_use]
    pub fn units(&self, tier: Tier) -> u16 {
        match tier {
            Tier::Developer => self.developer_units,
            Tier::Basic => self.basic_units,
            Tier::Standard => self.standard_units,
            Tier::Premium => self.premium_units,
        }
    }
}
