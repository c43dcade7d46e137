//! Bugs on purpose: each breaks one promise of this crate, so that the tests which claim to notice can
//! be put to the test themselves (`tests/planted`). Without the feature `planted-bugs` every question
//! for one is the constant `false`; nothing that is shipped has the feature.

/// Whether this build has the bugs. The program refuses to be compiled with them.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A vote or an entry counts as durable as soon as it is written.
    AcknowledgeBeforeSync,
    /// A change is answered as soon as it is proposed.
    AcknowledgeBeforeCommit,
    /// A linearizable read asks nobody.
    SkipReadIndex,
    /// A repeated request is decided anew.
    ForgetRequests,
    /// An entry that was decided against another state is applied nevertheless.
    ApplyWithoutBaseCheck,
    /// A refusal is answered though the state that it was decided against may never come to be.
    AnswerRejectionsFromSpeculation,
    /// Rows of entries are written that the Raft log may still lose.
    RowsBeforeLog,
    /// An installed snapshot is confirmed before it is on the disk.
    InstallWithoutSync,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AcknowledgeBeforeSync,
        Self::AcknowledgeBeforeCommit,
        Self::SkipReadIndex,
        Self::ForgetRequests,
        Self::ApplyWithoutBaseCheck,
        Self::AnswerRejectionsFromSpeculation,
        Self::RowsBeforeLog,
        Self::InstallWithoutSync,
    ];
}

/// Whether that bug is planted: never, in what is shipped.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Whether that bug is planted: the environment variable `MERIDIAN_PLANTED_BUG` names it when the
/// first one is asked for.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MERIDIAN_PLANTED_BUG").ok());
    planted.as_ref().is_some_and(|planted| *planted == format!("{bug:?}"))
}
