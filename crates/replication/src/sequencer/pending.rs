//! Command in the sequencer, and the reply to it.

use meridian_domain::{Command, Origin};
use meridian_ports::{ProposeError, Receipt};
use tokio::sync::oneshot;

/// Command that is queued and not decided yet.
pub(super) struct PendingCommand {
    pub(super) command: Command,
    pub(super) origin: Origin,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Reply of the sequencer to a command.
#[derive(Debug)]
pub enum Reply {
    /// The command was decided and applied.
    Receipt(Receipt),
    /// There is no receipt. The error states whether the command may still be applied.
    Failed(ProposeError),
    /// This node does not lead, or the cluster is not bootstrapped yet; nothing was proposed.
    NotLeader,
}
