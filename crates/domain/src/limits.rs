//! Every limit of the domain, with its unit and its reason. Limits that an operator may change are
//! in [`Limits`], which is replicated: no two nodes can answer differently.

use serde::{Deserialize, Serialize};

use crate::tier::Tier;

/// Characters in a service name: what the cloud's own services accept.
pub const SERVICE_NAME_CHARS: usize = 50;
/// Characters in an agent name: one label of a host name (RFC 1035).
pub const AGENT_NAME_CHARS: usize = 63;
/// Characters in the name of an API: as in a service's.
pub const API_NAME_CHARS: usize = 50;
/// Characters in the path of an API.
pub const API_PATH_CHARS: usize = 256;
/// Characters in the URL of a backend: the longest host name (RFC 1035) and a path of as many.
pub const BACKEND_CHARS: usize = 512;
/// Characters in a region's short name: twice the longest in the catalogue.
pub const REGION_NAME_CHARS: usize = 40;
/// Characters in a region's display name.
pub const DISPLAY_NAME_CHARS: usize = 60;
/// Characters in an actor: a user, an `@` and a host name.
pub const ACTOR_CHARS: usize = 128;
/// Characters in a reason: a sentence or two, stored with every event of its change.
pub const REASON_CHARS: usize = 256;
/// Characters of the cause that an agent reports for a failed unit.
pub const CAUSE_CHARS: usize = 256;
/// Bytes in an advertised address, `host:port`: the longest host name (RFC 1035) and a port.
pub const ADDRESS_BYTES: usize = 260;

/// Edits in one change set: every region of the catalogue twice, and some.
pub const EDITS_PER_CHANGE_SET: usize = 128;
/// Rejections in one refusal, the count of those left out among them: more than anybody mends at once, and
/// few enough that the outcome of a request stays one small stored value.
pub const REJECTIONS: usize = 32;
/// The highest zone number; the clouds have three.
pub const HIGHEST_ZONE: u8 = 9;
/// The lowest gateway port that a service is given when it names none.
pub const FIRST_GATEWAY_PORT: u16 = 8080;
/// The lowest port that a service may ask for: those below belong to the system.
pub const LOWEST_GATEWAY_PORT: u16 = 1024;

/// Services in a cluster: bounds the state that every node holds in memory.
pub const SERVICES: usize = 1_000;
/// Locations of one service: more than there are regions in any cloud, and few enough that a service
/// is one small stored value.
pub const LOCATIONS: usize = 256;
/// APIs of one service: what its units are told of them fits into one message.
pub const APIS: usize = 256;
/// Regions in which one API has a backend of its own: few enough that it is one small stored value.
pub const REGIONAL_BACKENDS: usize = 64;
/// Milliseconds that a backend may be given: a caller that waits for longer has gone.
pub const LONGEST_TIMEOUT_MS: u32 = 600_000;
/// Agents in a cluster.
pub const AGENTS: usize = 1_000;
/// Regions that operators may define beside the catalogue.
pub const CUSTOM_REGIONS: usize = 1_000;
/// Units of one agent: each is a process on its machine. Operators' changes are refused beyond that;
/// units of an agent that goes are placed on the others all the same.
pub const UNITS_PER_AGENT: usize = 1_000;
/// Units in a report: those, the ones that it drains, and those that came to it from others.
pub const UNITS_PER_REPORT: usize = 4_096;

/// Bytes of the commands that share one Raft entry: keeps an append short beside heartbeats.
pub const ENTRY_BYTES: usize = 64 << 10;
/// Bytes of one command with its events, which has an entry to itself if it is larger than
/// [`ENTRY_BYTES`]: enough to move every unit of the largest agent.
pub const CHANGE_BYTES: usize = 1 << 20;
/// Events of one segment of the event log. History is trimmed by whole segments: segment n ends with
/// the event whose revision is n times this.
pub const SEGMENT_EVENTS: u64 = 4_096;
/// Bytes of one event, or of one answer, in an entry: each is one stored value, which the database
/// takes up to 64 KiB, with what is kept beside it.
pub const VALUE_BYTES: usize = 48 << 10;
/// Outcomes of operators' requests that are remembered: more than an hour of constant changes.
pub const OUTCOMES: usize = 65_536;

/// The highest number that an operator may set as a limit of units per location.
pub const MOST_UNITS_PER_LOCATION: u16 = 1_000;
/// Voters that a cluster has at most: five survive the loss of two, and every further one makes
/// every change slower.
pub const MOST_VOTERS: u8 = 5;

/// The limits that operators may change with the `LimitsSet` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most units of one location in the developer tier. Default 1.
    pub developer_units: u16,
    /// Most units of one location in the basic tier. Default 2.
    pub basic_units: u16,
    /// Most units of one location in the standard tier. Default 4.
    pub standard_units: u16,
    /// Most units of one location in the premium tier. Default 12.
    pub premium_units: u16,
    /// Most voters, an odd number from 1 to 5. Default 5.
    pub voters: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            developer_units: 1,
            basic_units: 2,
            standard_units: 4,
            premium_units: 12,
            voters: MOST_VOTERS,
        }
    }
}

impl Limits {
    /// Most units that a location of a service in `tier` may have.
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
