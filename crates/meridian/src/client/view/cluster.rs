//! Limits, leadership and snapshots of the cluster.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::Row;

/// The limits in effect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    /// Maximum number of units of a location in the developer tier.
    pub developer_units: u32,
    /// Maximum number of units of a location in the basic tier.
    pub basic_units: u32,
    /// Maximum number of units of a location in the standard tier.
    pub standard_units: u32,
    /// Maximum number of units of a location in the premium tier.
    pub premium_units: u32,
    /// Maximum number of voters.
    pub voters: u32,
}

impl From<v1::Limits> for LimitsView {
    fn from(limits: v1::Limits) -> Self {
        Self {
            developer_units: limits.developer_units,
            basic_units: limits.basic_units,
            standard_units: limits.standard_units,
            premium_units: limits.premium_units,
            voters: limits.voters,
        }
    }
}

impl Row for LimitsView {
    const HEADS: &'static [&'static str] =
        &["DEVELOPER UNITS", "BASIC UNITS", "STANDARD UNITS", "PREMIUM UNITS", "VOTERS"];
    const WIDE_HEADS: &'static [&'static str] = Self::HEADS;

    fn cells(&self) -> Vec<String> {
        let units = [self.developer_units, self.basic_units, self.standard_units];
        let rest = [self.premium_units, self.voters];
        units.iter().chain(&rest).map(ToString::to_string).collect()
    }

    fn wide_cells(&self) -> Vec<String> {
        self.cells()
    }
}

/// The leader.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderView {
    /// The agent that leads now.
    pub leader: String,
}

/// The address of an agent that moved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaddressedView {
    /// The agent.
    pub agent: String,
    /// Address at which it was identified.
    pub peer_address: String,
    /// The agents that use the address now.
    pub informed: Vec<String>,
    /// The agents that did not respond.
    pub unreachable: Vec<String>,
}

/// A snapshot.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Its revision.
    pub revision: u64,
    /// The endpoint of the agent that built it.
    pub endpoint: String,
}
