//! What is wrong with a message, field by field.

use std::fmt;

/// Violations that are reported of one message. A message may hold a million bad numbers; nobody
/// reads more than these, and an answer has to fit into the metadata of a response.
const MOST_VIOLATIONS: usize = 32;
/// Characters of a problem's description: some quote what was given, which has no limit.
const PROBLEM_CHARS: usize = 200;

/// One field that is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Violation {
    /// The path of the field in its message, such as `edits[2].add.units`.
    pub field: String,
    /// What is wrong with its value, at most 200 characters.
    pub problem: String,
}

/// Everything that is wrong with a message, in the order of its fields: never empty, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// One violation alone.
    #[must_use]
    pub fn one(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        let mut checks = Checks::default();
        checks.refuse(field, problem);
        Self(checks.found)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

/// Collects what is wrong while a message is read to its end.
#[derive(Debug, Default)]
pub struct Checks {
    found: Vec<Violation>,
}

impl Checks {
    /// The value if there is one; otherwise notes why the field is refused.
    pub fn take<T, E: fmt::Display>(
        &mut self,
        field: impl fmt::Display,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|problem| self.refuse(field, problem)).ok()
    }

    /// Notes that a field is refused.
    pub fn refuse(&mut self, field: impl fmt::Display, problem: impl fmt::Display) {
        if self.found.len() < MOST_VIOLATIONS {
            let problem = problem.to_string().chars().take(PROBLEM_CHARS).collect();
            self.found.push(Violation { field: field.to_string(), problem });
        }
    }

    /// The whole message, if nothing was refused.
    ///
    /// # Errors
    /// Everything that was refused.
    ///
    /// # Panics
    /// If `value` is missing and nothing was refused: a conversion that gives up says why.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Violations> {
        if !self.found.is_empty() {
            return Err(Violations(self.found));
        }
        Ok(value.expect("a conversion that gives up says why"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_message_gives_a_bounded_answer() {
        let mut checks = Checks::default();
        for index in 0..100_000 {
            checks.refuse(format_args!("zones[{index}]"), "x".repeat(10_000));
        }
        let violations = checks.finish(Some(())).expect_err("everything was refused");
        assert_eq!(violations.iter().count(), MOST_VIOLATIONS);
        assert!(violations.to_string().len() < 10_000);
    }
}
