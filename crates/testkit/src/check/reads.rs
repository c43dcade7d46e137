//! S6: a linearizable read is never older than what was acknowledged, or read so, before it began; the
//! reads of a session never go back.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::{Answer, CallKind, Micros};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = linearizable(facts);
    let mut sessions: HashMap<u64, Vec<(Micros, Micros, u64)>> = HashMap::new();
    for call in &facts.calls {
        if let Answer::Read { revision } = call.answer {
            let session = sessions.entry(call.session).or_default();
            session.push((call.invoked, call.returned, revision));
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
    for call in &facts.calls {
        if let (CallKind::Read { linearizable: true }, Answer::Read { revision }) =
            (&call.kind, &call.answer)
        {
            known.push((call.returned, *revision));
            reads.push((call, *revision));
        }
    }
    known.sort_unstable();
    let mut known = known.into_iter().peekable();
    let mut newest = 0;
    let mut violations = Vec::new();
    for (call, revision) in reads {
        while let Some((_, earlier)) = known.next_if(|(at, _)| *at < call.invoked) {
            newest = newest.max(earlier);
        }
        if revision < newest {
            let what = format!(
                "a linearizable read at {} has revision {revision}, when {newest} was known before",
                call.node
            );
            violations.push(Violation::new("S6", call.returned, what));
        }
    }
    violations
}
