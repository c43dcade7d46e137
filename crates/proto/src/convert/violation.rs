//! Violations: the invalid fields of a message.

use std::fmt;

/// Maximum number of violations reported for one message. A message may hold a million invalid
/// numbers; a reader needs only the first, and the error has to fit into the metadata of a
/// response.
const MAX_VIOLATIONS: usize = 32;
/// Maximum characters of a description: some quote the given value, which has no limit.
const PROBLEM_CHARS: usize = 200;

/// Invalid field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Violation {
    /// Path of the field in its message, such as `edits[2].add.units`.
    pub field: String,
    /// Description of the problem, at most 200 characters.
    pub problem: String,
}

/// Invalid fields of a message, in their order: never empty, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Creates a list of one violation.
    #[must_use]
    pub fn one(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        let mut checks = Checks::default();
        checks.refuse(field, problem);
        Self(checks.found)
    }

    /// Iterates over the violations.
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

/// Collects violations while a message is read to its end.
#[derive(Debug, Default)]
pub struct Checks {
    found: Vec<Violation>,
}

impl Checks {
    /// Returns the value, or records why the field is invalid.
    pub fn take<T, E: fmt::Display>(
        &mut self,
        field: impl fmt::Display,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|problem| self.refuse(field, problem)).ok()
    }

    /// Records an invalid field.
    pub fn refuse(&mut self, field: impl fmt::Display, problem: impl fmt::Display) {
        if self.found.len() < MAX_VIOLATIONS {
            let problem = problem.to_string().chars().take(PROBLEM_CHARS).collect();
            self.found.push(Violation { field: field.to_string(), problem });
        }
    }

    /// Returns the converted message if no field is invalid.
    ///
    /// # Errors
    /// All violations.
    ///
    /// # Panics
    /// If `value` is `None` without a violation: a conversion that fails records why.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Violations> {
        if !self.found.is_empty() {
            return Err(Violations(self.found));
        }
        Ok(value.expect("a conversion that fails records why"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_of_an_endless_message_are_bounded() {
        let mut checks = Checks::default();
        for index in 0..100_000 {
            checks.refuse(format_args!("zones[{index}]"), "x".repeat(10_000));
        }
        let violations = checks.finish(Some(())).expect_err("every field is invalid");
        assert_eq!(violations.iter().count(), MAX_VIOLATIONS);
        assert!(violations.to_string().len() < 10_000);
    }
}
