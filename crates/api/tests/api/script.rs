//! Responses of the fake node that a test chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::reachability::votes::VoteCount;
use meridian_ports::{
    ClusterError, MedianRoundTrips, Pending, ProposeError, ReadError, SharedSettings,
};

/// Responses to the next calls.
#[derive(Default)]
pub struct Script {
    pub propose: Option<ProposeError>,
    pub panics: bool,
    pub read: Option<ReadError>,
    pub cluster: Option<ClusterError>,
    pub leaderless: bool,
    /// Time since this node heard from a leader; `None` for 20 ms.
    pub leader_silence: Option<Duration>,
    /// Node number of a leader whose agent was removed.
    pub orphaned_leader: Option<u64>,
    /// Node numbers from which the leader has not heard for a minute.
    pub silent: Vec<u64>,
    /// Node numbers from which it has not heard since its election, a minute ago.
    pub unheard: Vec<u64>,
    /// Pending membership changes, by node number.
    pub pending: BTreeMap<u64, Pending>,
    /// Names of agents that do not respond.
    pub mute: Vec<String>,
    /// Names of agents whose state differs from this node's.
    pub strange: Vec<String>,
    /// Names of agents whose disks are below their minimum.
    pub low_disk: Vec<String>,
    /// Agents as which two processes run.
    pub duplicated: Vec<String>,
    /// Settings of agents by name; none for the others.
    pub settings: BTreeMap<String, SharedSettings>,
    pub round_trips: MedianRoundTrips,
    /// Votes on gateways.
    pub votes: Vec<VoteCount>,
    /// Delay until events are readable on this node.
    pub delivery: Duration,
    pub trimmed: u64,
    /// Time left until the deadline of the last proposal.
    pub time_left: Option<Duration>,
}
