//! Planted bugs: each breaks one guarantee of the product, so that the tests which claim to detect
//! it can be tested themselves (`tests/planted`). Without the feature `planted-bugs`, which nothing
//! that is shipped enables, [`planted`] is the constant `false`.

/// Set when this build contains the bugs. The `meridian` binary does not compile with them.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

/// Bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A vote or an entry is acknowledged as soon as it is written.
    AcknowledgeBeforeSync,
    /// A change is acknowledged as soon as it is proposed.
    AcknowledgeBeforeCommit,
    /// A linearizable read does not confirm leadership with the other nodes.
    SkipReadIndex,
    /// A retried request is decided again.
    ForgetRequests,
    /// An entry is applied although its base revision does not match the state.
    ApplyWithoutBaseCheck,
    /// A rejection is returned although the speculative state that it was decided against may never
    /// be applied.
    AnswerRejectionsFromSpeculation,
    /// Rows are written for entries that are not durable in the Raft log.
    RowsBeforeLog,
    /// A snapshot installation is acknowledged before it is durable.
    InstallWithoutSync,
}

impl Bug {
    /// All bugs.
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

/// Returns false: nothing is planted in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Returns true if the environment variable `MERIDIAN_PLANTED_BUG` names `bug`. The variable is
/// read at the first call.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MERIDIAN_PLANTED_BUG").ok());
    planted.as_ref().is_some_and(|planted| *planted == format!("{bug:?}"))
}
