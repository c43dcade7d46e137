//! Bugs on purpose: each breaks one promise of this crate, so that the tests which claim to notice can
//! be put to the test themselves (`tests/planted`). Without the feature `planted-bugs` every question
//! for one is the constant `false`; nothing that is shipped has the feature.

/// Whether this build has the bugs. The program refuses to be compiled with them.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Units are stopped though no majority has confirmed the state that says so.
    StopBeforeConfirmedRead,
    /// A process is taken for the unit that once had its number.
    AdoptByPid,
}

/// Whether that bug is planted: never, in what is shipped.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Whether that bug is planted: the environment variable `MERIDIAN_PLANTED_BUG` names it when the
/// first one is asked for.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MERIDIAN_PLANTED_BUG").ok());
    planted.as_ref().is_some_and(|planted| *planted == format!("{bug:?}"))
}
