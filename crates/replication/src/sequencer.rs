//! Decides commands on the leader, one after another, and proposes each batch of them as one entry
//! of the log.
//!
//! ```text
//! submit -> queue -> [ decide against the state that the entries in flight will produce ] -> Raft
//!                                                                       |
//!          replies <- applied on this node <- committed by a majority <-+
//! ```
//!
//! All state of the sequencer is dropped with the term of leadership. A term starts from the
//! applied state, after a barrier has shown that everything that earlier leaders committed is
//! applied on this node. It proposes only under its own term, which openraft checks.
//!
//! At most two entries are in flight. The second is proposed once many commands are pending or the
//! first takes long. It is decided against the state that the first will produce; if the first
//! fails, the second is reported as unknown, although it may still apply (see `in_flight`). On any
//! error, all speculative state is dropped and the sequencer starts again at the barrier.
//!
//! No reply is sent before its entry has applied. This includes rejections: a rejection is decided
//! against a state that may never exist.

mod batch;
mod in_flight;
mod pending;
mod term;

use std::sync::Arc;

use meridian_domain::{Command, Origin};
use meridian_ports::ProposeError;
use meridian_storage::fuse::Fuse;
use meridian_storage::store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::cluster_clock::ClusterClock;
use crate::disk_space::DiskSpaceRecord;
use crate::instance::Raft;
use crate::suspension::Suspension;
use pending::PendingCommand;

pub use pending::Reply;

/// Maximum number of queued commands. Further ones are rejected immediately: in a queue without a
/// bound, every command would time out.
const QUEUE: usize = 4_096;

/// Handle to the sequencer of this node. Cheap to clone.
#[derive(Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<PendingCommand>,
    space: Arc<DiskSpaceRecord>,
    suspension: Suspension,
}

impl Sequencer {
    /// Starts the sequencer task, which exits when all handles are dropped.
    pub(crate) fn start(
        raft: Raft,
        store: Store,
        fuse: Fuse,
        space: Arc<DiskSpaceRecord>,
        suspension: Suspension,
        clock: &ClusterClock,
    ) -> Self {
        let (queue, commands) = mpsc::channel(QUEUE);
        let task =
            term::run(raft, store, fuse.clone(), suspension.clone(), clock.clone(), commands);
        fuse.guard("the sequencer", task);
        Self { queue, space, suspension }
    }

    /// Submits a command. Returns once it was decided and applied, or once its outcome can no
    /// longer be known, because this node is suspended, for example. Applies no timeout. Dropping the
    /// future leaves the outcome unknown.
    pub async fn submit(&self, command: Command, origin: Origin) -> Reply {
        if self.suspension.is_active() {
            return Reply::NotLeader;
        }
        if let Err(low_disk) = self.space.check(&command) {
            return Reply::Failed(low_disk);
        }
        let (reply, received) = oneshot::channel();
        match self.queue.try_send(PendingCommand { command, origin, reply }) {
            Ok(()) => {
                let unknown = |cause| Reply::Failed(ProposeError::Unknown { cause });
                tokio::select! {
                    biased;
                    reply = received => {
                        reply.unwrap_or_else(|_| unknown("the agent is shutting down".to_owned()))
                    }
                    cause = self.suspension.begun() => unknown(cause),
                }
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                Reply::Failed(ProposeError::Overloaded { waiting: QUEUE })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Reply::NotLeader,
        }
    }
}
