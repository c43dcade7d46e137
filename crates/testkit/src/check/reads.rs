//! S6: a linearizable read reflects everything that was acknowledged, or returned by a linearizable
//! read, before it was sent. Reads of a session never go back.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::{Micros, OperationKind, Outcome};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = linearizable(facts);
    let mut sessions: HashMap<u64, Vec<(Micros, Micros, u64)>> = HashMap::new();
    for operation in &facts.operations {
        if let Outcome::Read { revision } = operation.outcome {
            let session = sessions.entry(operation.session).or_default();
            session.push((operation.invoked, operation.returned, revision));
        }
    }
    for (session, reads) in sessions {
        let mut newest = 0;
        let mut returned: Vec<_> = reads.iter().map(|(_, at, revision)| (*at, *revision)).collect();
        returned.sort_unstable();
        let mut before = returned.into_iter().peekable();
        for (invoked, at, revision) in reads {
            while let Some((_, earlier)) = before.next_if(|(at, _)| *at <= invoked) {
                newest = newest.max(earlier);
            }
            if revision < newest {
                let what = format!("session {session} read revision {revision} after {newest}");
                violations.push(Violation::new("S6", at, what));
            }
        }
    }
    violations
}

fn linearizable(facts: &Facts<'_>) -> Vec<Violation> {
    let mut known: Vec<(Micros, u64)> = Vec::new();
    known.extend(facts.accepted().iter().map(|change| (change.returned, change.revision)));
    let mut reads = Vec::new();
    for operation in &facts.operations {
        if let (OperationKind::Read { linearizable: true }, Outcome::Read { revision }) =
            (&operation.kind, &operation.outcome)
        {
            known.push((operation.returned, *revision));
            reads.push((operation, *revision));
        }
    }
    known.sort_unstable();
    let mut known = known.into_iter().peekable();
    let mut newest = 0;
    let mut violations = Vec::new();
    for (operation, revision) in reads {
        while let Some((_, earlier)) = known.next_if(|(at, _)| *at < operation.invoked) {
            newest = newest.max(earlier);
        }
        if revision < newest {
            let what = format!(
                "a linearizable read on {} returned revision {revision} after {newest} was observed",
                operation.node
            );
            violations.push(Violation::new("S6", operation.returned, what));
        }
    }
    violations
}
