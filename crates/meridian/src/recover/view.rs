//! Contents of a data directory, as text and JSON.

use std::time::{Duration, SystemTime};

use meridian_domain::{NodeId, Timestamp};
use meridian_storage::disk::entry::Position;
use serde::Serialize;

use crate::client::{Output, Row, rfc3339};

use super::offline::Offline;

/// Cell of a value that the directory does not have.
const UNKNOWN: &str = "unknown";

/// Contents of a data directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoverView {
    /// Identity of the cluster.
    pub cluster_id: String,
    /// Epoch of the cluster.
    pub epoch: u64,
    /// True if a recovery was started and is completed when the agent starts.
    pub recovery_pending: bool,
    /// Member id of this agent.
    pub node: String,
    /// Name of this agent; null if it is not registered.
    pub agent: Option<String>,
    /// Last applied revision.
    pub revision: u64,
    /// Time of the last applied change, RFC 3339 in UTC; null if there is none.
    pub last_change: Option<String>,
    /// Last entry of the Raft log.
    pub last_entry: Option<PositionView>,
    /// Last applied entry.
    pub applied_entry: Option<PositionView>,
    /// Last entry that is only in the snapshot.
    pub snapshot_entry: Option<PositionView>,
    /// Term of the last vote.
    pub term: u64,
    /// Agent or member id that it voted for in that term.
    pub voted_for: Option<String>,
    /// Members.
    pub members: Vec<MemberRow>,
}

/// Position of an entry of the Raft log.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PositionView {
    /// Index of the entry.
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

/// A member of the Raft group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Name of its agent; null if it is not registered.
    pub agent: Option<String>,
    /// `voter` or `learner`.
    pub role: &'static str,
    /// Its peer address in the log.
    pub address: String,
    /// Peer address given by an operator; null if the one in the log is in effect.
    pub override_address: Option<String>,
    /// True for the member of this data directory.
    pub this: bool,
    /// Milliseconds since this agent last heard from it; null if that is unknown.
    pub last_contact_ms: Option<u64>,
}

impl RecoverView {
    /// Creates the view of an opened directory.
    pub fn of(offline: &Offline) -> Self {
        let Offline { identity, contents, state, .. } = offline;
        let in_effect = offline.addresses_in_effect();
        let members = contents.members.iter().map(|(node, address)| MemberRow {
            id: node.to_string(),
            agent: offline.agent_of(*node),
            role: if contents.is_voter(*node) { "voter" } else { "learner" },
            address: address.to_string(),
            override_address: in_effect.get(node).map(ToString::to_string),
            this: *node == identity.node,
            // Contacts are not stored.
            last_contact_ms: None,
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
        Self {
            cluster_id: identity.cluster.to_string(),
            epoch: offline.highest_epoch().0,
            recovery_pending: offline.epoch.is_pending(),
            node: identity.node.to_string(),
            agent: offline.agent_of(identity.node),
            revision: state.header.revision.0,
            last_change: time(state.header.time),
            last_entry: contents.last.map(Into::into),
            applied_entry: contents.applied.map(Into::into),
            snapshot_entry: contents.purged.map(Into::into),
            term: contents.term,
            voted_for: contents.voted_for.map(|node: NodeId| offline.name_of(node)),
            members,
        }
    }

    /// Returns the view as text.
    pub fn text(&self, output: Output) -> String {
        let agent = self.agent.as_deref().unwrap_or(UNKNOWN);
        let pending =
            if self.recovery_pending { ", recovery pending: start the agent" } else { "" };
        let change = self.last_change.as_deref().unwrap_or(UNKNOWN);
        let vote = self.voted_for.as_deref().unwrap_or("none");
        let entry = |entry: Option<PositionView>| match entry {
            Some(PositionView { index, term }) => format!("index {index} of term {term}"),
            None => "none".to_owned(),
        };
        let lines = [
            ("cluster", self.cluster_id.clone()),
            ("epoch", format!("{}{pending}", self.epoch)),
            ("node", self.node.clone()),
            ("agent", agent.to_owned()),
            ("last entry", entry(self.last_entry)),
            ("applied", entry(self.applied_entry)),
            ("revision", format!("{} (applied; last change {change})", self.revision)),
            ("snapshot", entry(self.snapshot_entry)),
            ("term", format!("{} (vote: {vote})", self.term)),
        ];
        let head: String =
            lines.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect();
        format!("{head}\n{}", output.table(&self.members))
    }
}

impl MemberRow {
    fn last_contact(&self) -> String {
        match self.last_contact_ms {
            _ if self.this => "this agent".to_owned(),
            Some(ms) => format!("{ms} ms ago"),
            None => UNKNOWN.to_owned(),
        }
    }

    fn address_cell(&self) -> String {
        match &self.override_address {
            Some(given) => format!("{given} (log: {})", self.address),
            None => self.address.clone(),
        }
    }
}

impl Row for MemberRow {
    const HEADS: &'static [&'static str] = &["MEMBER", "ROLE", "LAST CONTACT", "PEER ADDRESS"];
    const WIDE_HEADS: &'static [&'static str] =
        &["MEMBER", "ID", "ROLE", "LAST CONTACT", "PEER ADDRESS"];

    fn cells(&self) -> Vec<String> {
        let name = self.agent.clone().unwrap_or_else(|| self.id.clone());
        vec![name, self.role.to_owned(), self.last_contact(), self.address_cell()]
    }

    fn wide_cells(&self) -> Vec<String> {
        let mut cells = self.cells();
        cells.insert(1, self.id.clone());
        cells
    }
}

impl From<Position> for PositionView {
    fn from(position: Position) -> Self {
        Self { index: position.index, term: position.term }
    }
}

/// Returns a time as RFC 3339; `None` for that of a log without changes.
fn time(at: Timestamp) -> Option<String> {
    (at.0 > 0).then(|| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)))
}

#[cfg(test)]
mod tests;
