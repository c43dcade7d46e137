//! Planted bugs: each breaks one guarantee of this crate on purpose, to verify that the tests which
//! check the guarantee detect it (`tests/planted`). Without the feature `planted-bugs`, [`planted`]
//! is the constant `false`. No release has the feature.

/// True if this build contains the planted bugs. The program refuses to compile with them.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Stops units before a majority has confirmed the state.
    StopBeforeConfirmedRead,
    /// Adopts whichever process has the pid that a unit once had.
    AdoptByPid,
}

/// Always false without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// True if the environment variable `MERIDIAN_PLANTED_BUG` names `bug`. The variable is read once,
/// at the first call.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MERIDIAN_PLANTED_BUG").ok());
    planted.as_ref().is_some_and(|planted| *planted == format!("{bug:?}"))
}
