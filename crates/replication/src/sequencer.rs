//! Room 3, the leader's side: decides waiting commands one after another and makes each batch of them
//! one entry of the log.
//!
//! ```text
//! submit -> queue -> [ decide against the state that the entries in flight will leave ] -> Raft
//!                                                                       |
//!          answers <- applied on this node <- committed by a majority <-+
//! ```
//!
//! A sequencer lives for one term of leadership. It starts from the applied state, once a
//! barrier has shown that everything earlier leaders committed is applied here, and proposes only under
//! its own term, which openraft checks. At most two entries are in flight: the second, which departs once
//! many commands wait or the first takes long, is decided against the state that the first will leave.
//! If the first fails, nobody is told what the second came to, though it may apply (`in_flight`). On any
//! error all speculation is dropped and the term's work begins again at the barrier.
//!
//! Nothing is answered before its entry has applied, rejections included: a rejection is decided
//! against a state that might never come to be.

mod batch;
mod in_flight;
mod term;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meridian_domain::{Command, Origin};
use meridian_ports::ProposeError;
use meridian_storage::fuse::Fuse;
use meridian_storage::store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::environment::Clock;
use crate::instance::Raft;
use waiting::Waiting;

pub use waiting::Answer;

/// Commands that wait for the sequencer at most; more are refused at once, since a queue that only
/// grows answers nobody in time.
const QUEUE: usize = 4_096;

/// How much room the disk has, as the node last saw it.
#[derive(Debug, Default)]
pub struct DiskSpace {
    /// Bytes free.
    pub free: AtomicU64,
    /// Bytes below which changes are refused; 0 for no floor.
    pub floor: AtomicU64,
}

impl DiskSpace {
    fn check(&self) -> Result<(), ProposeError> {
        let (free, floor) = (self.free.load(Ordering::Relaxed), self.floor.load(Ordering::Relaxed));
        if free < floor { Err(ProposeError::LowDisk { free, floor }) } else { Ok(()) }
    }
}

/// Hands commands to this node's sequencer. Cheap to clone.
#[derive(Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<Waiting>,
    space: Arc<DiskSpace>,
}

impl Sequencer {
    /// Starts the sequencer; it ends when every handle of it is dropped.
    pub(crate) fn start(
        raft: Raft,
        store: Store,
        fuse: Fuse,
        space: Arc<DiskSpace>,
        clock: Clock,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let task = term::run(raft, store, fuse.clone(), clock, waiting);
        fuse.guard("the sequencer", task);
        Self { queue, space }
    }

    /// Returns once the command was decided and applied, or when that can no longer be known. The
    /// caller bounds the wait; dropping the future leaves the outcome unknown.
    pub async fn submit(&self, command: Command, origin: Origin) -> Answer {
        if let Err(low) = self.space.check() {
            return Answer::Failed(low);
        }
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Waiting { command, origin, answer }) {
            Ok(()) => answered.await.unwrap_or_else(|_| {
                Answer::Failed(ProposeError::Unknown { cause: "the agent is stopping".to_owned() })
            }),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Answer::Failed(ProposeError::Overloaded { waiting: QUEUE })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Answer::NotLeader,
        }
    }
}
