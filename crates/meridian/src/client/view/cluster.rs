//! The cluster, its members and its agents.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell, yes_no};

use super::{WaitView, millis, text};

/// Characters of a state hash in a table: enough to see that two differ.
const SHORT_HASH_CHARS: usize = 12;

/// A member of the Raft group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// 16 hexadecimal digits.
    pub id: String,
    /// The agent's name; null while it is not registered, or no longer.
    pub agent: Option<String>,
    /// The region that it lives in.
    pub region: Option<String>,
    /// Its client gRPC address.
    pub address: Option<String>,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// Whether its vote counts.
    pub voter: bool,
    /// Whether it runs no units.
    pub witness: bool,
    /// Whether it is given no units.
    pub drained: bool,
    /// How long ago the leader last heard of it, in milliseconds; null if the leader has not heard of
    /// it since it began to lead, or no leader answers.
    pub last_contact_ms: Option<u64>,
    /// How long the leader has not heard of it, at least, where it has not since it began to lead; null
    /// otherwise. What an earlier leader heard is not known.
    pub silent_for_at_least_ms: Option<u64>,
    /// What is to become of it: `stay`, `gainVote`, `loseVote` or `leave`; null if no leader answers.
    pub next: Option<String>,
    /// What that waits for; null while it is under way, and where nothing is to change.
    pub waits_for: Option<WaitView>,
}

impl MemberView {
    /// Whether the leader has nothing to change about it.
    pub fn stays(&self) -> bool {
        self.next.as_deref() == Some("stay")
    }
}

impl From<v1::Member> for MemberView {
    fn from(member: v1::Member) -> Self {
        let contact = millis(member.last_contact);
        let is_bound = member.last_contact_is_bound;
        Self {
            id: member.id,
            agent: text(member.agent),
            region: text(member.region),
            address: text(member.address),
            role: member.role,
            voter: member.voter,
            witness: member.witness,
            drained: member.drained,
            last_contact_ms: contact.filter(|_| !is_bound),
            silent_for_at_least_ms: contact.filter(|_| is_bound),
            next: text(member.next),
            waits_for: member.waits_for.map(WaitView::from),
        }
    }
}

impl Row for MemberView {
    const HEADS: &'static [&'static str] = &[
        "ID",
        "AGENT",
        "REGION",
        "ADDRESS",
        "ROLE",
        "VOTER",
        "WITNESS",
        "DRAINED",
        "LAST CONTACT",
        "NEXT",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            cell(self.agent.as_ref()),
            cell(self.region.as_ref()),
            cell(self.address.as_ref()),
            self.role.clone(),
            yes_no(self.voter),
            yes_no(self.witness),
            yes_no(self.drained),
            self.silent_for_at_least_ms.map_or_else(
                || in_millis(self.last_contact_ms),
                |silent| format!("over {silent} ms"),
            ),
            match (&self.next, &self.waits_for) {
                (Some(next), Some(_)) => format!("{next}, waits"),
                (next, _) => cell(next.as_ref()),
            },
        ]
    }
}

/// How far every agent is, and what an operator should know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The cluster's identity.
    pub cluster_id: String,
    /// The agent that answers.
    pub answered_by: String,
    /// The agent that leads; null if none is known.
    pub leader: Option<String>,
    /// The version of the stored data that every agent supports.
    pub data_version: u32,
    /// Every agent.
    pub agents: Vec<AgentView>,
    /// What an operator should know, a sentence each.
    pub warnings: Vec<String>,
}

impl From<v1::GetStatusResponse> for StatusView {
    fn from(status: v1::GetStatusResponse) -> Self {
        Self {
            cluster_id: status.cluster_id,
            answered_by: status.answered_by,
            leader: text(status.leader),
            data_version: status.data_version,
            agents: status.agents.into_iter().map(AgentView::from).collect(),
            warnings: status.warnings,
        }
    }
}

/// How far an agent is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// The region that it lives in.
    pub region: String,
    /// The last event that it has applied; null if it did not answer.
    pub revision: Option<u64>,
    /// SHA-256 of its whole state at that revision; null if it did not answer.
    pub state_hash: Option<String>,
    /// How far it is behind the leader, in milliseconds; null if that is not known.
    pub lag_ms: Option<u64>,
    /// Whether it answered.
    pub reachable: bool,
    /// Whether it runs no units.
    pub witness: bool,
    /// Whether it is given no units.
    pub drained: bool,
}

impl From<v1::AgentStatus> for AgentView {
    fn from(agent: v1::AgentStatus) -> Self {
        Self {
            name: agent.name,
            region: agent.region,
            revision: agent.revision,
            state_hash: text(agent.state_hash),
            lag_ms: millis(agent.lag),
            reachable: agent.reachable,
            witness: agent.witness,
            drained: agent.drained,
        }
    }
}

impl Row for AgentView {
    const HEADS: &'static [&'static str] =
        &["AGENT", "REGION", "REACHABLE", "REVISION", "STATE HASH", "LAG", "WITNESS", "DRAINED"];

    fn cells(&self) -> Vec<String> {
        let hash = self.state_hash.as_deref().unwrap_or(NONE);
        vec![
            self.name.clone(),
            self.region.clone(),
            yes_no(self.reachable),
            cell(self.revision.as_ref()),
            hash.chars().take(SHORT_HASH_CHARS).collect(),
            in_millis(self.lag_ms),
            yes_no(self.witness),
            yes_no(self.drained),
        ]
    }
}

/// The limits in force.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    /// Most units of a location in the developer tier.
    pub developer_units: u32,
    /// Most units of a location in the basic tier.
    pub basic_units: u32,
    /// Most units of a location in the standard tier.
    pub standard_units: u32,
    /// Most units of a location in the premium tier.
    pub premium_units: u32,
    /// Most voters.
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

    fn cells(&self) -> Vec<String> {
        let units = [self.developer_units, self.basic_units, self.standard_units];
        let rest = [self.premium_units, self.voters];
        units.iter().chain(&rest).map(ToString::to_string).collect()
    }
}

/// Who leads.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderView {
    /// The agent that leads now.
    pub leader: String,
}

/// A snapshot that was built.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// The revision that it has.
    pub revision: u64,
    /// The endpoint of the agent that built it.
    pub endpoint: String,
}

fn in_millis(millis: Option<u64>) -> String {
    millis.map_or_else(|| NONE.to_owned(), |millis| format!("{millis} ms"))
}
