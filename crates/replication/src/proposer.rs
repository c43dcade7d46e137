//! Room 3, every node's side: takes a command to the leader, wherever it is, and stays with it until
//! there is an answer or no time left.

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
use crate::peer::connection::CallError;
use crate::peer::links::Links;
use crate::peer::message;
use crate::sequencer::{Answer, Sequencer};

/// How long to wait before the same leader is asked again, at first and at most: an election takes
/// several of these.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// Implements [`Propose`] over this node's sequencer and the other nodes'.
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
            return of_answer(self.sequencer.submit(command, origin).await);
        }
        let request = message::propose_request(proposal);
        let answered = tokio::select! {
            answered = self.links.propose(leader, request) => answered,
            // A leader that hangs would keep its callers until their deadlines, and the others have
            // gone on without it.
            () = self.leader_watch.passed_from(leader) => {
                Err(CallError::Unanswered(format!("{leader} was deposed before it answered")))
            }
        };
        match answered {
            Ok(response) => message::attempt_of(response),
            Err(CallError::NotSent(cause)) => {
                tracing::debug!(%leader, %cause, "the leader cannot be reached");
                Attempt::NotThere
            }
            Err(CallError::Unanswered(cause)) => Attempt::Unknown(cause),
        }
    }

    async fn until_answered(
        &self,
        proposal: &Proposal,
        unknown: &mut Option<String>,
    ) -> Result<Receipt, ProposeError> {
        let mut pause = PAUSE.0;
        loop {
            let leader = self.leader_watch.leader().await;
            // Should time run out during the attempt, its outcome is unknown.
            let before = unknown.clone();
            unknown.get_or_insert_with(|| format!("the leader {leader} has not answered in time"));
            match self.attempt(leader, proposal).await {
                Attempt::Done(done) => {
                    *unknown = before;
                    return done;
                }
                Attempt::NotThere => *unknown = before,
                Attempt::Unknown(cause) => {
                    // Repeating is safe only under a request id that the cluster remembers.
                    if !matches!(proposal.requester, Requester::Operator { .. }) {
                        return Err(ProposeError::Unknown { cause });
                    }
                    *unknown = Some(cause);
                }
            }
            self.leader_watch.changed_or(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// What the sequencer's answer means to whoever asked, here or across the network.
pub(crate) fn of_answer(answer: Answer) -> Attempt {
    match answer {
        Answer::Receipt(receipt) => Attempt::Done(Ok(receipt)),
        Answer::Failed(ProposeError::Unknown { cause }) => Attempt::Unknown(cause),
        Answer::Failed(error) => Attempt::Done(Err(error)),
        Answer::NotLeader => Attempt::NotThere,
    }
}

/// How a command's origin is written into the log.
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
        let began = Instant::now();
        let mut unknown = None;
        let answered = self.until_answered(&proposal, &mut unknown);
        let result = tokio::select! {
            biased;
            // The others go on, but what they acknowledge is not passed on by a node that stops.
            cause = self.fuse.blown() => return Err(ProposeError::Unknown { cause }),
            result = timeout_at(proposal.deadline, answered) => result,
        };
        let result =
            result.unwrap_or_else(|_| Err(ProposeError::NoLeader { waited: began.elapsed() }));
        // A later refusal to take the change does not undo an earlier attempt that may have.
        match (result, unknown) {
            (Err(error), Some(cause)) if error.is_definite() => {
                Err(ProposeError::Unknown { cause })
            }
            (result, _) => result,
        }
    }
}
