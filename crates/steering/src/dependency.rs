//! Dependencies of cached answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One version of a service or host that answers were built from. All answers that depend on it
/// share it, so that a change invalidates them without a search. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dependency(Arc<AtomicBool>);

impl Dependency {
    pub(crate) fn current() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn is_current(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Invalidates all answers that depend on this version.
    pub(crate) fn supersede(&self) {
        self.0.store(false, Ordering::Release);
    }
}
