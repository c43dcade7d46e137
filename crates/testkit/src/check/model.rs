//! S5, the model: each change set of the log is what the model decides for its request at that place,
//! and each refusal is one that the model gives at some revision between its request and its answer.
//!
//! What agents report is taken as it is: only they know what their units do.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use meridian_domain::evolve::evolve;
use meridian_domain::{Command, Event, RequestId, Revision, State, decide};

use super::Violation;
use super::facts::{Accepted, ChangeSet, Facts};
use crate::history::{Answer, Micros};

/// A request that was refused, and the revisions at which that may have been decided.
struct Refused<'a> {
    request: RequestId,
    command: &'a Command,
    at: Micros,
    why: &'a str,
    from: u64,
    to: u64,
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let accepted = facts.accepted();
    let mut refused = refused(facts, &accepted);
    refused.sort_by_key(|it| std::cmp::Reverse(it.from));
    let mut idle: BTreeMap<u64, Vec<Accepted>> = BTreeMap::new();
    for change in accepted.iter().filter(|change| change.base == change.revision) {
        idle.entry(change.base).or_default().push(*change);
    }
    let mut violations = Vec::new();
    let mut open: Vec<Refused<'_>> = Vec::new();
    let mut between = |state: &State, violations: &mut Vec<Violation>| {
        let now = state.header.revision.0;
        while refused.last().is_some_and(|next| next.from <= now) {
            open.extend(refused.pop());
        }
        open.retain(|it| {
            if it.to < now {
                violations.push(it.violation());
                return false;
            }
            !it.is_refused_by(state)
        });
        for change in idle.get(&now).into_iter().flatten() {
            violations.extend(changes_nothing(facts, state, change));
        }
    };
    let mut state = State::default();
    for set in facts.change_sets() {
        between(&state, &mut violations);
        violations.extend(decided(facts, &state, &set));
        if let Err(what) = apply(&mut state, &set) {
            violations.push(Violation::new("S5", set.at, what));
            return violations;
        }
    }
    between(&state, &mut violations);
    // What was refused at the end of the log, and not for a reason that the model has there.
    violations.extend(open.iter().map(Refused::violation));
    violations
}

/// The state that the log adds up to, as far as the model can follow it.
pub(super) fn fold(facts: &Facts<'_>) -> State {
    let mut state = State::default();
    for set in facts.change_sets() {
        if apply(&mut state, &set).is_err() {
            break;
        }
    }
    state
}

fn apply(state: &mut State, set: &ChangeSet<'_>) -> Result<(), String> {
    for event in &set.events {
        let domain = event.to_domain().map_err(|error| format!("{error:#}"))?;
        let revision = Revision(event.revision);
        catch_unwind(AssertUnwindSafe(|| evolve(state, revision, &domain))).map_err(|_| {
            format!("revision {revision} does not fit the state before it: {event:?}")
        })?;
    }
    Ok(())
}

/// What is wrong with a change set, if its request asks for another.
fn decided(facts: &Facts<'_>, state: &State, set: &ChangeSet<'_>) -> Option<Violation> {
    let id = set.request?;
    let request = facts.requests.get(&id.parse().ok()?)?;
    let happened: Result<Vec<Event>, _> = set.events.iter().map(|it| it.to_domain()).collect();
    let happened = happened.ok()?;
    let model = decide(state, request.command);
    if model.as_ref() == Ok(&happened) {
        return None;
    }
    let at = state.header.revision;
    let what = format!("request {id} at revision {at}: the model has {model:?}, not {happened:?}");
    Some(Violation::new("S5", set.at, what))
}

fn changes_nothing(facts: &Facts<'_>, state: &State, change: &Accepted) -> Option<Violation> {
    let request = facts.requests.get(&change.request)?;
    let model = decide(state, request.command);
    if model.as_ref().is_ok_and(Vec::is_empty) {
        return None;
    }
    let Accepted { request, base, returned, .. } = change;
    let what =
        format!("request {request} changed nothing at revision {base}: the model has {model:?}");
    Some(Violation::new("S5", *returned, what))
}

fn refused<'a>(facts: &Facts<'a>, accepted: &[Accepted]) -> Vec<Refused<'a>> {
    // The least base of all changes from here on, by the time at which they were sent.
    let mut ahead: Vec<(Micros, u64)> = accepted.iter().map(|it| (it.invoked, it.base)).collect();
    for index in (1..ahead.len()).rev() {
        ahead[index - 1].1 = ahead[index - 1].1.min(ahead[index].1);
    }
    // The greatest revision of all changes up to here, by the time at which they were acknowledged.
    let mut behind: Vec<_> = accepted.iter().map(|it| (it.returned, it.revision)).collect();
    behind.sort_unstable();
    for index in 1..behind.len() {
        behind[index].1 = behind[index].1.max(behind[index - 1].1);
    }
    let first = facts.requests.iter().filter_map(|(id, request)| {
        let answers = request.attempts.iter().filter_map(|call| match &call.answer {
            Answer::Refused { why } => Some((call.returned, why.as_str())),
            _ => None,
        });
        let (at, why) = answers.min()?;
        let before = behind.partition_point(|(returned, _)| *returned < request.invoked);
        let after = ahead.partition_point(|(invoked, _)| *invoked <= at);
        Some(Refused {
            request: *id,
            command: request.command,
            at,
            why,
            from: before.checked_sub(1).map_or(0, |index| behind[index].1),
            to: ahead.get(after).map_or(u64::MAX, |(_, base)| *base),
        })
    });
    first.collect()
}

impl Refused<'_> {
    /// Whether the model refuses it here, and begins with the same reason.
    fn is_refused_by(&self, state: &State) -> bool {
        let faults = decide(state, self.command).err().unwrap_or_default();
        faults.first().is_some_and(|fault| self.why.contains(&fault.to_string()))
    }

    fn violation(&self) -> Violation {
        let Self { request, command, at, why, from, to } = self;
        let to = if *to == u64::MAX { "the end".to_owned() } else { to.to_string() };
        let what = format!(
            "request {request} was refused ({why}), which the model does not do at any revision from \
             {from} to {to}: {command:?}"
        );
        Violation::new("S5", *at, what)
    }
}
