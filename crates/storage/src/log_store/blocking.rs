//! Calls that may wait for the disk, made from within a tokio runtime.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `call`, which may wait for the disk without a limit. On a worker thread of a runtime, the
/// other tasks of the worker continue on another thread meanwhile. A runtime of one thread has none,
/// and waits.
pub(super) fn may_block<T>(call: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(call)
    } else {
        call()
    }
}
