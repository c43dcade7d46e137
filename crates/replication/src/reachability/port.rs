//! Implements the [`Reachability`] port: on the leader from its own reports, elsewhere by a request to
//! it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::NodeId;
use meridian_domain::reachability::votes::VoteCount;
use meridian_ports::{NoLeaderResponse, ProbeReport, Reachability};
use tokio::time::{Instant, timeout_at};

use super::reports::ProbeReports;
use crate::contact::ContactTracker;
use crate::leader_watch::LeaderWatch;
use crate::members::Members;
use crate::peer::error::RequestError;
use crate::peer::links::Links;
use crate::peer::votes::{parse_report_response, parse_votes_response, report_request};
use crate::timing::Timing;

/// Implements [`Reachability`]. Cheap to clone.
#[derive(Clone)]
pub struct Votes {
    node: NodeId,
    leader_watch: LeaderWatch,
    links: Arc<Links>,
    contact: ContactTracker,
    /// Silence after which a member counts as unreachable, and a leader as one without a majority.
    silence: Duration,
    pub(crate) reports: ProbeReports,
}

impl Votes {
    pub(crate) fn new(members: &Members, timing: &Timing) -> Self {
        Self {
            node: members.node,
            leader_watch: members.leader_watch.clone(),
            links: members.links.clone(),
            contact: members.contact.clone(),
            silence: timing.silence,
            reports: ProbeReports::new(timing),
        }
    }

    /// Receives a report, and returns the members that do not acknowledge the appends of this node;
    /// `None` if it does not lead a majority.
    pub(crate) fn receive(&self, prober: NodeId, report: ProbeReport) -> Option<BTreeSet<NodeId>> {
        let contacts = self.contact.members()?;
        if self.contact.since_leader_contact().is_none_or(|age| age >= self.silence) {
            return None;
        }
        self.reports.record(prober, report, Instant::now());
        let silent = contacts.into_iter().filter(|(_, contact)| contact.silence() >= self.silence);
        Some(silent.map(|(node, _)| node).collect())
    }

    /// Returns the votes that this node counted; `None` if it does not lead.
    pub(crate) fn counted(&self) -> Option<Vec<VoteCount>> {
        self.contact.members().map(|_| self.reports.votes())
    }

    /// Returns the leader that this node knows.
    fn leader(&self) -> Result<NodeId, NoLeaderResponse> {
        let known = self.leader_watch.known_leader();
        known.ok_or_else(|| NoLeaderResponse { cause: "no leader is known".to_owned() })
    }

    /// Waits for a response of `leader` for as long as it leads.
    async fn response<T>(
        &self,
        leader: NodeId,
        deadline: Instant,
        response: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, NoLeaderResponse> {
        let cause = tokio::select! {
            response = timeout_at(deadline, response) => match response {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("{leader} did not respond in time"),
            },
            () = self.leader_watch.leader_other_than(leader) => format!("{leader} was replaced"),
        };
        Err(NoLeaderResponse { cause })
    }
}

fn not_leading(node: NodeId) -> NoLeaderResponse {
    NoLeaderResponse { cause: format!("{node} does not lead a majority") }
}

#[async_trait]
impl Reachability for Votes {
    async fn report(
        &self,
        report: ProbeReport,
        deadline: Instant,
    ) -> Result<BTreeSet<NodeId>, NoLeaderResponse> {
        let leader = self.leader()?;
        let silent = if leader == self.node {
            self.receive(self.node, report)
        } else {
            let request = self.links.report_probes(leader, report_request(self.node, report));
            parse_report_response(self.response(leader, deadline, request).await?)
        };
        silent.ok_or_else(|| not_leading(leader))
    }

    async fn votes(&self, deadline: Instant) -> Result<Vec<VoteCount>, NoLeaderResponse> {
        let leader = self.leader()?;
        let votes = if leader == self.node {
            self.counted()
        } else {
            let request = self.links.count_votes(leader);
            parse_votes_response(self.response(leader, deadline, request).await?)
        };
        votes.ok_or_else(|| not_leading(leader))
    }
}
