//! A command on its way through the sequencer, and its answer.

use meridian_domain::{Command, Origin};
use meridian_ports::{ProposeError, Receipt};
use tokio::sync::oneshot;

/// A command on its way through the sequencer.
pub(super) struct Waiting {
    pub(super) command: Command,
    pub(super) origin: Origin,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What the sequencer says to a command.
#[derive(Debug)]
pub enum Answer {
    /// It was decided and applied.
    Receipt(Receipt),
    /// There is no receipt; whether it may still happen, the error says.
    Failed(ProposeError),
    /// This node does not lead; nothing was proposed.
    NotLeader,
}
