//! Submits commands to the leader, on this or another node, and retries until there is a final
//! result or the deadline is reached.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{Command, Digest, NodeId, Origin};
use meridian_ports::{Proposal, Propose, ProposeError, Receipt, Requester};
use meridian_storage::codec;
use meridian_storage::fuse::Fuse;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::leader_watch::LeaderWatch;
use crate::peer::error::RequestError;
use crate::peer::links::Links;
use crate::peer::message;
use crate::sequencer::Sequencer;

/// Backoff before the first retry, doubled for each further one. It ends early if the leader
/// changes.
const MIN_BACKOFF: Duration = Duration::from_millis(10);
/// Maximum backoff. An election takes several times as long.
const MAX_BACKOFF: Duration = Duration::from_millis(160);

/// Implements [`Propose`] with the sequencers of this and the other nodes.
#[derive(Clone)]
pub struct Proposer {
    pub(crate) node: NodeId,
    pub(crate) leader_watch: LeaderWatch,
    pub(crate) sequencer: Sequencer,
    pub(crate) links: Arc<Links>,
    pub(crate) fuse: Fuse,
}

impl Proposer {
    async fn attempt(&self, leader: NodeId, proposal: &Proposal) -> Attempt {
        if leader == self.node {
            let command = proposal.command.clone();
            let origin = origin(&command, &proposal.requester);
            return self.sequencer.submit(command, origin).await.into();
        }
        let request = message::propose_request(proposal);
        let response = tokio::select! {
            response = self.links.propose(leader, request) => response,
            // A leader that hangs would hold the request until its deadline, although the other
            // nodes have elected a new leader.
            () = self.leader_watch.leader_other_than(leader) => {
                let cause = format!("leader {leader} was replaced before it responded");
                Err(RequestError::OutcomeUnknown(cause))
            }
        };
        match response {
            Ok(response) => message::parse_propose_response(response),
            Err(RequestError::NotSent(cause)) => {
                tracing::debug!(%leader, %cause, "the leader is unreachable");
                Attempt::NotSubmitted
            }
            Err(RequestError::OutcomeUnknown(cause)) => Attempt::Unknown(cause),
        }
    }

    /// Repeats attempts until one is final. `unknown` is set while the outcome is unknown: during
    /// an attempt, because the deadline may interrupt it, and after an attempt with an unknown
    /// outcome.
    async fn submit(
        &self,
        proposal: &Proposal,
        unknown: &mut Option<String>,
    ) -> Result<Receipt, ProposeError> {
        let mut backoff = MIN_BACKOFF;
        loop {
            let leader = self.leader_watch.leader().await;
            let before = unknown.clone();
            unknown.get_or_insert_with(|| format!("leader {leader} did not respond in time"));
            match self.attempt(leader, proposal).await {
                Attempt::Done(result) => {
                    *unknown = before;
                    return result;
                }
                Attempt::NotSubmitted => *unknown = before,
                Attempt::Unknown(cause) => {
                    // A retry is safe only under a request id whose outcome the cluster records.
                    if !matches!(proposal.requester, Requester::Operator { .. }) {
                        return Err(ProposeError::Unknown { cause });
                    }
                    *unknown = Some(cause);
                }
            }
            self.leader_watch.changed_within(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

/// Returns the origin of a command as it is recorded in the log.
pub(crate) fn origin(command: &Command, requester: &Requester) -> Origin {
    match (requester, command) {
        (Requester::Operator { request, actor, reason }, _) => Origin::Operator {
            request: *request,
            digest: Digest(Sha256::digest(codec::encode(command)).into()),
            actor: actor.clone(),
            reason: reason.clone(),
        },
        (Requester::Agent, Command::Report(report)) => Origin::Report {
            agent: report.agent.clone(),
            generation: report.generation,
            sequence: report.sequence,
        },
        (Requester::Agent | Requester::System, _) => Origin::System,
    }
}

#[async_trait]
impl Propose for Proposer {
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError> {
        let started = Instant::now();
        let mut unknown = None;
        let submitted = self.submit(&proposal, &mut unknown);
        let result = tokio::select! {
            biased;
            // The other nodes may still acknowledge the change; a node that stops does not relay
            // that.
            cause = self.fuse.blown() => return Err(ProposeError::Unknown { cause }),
            result = timeout_at(proposal.deadline, submitted) => result,
        };
        let result =
            result.unwrap_or_else(|_| Err(ProposeError::NoLeader { waited: started.elapsed() }));
        // An earlier attempt may have been proposed, even if a later one definitely was not.
        match (result, unknown) {
            (Err(error), Some(cause)) if error.is_definite() => {
                Err(ProposeError::Unknown { cause })
            }
            (result, _) => result,
        }
    }
}
