//! Members of the Raft group, as the leader sees them.

use std::time::Duration;

use crate::id::NodeId;

/// Role of a member in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides and replicates.
    Leader,
    /// Votes and follows.
    Follower,
    /// Follows without a vote.
    Learner,
}

/// Raft member, from the membership that the observing node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// True if its vote counts. A leader that is being removed may have none.
    pub voter: bool,
    /// Last acknowledgement of the leader's appends; `None` if no leader responded.
    pub last_contact: Option<LastContact>,
    /// Pending membership change; `None` if no leader responded.
    pub next: Option<Next>,
}

/// Age of a member's last acknowledgement of the leader's appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastContact {
    /// The last one is this old.
    Ago(Duration),
    /// None since the leader was elected, at least this long ago. Acknowledgements to an earlier
    /// leader are unknown.
    NotWithin(Duration),
}

impl LastContact {
    /// Time without an acknowledgement: exact, or a lower bound.
    #[must_use]
    pub fn silence(self) -> Duration {
        match self {
            Self::Ago(silence) | Self::NotWithin(silence) => silence,
        }
    }
}

/// Next membership change of a member, as the leader plans it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// None.
    Stay,
    /// A change is pending or in progress.
    Change(Pending),
}

/// Pending membership change of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The change.
    pub change: MemberChange,
    /// The condition it waits for; `None` while the change is in progress.
    pub waits_for: Option<WaitsFor>,
}

/// Kind of membership change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Learner to voter.
    GainVote,
    /// Voter to learner.
    LoseVote,
    /// Removal from the group, because its agent was removed.
    Leave,
}

/// Condition that a membership change waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// The member responds to the leader.
    Response,
    /// The member catches up with the log.
    CatchUp {
        /// Entries that it lacks; `None` while it has none at all.
        behind: Option<u64>,
    },
    /// A majority of the voters after the change responds.
    Majority {
        /// Voters after the change.
        voters: usize,
        /// Those of them that do not respond.
        silent: Vec<NodeId>,
    },
    /// The replacement voters become ready to vote.
    Replacement {
        /// The replacement voters.
        by: Vec<NodeId>,
    },
    /// The member leads, and no other voter is ready to take over.
    TransferTarget {
        /// Candidates for leadership.
        among: Vec<NodeId>,
    },
}

/// Member whose pending change cannot proceed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMember {
    /// The member.
    pub node: NodeId,
    /// Its pending change.
    pub change: MemberChange,
    /// The condition that the change waits for.
    pub waits_for: WaitsFor,
}

/// Returns the change that `member` waits for; `None` if no change is pending or it is in progress.
#[must_use]
pub fn pending_member(member: &Member) -> Option<PendingMember> {
    match &member.next {
        Some(Next::Change(Pending { change, waits_for: Some(waits_for) })) => {
            Some(PendingMember { node: member.node, change: *change, waits_for: waits_for.clone() })
        }
        Some(Next::Change(Pending { waits_for: None, .. }) | Next::Stay) | None => None,
    }
}
