//! S1: every acknowledged request is in the log exactly once, and every event of an operator
//! belongs to a request that may have been committed. After a timeout the outcome is unknown: the
//! request may be in the log or not.

use std::collections::HashMap;

use super::Violation;
use super::facts::{Facts, Request};
use crate::history::{ObservedEvent, Outcome};

/// The events of a request.
struct Logged<'a> {
    first: &'a ObservedEvent,
    last: u64,
    count: u64,
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let logged = logged(facts);
    let mut violations = Vec::new();
    let mut violated = |at, what| violations.push(Violation::new("S1", at, what));
    let by_text: HashMap<String, &Request<'_>> =
        facts.requests.iter().map(|(id, request)| (id.to_string(), request)).collect();
    for (id, Logged { first, last, count }) in &logged {
        let at = format!("revision {}", first.event.revision);
        match by_text.get(*id) {
            None => violated(first.at, format!("{at}: request {id} was never sent")),
            Some(request) if !request.may_be_committed() => {
                let what =
                    format!("{at}: request {id} is in the log although every attempt was rejected");
                violated(first.at, what);
            }
            Some(_) => {}
        }
        if last + 1 - first.event.revision != *count {
            violated(first.at, format!("request {id} is in the log twice, from {at} to {last}"));
        }
    }
    for accepted in facts.accepted() {
        let id = accepted.request.to_string();
        let wanted =
            (accepted.base < accepted.revision).then_some((accepted.base + 1, accepted.revision));
        let found = logged.get(id.as_str()).map(|it| (it.first.event.revision, it.last));
        if wanted.is_some() && found.is_none() {
            let (first, last) = wanted.unwrap_or_default();
            let what =
                format!("request {id}, acknowledged as {first} to {last}, is not in the log");
            violated(accepted.returned, what);
        } else if wanted != found {
            let what =
                format!("request {id} was acknowledged as {wanted:?} but logged as {found:?}");
            violated(accepted.returned, what);
        }
    }
    violations
}

fn logged<'a>(facts: &Facts<'a>) -> HashMap<&'a str, Logged<'a>> {
    let mut logged: HashMap<&str, Logged<'_>> = HashMap::new();
    for (revision, seen) in &facts.log {
        let Some(id) = seen.event.request_id.as_deref() else { continue };
        let entry = logged.entry(id).or_insert(Logged { first: seen, last: *revision, count: 0 });
        entry.last = *revision;
        entry.count += 1;
    }
    logged
}

impl Request<'_> {
    fn may_be_committed(&self) -> bool {
        let may = |outcome: &Outcome| {
            matches!(outcome, Outcome::Accepted { .. } | Outcome::Unknown { .. })
        };
        self.attempts.iter().any(|operation| may(&operation.outcome))
    }
}
