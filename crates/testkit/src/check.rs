//! Judges a [`history`](crate::history): what must hold whatever fails, and what must be so again soon
//! after all is healed.
//!
//! | invariants | module | what they say |
//! | --- | --- | --- |
//! | S1 | `requests` | what is acknowledged is in the log, once; what is in the log was asked for |
//! | S2, S3 | `logs` | all agents have the same events, numbered without a gap, for good |
//! | S4 | `states` | the same events make the same state |
//! | S5 | `order`, `model` | the order of the log respects real time, and each answer is the model's |
//! | S6 | `reads` | no read is older than it may be |
//! | S7 | `watches` | a watch is in order, without a gap or a repeat |
//! | S8, S9 | `units` | no unit runs twice, and no region that is cut off loses its last one |
//! | L1 to L4 | `healing` | it works again, what runs is what is wanted, and then nothing happens |
//! | L5 | `pace` | an agent that answers does not stay behind the others |
//! | S10 | `storage` | an agent whose storage failed acknowledges nothing more |
//! | V1 | `worth` | the run was worth something: changes went on, and every fault was felt |
//!
//! The order of changes is checked by their revisions, which the log gives them: no search for an
//! order is needed, so a history of 200,000 calls takes seconds.

mod facts;
mod healing;
mod logs;
mod model;
mod order;
mod pace;
mod reads;
mod requests;
mod states;
mod storage;
mod summary;
mod survival;
#[cfg(test)]
mod tests;
mod units;
mod watches;
mod worth;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Micros, Record};
use facts::Facts;
pub use summary::Summary;
pub use survival::Survival;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant, such as `S1`.
    pub invariant: String,
    /// When it was seen.
    pub at: Micros,
    /// What was seen.
    pub what: String,
}

impl Violation {
    fn new(invariant: &str, at: Micros, what: String) -> Self {
        Self { invariant: invariant.to_owned(), at, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, what } = self;
        write!(f, "{invariant} at {}.{:06} s: {what}", at / 1_000_000, at % 1_000_000)
    }
}

/// What became of a history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// What it was about.
    pub summary: Summary,
    /// What must not be, by invariant and time.
    pub violations: Vec<Violation>,
}

/// Judges a history.
#[must_use]
pub fn check(history: &[Record]) -> Verdict {
    let facts = Facts::of(history);
    let checks = [
        requests::check,
        logs::check,
        states::check,
        order::check,
        model::check,
        reads::check,
        watches::check,
        units::check,
        healing::check,
        pace::check,
        storage::check,
        worth::check,
    ];
    let mut violations: Vec<_> = checks.iter().flat_map(|check| check(&facts)).collect();
    violations.sort_by(|a, b| (&a.invariant, a.at).cmp(&(&b.invariant, b.at)));
    Verdict { summary: Summary::of(&facts), violations }
}
