//! S10: an agent whose storage failed acknowledges no change that it is asked for afterwards, until it
//! is started again. One that it was asked for before may have been made durable by the others.

use super::Violation;
use super::facts::Facts;
use crate::history::{Answer, Call, Micros, Storage};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let failed = facts.storage.iter().filter(|step| !step.over);
    failed.flat_map(|failed| acknowledged(facts, failed)).collect()
}

fn acknowledged(facts: &Facts<'_>, failed: &Storage) -> Vec<Violation> {
    let mut steps = facts.storage.iter();
    let over = steps.find(|it| it.over && it.node == failed.node && it.at >= failed.at);
    let dead = failed.at..over.map_or(Micros::MAX, |over| over.at);
    let calls = facts.calls.iter().filter(|call| {
        let accepted = matches!(call.answer, Answer::Accepted { .. });
        accepted && call.node == failed.node && dead.contains(&call.invoked)
    });
    let violation = |call: &&Call| {
        let late = call.invoked - failed.at;
        let what = format!(
            "{} acknowledged a change that was asked for {late} us after its storage failed: {:?}",
            call.node, call.answer
        );
        Violation::new("S10", call.returned, what)
    };
    calls.map(violation).collect()
}
