//! Waiters for the durability of a write.

use std::io;

use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use crate::raft::TypeConfig;

/// Waiter for the durability of a write. Reports a failure when dropped, because openraft would
/// otherwise wait forever.
pub(super) struct Waiter {
    receiver: Receiver,
    /// Payload in bytes.
    pub(super) bytes: usize,
}

enum Receiver {
    Append(IOFlushed<TypeConfig>),
    Call(oneshot::Sender<io::Result<()>>),
    Detached,
}

impl Waiter {
    /// Creates a waiter for an append with `bytes` of payload.
    pub fn append(callback: IOFlushed<TypeConfig>, bytes: usize) -> Self {
        Self { receiver: Receiver::Append(callback), bytes }
    }

    /// Creates a waiter for a call that returns once it is durable, and the receiver of its result.
    pub fn call() -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (send, receive) = oneshot::channel();
        (Self { receiver: Receiver::Call(send), bytes: 0 }, receive)
    }

    /// Creates a waiter that only causes a sync.
    pub fn detached() -> Self {
        Self { receiver: Receiver::Detached, bytes: 0 }
    }

    /// Reports the result.
    pub fn complete(mut self, result: io::Result<()>) {
        self.report(result);
    }

    /// Reports the result early. A later one is ignored.
    pub fn report(&mut self, result: io::Result<()>) {
        match std::mem::replace(&mut self.receiver, Receiver::Detached) {
            Receiver::Append(callback) => callback.io_completed(result),
            // The receiver may be gone, which is not an error.
            Receiver::Call(send) => drop(send.send(result)),
            Receiver::Detached => {}
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let cause = "the write was abandoned: it failed, or the Raft log is closed";
        self.report(Err(io::Error::other(cause)));
    }
}
