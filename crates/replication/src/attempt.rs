//! Outcome of one attempt to submit a command to a leader.

use meridian_ports::{ProposeError, Receipt};

use crate::sequencer::Reply;

/// Outcome of one attempt to submit a command to a leader.
pub enum Attempt {
    /// Final result: a retry would not change it.
    Done(Result<Receipt, ProposeError>),
    /// Nothing was proposed: the node does not lead or is unreachable.
    NotSubmitted,
    /// The command may have been proposed. Contains the cause.
    Unknown(String),
}

impl From<Reply> for Attempt {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Receipt(receipt) => Self::Done(Ok(receipt)),
            Reply::Failed(ProposeError::Unknown { cause }) => Self::Unknown(cause),
            Reply::Failed(error) => Self::Done(Err(error)),
            Reply::NotLeader => Self::NotSubmitted,
        }
    }
}
