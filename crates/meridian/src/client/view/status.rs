//! Health of the cluster, its warnings and its agents.

use std::time::Duration;

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell, yes_no};

use super::{ObserverView, SilenceView, millis, text, time};

/// Status of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// Health of the cluster.
    pub health: HealthWord,
    /// Identity of the cluster.
    pub cluster_id: String,
    /// Number of its recoveries from the loss of a majority of its disks.
    pub epoch: u64,
    /// The contacted agent.
    pub contacted: String,
    /// The agent that leads; null if none is known.
    pub leader: Option<String>,
    /// The observer that decides which agents are reachable.
    pub observer: Option<ObserverView>,
    /// Version of the stored data that every agent supports.
    pub data_version: u32,
    /// Every agent.
    pub agents: Vec<AgentView>,
    /// Warnings, worst first.
    pub warnings: Vec<WarningView>,
}

/// Health of the cluster, or severity of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthWord {
    /// Everything works as declared.
    Healthy,
    /// Informational: needs no operator.
    Notice,
    /// Capacity or redundancy is below what was declared.
    Degraded,
    /// No region of a service serves.
    ServiceUnavailable,
    /// No change is accepted.
    ChangesRefused,
    /// A word of a newer agent that this client does not know.
    Unknown,
}

impl HealthWord {
    /// Returns the words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Notice => "notice",
            Self::Degraded => "degraded",
            Self::ServiceUnavailable => "service unavailable",
            Self::ChangesRefused => "changes refused",
            Self::Unknown => "unknown",
        }
    }
}

impl From<v1::Health> for HealthWord {
    fn from(health: v1::Health) -> Self {
        match health {
            v1::Health::Unspecified => Self::Unknown,
            v1::Health::Healthy => Self::Healthy,
            v1::Health::Degraded => Self::Degraded,
            v1::Health::ServiceUnavailable => Self::ServiceUnavailable,
            v1::Health::ChangesRefused => Self::ChangesRefused,
        }
    }
}

impl From<v1::Severity> for HealthWord {
    fn from(severity: v1::Severity) -> Self {
        match severity {
            v1::Severity::Unspecified => Self::Unknown,
            v1::Severity::Notice => Self::Notice,
            v1::Severity::Degraded => Self::Degraded,
            v1::Severity::ServiceUnavailable => Self::ServiceUnavailable,
            v1::Severity::ChangesRefused => Self::ChangesRefused,
        }
    }
}

/// Condition that an operator should know about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WarningView {
    /// Stable reason, such as `NO_QUORUM`.
    pub reason: String,
    /// Its severity.
    pub severity: HealthWord,
    /// Sentence for people.
    pub message: String,
    /// Next step for an operator; null if none is needed.
    pub next_step: Option<String>,
    /// The object, as a path; null for the cluster as a whole.
    pub subject: Option<String>,
}

impl From<v1::Warning> for WarningView {
    fn from(warning: v1::Warning) -> Self {
        Self {
            severity: warning.severity().into(),
            reason: warning.reason,
            message: warning.message,
            next_step: text(warning.next_step),
            subject: text(warning.subject),
        }
    }
}

impl From<v1::GetStatusResponse> for StatusView {
    fn from(status: v1::GetStatusResponse) -> Self {
        Self {
            health: status.health().into(),
            cluster_id: status.cluster_id,
            epoch: status.epoch,
            contacted: status.contacted,
            leader: text(status.leader),
            observer: status.observer.map(ObserverView::from),
            data_version: status.data_version,
            agents: status.agents.into_iter().map(AgentView::from).collect(),
            warnings: status.warnings.into_iter().map(WarningView::from).collect(),
        }
    }
}

/// An agent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The last event that it has applied; null if it did not respond.
    pub revision: Option<u64>,
    /// SHA-256 of its whole state at that revision; null if it did not respond.
    pub state_hash: Option<String>,
    /// Milliseconds since it last heard from the leader; null if not known.
    pub lag_ms: Option<u64>,
    /// True if it responded and is not unreachable.
    pub reachable: bool,
    /// Time since the observer last heard from it; null unless it is unreachable.
    pub silence: Option<SilenceView>,
    /// True if it runs no units.
    pub witness: bool,
    /// True if it is drained.
    pub drained: bool,
}

impl AgentView {
    fn status_cell(&self, suffix: fn(SilenceView) -> String) -> String {
        match (self.reachable, self.silence) {
            (true, _) if self.drained => "drained".to_owned(),
            (true, _) => "reachable".to_owned(),
            (false, Some(silence)) => format!("unreachable{}", suffix(silence)),
            (false, None) => "not responding".to_owned(),
        }
    }
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
            silence: agent.silence.map(SilenceView::from),
            witness: agent.witness,
            drained: agent.drained,
        }
    }
}

impl Row for AgentView {
    const HEADS: &'static [&'static str] = &["AGENT", "REGION", "STATUS", "REVISION", "LAG"];
    const WIDE_HEADS: &'static [&'static str] =
        &["AGENT", "REGION", "STATUS", "REVISION", "LAG", "WITNESS", "DRAINED", "STATE HASH"];

    fn cells(&self) -> Vec<String> {
        let lag = self.lag_ms.map(|ms| match ms {
            0..1_000 => format!("{ms} ms"),
            1_000.. => time::short(Duration::from_millis(ms)),
        });
        vec![
            self.name.clone(),
            self.region.clone(),
            self.status_cell(SilenceView::suffix),
            cell(self.revision.as_ref()),
            lag.unwrap_or_else(|| NONE.to_owned()),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let lag = self.lag_ms.map(|ms| format!("{ms} ms"));
        vec![
            self.name.clone(),
            self.region.clone(),
            self.status_cell(SilenceView::exact_suffix),
            cell(self.revision.as_ref()),
            cell(lag.as_ref()),
            yes_no(self.witness),
            yes_no(self.drained),
            cell(self.state_hash.as_ref()),
        ]
    }
}
