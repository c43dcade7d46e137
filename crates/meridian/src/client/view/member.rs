//! Members of the Raft group.

use std::time::Duration;

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell, yes_no};

use super::{WaitView, millis, text, time};

/// A member of the Raft group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Name of its agent; null before it is registered, and after the agent was removed.
    pub agent: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Its client gRPC address.
    pub address: Option<String>,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// True if its vote counts.
    pub voter: bool,
    /// True if it runs no units.
    pub witness: bool,
    /// True if it is drained.
    pub drained: bool,
    /// Milliseconds since it last acknowledged the leader's appends; null if it has not since the leader
    /// was elected, and if no leader responds.
    pub last_contact_ms: Option<u64>,
    /// Milliseconds that it has been silent at least, if it has not acknowledged any append since the
    /// leader was elected; null otherwise.
    pub silent_for_at_least_ms: Option<u64>,
    /// Its next membership change: `stay` for none, `gainVote`, `loseVote` or `leave`; null if no leader
    /// responds.
    pub next: Option<String>,
    /// Condition that the change waits for; null while the change is in progress, and if there is
    /// none.
    pub waits_for: Option<WaitView>,
}

impl MemberView {
    /// True if the leader plans no change of the member.
    pub fn stays(&self) -> bool {
        self.next.as_deref() == Some("stay")
    }

    fn name(&self) -> String {
        self.agent.clone().unwrap_or_else(|| self.id.clone())
    }

    fn contact_cell(&self) -> String {
        match (self.last_contact_ms, self.silent_for_at_least_ms) {
            (Some(ms), _) => time::ago(Duration::from_millis(ms)),
            (None, Some(ms)) => format!("over {}", time::short(Duration::from_millis(ms))),
            (None, None) => NONE.to_owned(),
        }
    }

    /// The next change in words. The notes below the table state the condition that it waits for.
    fn next_cell(&self) -> String {
        let word = match self.next.as_deref() {
            None | Some("stay") => NONE,
            Some("gainVote") => "gain vote",
            Some("loseVote") => "lose vote",
            Some(other) => other,
        };
        match self.waits_for {
            Some(_) => format!("{word}, waits"),
            None => word.to_owned(),
        }
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
    const HEADS: &'static [&'static str] = &["AGENT", "REGION", "ROLE", "CONTACT", "NEXT"];
    const WIDE_HEADS: &'static [&'static str] = &[
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
            self.name(),
            cell(self.region.as_ref()),
            self.role.clone(),
            self.contact_cell(),
            self.next_cell(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            cell(self.agent.as_ref()),
            cell(self.region.as_ref()),
            cell(self.address.as_ref()),
            self.role.clone(),
            yes_no(self.voter),
            yes_no(self.witness),
            yes_no(self.drained),
            match (self.last_contact_ms, self.silent_for_at_least_ms) {
                (Some(ms), _) => format!("{ms} ms"),
                (None, Some(ms)) => format!("over {ms} ms"),
                (None, None) => NONE.to_owned(),
            },
            self.next_cell(),
        ]
    }
}
