//! Logging of failures that may persist until an operator acts.

/// Failure of the last attempt. One that persists is logged only once.
#[derive(Debug, Default)]
pub(crate) struct LastFailure(Option<String>);

impl LastFailure {
    /// Records the result of an attempt, and returns its failure unless the last one had the same.
    pub(crate) fn record(&mut self, result: Result<(), String>) -> Option<&str> {
        let failure = result.err();
        let is_new = failure != self.0;
        self.0 = failure;
        self.0.as_deref().filter(|_| is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_persists_is_logged_once() {
        let mut last = LastFailure::default();
        let failed = |cause: &str| Err(cause.to_owned());
        assert_eq!(last.record(failed("a")), Some("a"));
        assert_eq!(last.record(failed("a")), None);
        assert_eq!(last.record(failed("b")), Some("b"));
        assert_eq!(last.record(Ok(())), None);
        assert_eq!(last.record(failed("b")), Some("b"));
    }
}
