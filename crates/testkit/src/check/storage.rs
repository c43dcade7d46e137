//! S10: after its storage failed, an agent acknowledges no change submitted to it until it is
//! restarted. A change submitted before may have been made durable by the other agents.

use super::Violation;
use super::facts::Facts;
use crate::history::{Micros, Operation, Outcome, Storage};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let failed = facts.storage.iter().filter(|step| !step.over);
    failed.flat_map(|failed| acknowledged(facts, failed)).collect()
}

fn acknowledged(facts: &Facts<'_>, failed: &Storage) -> Vec<Violation> {
    let mut steps = facts.storage.iter();
    let over = steps.find(|it| it.over && it.node == failed.node && it.at >= failed.at);
    let dead = failed.at..over.map_or(Micros::MAX, |over| over.at);
    let operations = facts.operations.iter().filter(|operation| {
        let accepted = matches!(operation.outcome, Outcome::Accepted { .. });
        accepted && operation.node == failed.node && dead.contains(&operation.invoked)
    });
    let violation = |operation: &&Operation| {
        let late = operation.invoked - failed.at;
        let what = format!(
            "{} acknowledged a change submitted {late} us after its storage failed: {:?}",
            operation.node, operation.outcome
        );
        Violation::new("S10", operation.returned, what)
    };
    operations.map(violation).collect()
}
