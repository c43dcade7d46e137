//! S5, model conformance: each change set of the log equals the model's decision for its request in
//! the preceding state, and each rejection equals the model's decision at some revision between
//! request and response.
//!
//! Reports of agents are not checked: only the agents know the state of their units.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use meridian_domain::evolve::evolve;
use meridian_domain::{Command, Event, RequestId, Revision, State, decide};

use super::Violation;
use super::facts::{Accepted, ChangeSet, Facts};
use crate::history::{Micros, Outcome};

/// A rejected request, and the range of revisions at which it may have been decided.
struct Rejected<'a> {
    request: RequestId,
    command: &'a Command,
    at: Micros,
    reason: &'a str,
    from: u64,
    to: u64,
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let accepted = facts.accepted();
    let mut rejected = rejected(facts, &accepted);
    rejected.sort_by_key(|it| std::cmp::Reverse(it.from));
    let mut no_ops: BTreeMap<u64, Vec<Accepted>> = BTreeMap::new();
    for change in accepted.iter().filter(|change| change.base == change.revision) {
        no_ops.entry(change.base).or_default().push(*change);
    }
    let mut violations = Vec::new();
    let mut open: Vec<Rejected<'_>> = Vec::new();
    let mut between = |state: &State, violations: &mut Vec<Violation>| {
        let now = state.header.revision.0;
        while rejected.last().is_some_and(|next| next.from <= now) {
            open.extend(rejected.pop());
        }
        open.retain(|it| {
            if it.to < now {
                violations.push(it.violation());
                return false;
            }
            !it.is_rejected_by(state)
        });
        for change in no_ops.get(&now).into_iter().flatten() {
            violations.extend(check_no_op(facts, state, change));
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
    // Rejections for which the model gave no matching reason up to the end of the log.
    violations.extend(open.iter().map(Rejected::violation));
    violations
}

/// Returns the state after the log, up to the first event that does not apply.
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
            format!("revision {revision} does not apply to the state before it: {event:?}")
        })?;
    }
    Ok(())
}

/// Compares a change set with the model's decision for its request.
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
    let what = format!(
        "request {id} at revision {at}: the model decides {model:?}, the log has {happened:?}"
    );
    Some(Violation::new("S5", set.at, what))
}

fn check_no_op(facts: &Facts<'_>, state: &State, change: &Accepted) -> Option<Violation> {
    let request = facts.requests.get(&change.request)?;
    let model = decide(state, request.command);
    if model.as_ref().is_ok_and(Vec::is_empty) {
        return None;
    }
    let Accepted { request, base, returned, .. } = change;
    let what =
        format!("request {request} had no effect at revision {base}: the model decides {model:?}");
    Some(Violation::new("S5", *returned, what))
}

fn rejected<'a>(facts: &Facts<'a>, accepted: &[Accepted]) -> Vec<Rejected<'a>> {
    // The minimum base of all changes sent from here on, by send time.
    let mut ahead: Vec<(Micros, u64)> = accepted.iter().map(|it| (it.invoked, it.base)).collect();
    for index in (1..ahead.len()).rev() {
        ahead[index - 1].1 = ahead[index - 1].1.min(ahead[index].1);
    }
    // The maximum revision of all changes acknowledged so far, by acknowledgement time.
    let mut behind: Vec<_> = accepted.iter().map(|it| (it.returned, it.revision)).collect();
    behind.sort_unstable();
    for index in 1..behind.len() {
        behind[index].1 = behind[index].1.max(behind[index - 1].1);
    }
    let first = facts.requests.iter().filter_map(|(id, request)| {
        let outcomes = request.attempts.iter().filter_map(|operation| match &operation.outcome {
            Outcome::Rejected { reason } => Some((operation.returned, reason.as_str())),
            _ => None,
        });
        let (at, reason) = outcomes.min()?;
        let before = behind.partition_point(|(returned, _)| *returned < request.invoked);
        let after = ahead.partition_point(|(invoked, _)| *invoked <= at);
        Some(Rejected {
            request: *id,
            command: request.command,
            at,
            reason,
            from: before.checked_sub(1).map_or(0, |index| behind[index].1),
            to: ahead.get(after).map_or(u64::MAX, |(_, base)| *base),
        })
    });
    first.collect()
}

impl Rejected<'_> {
    /// Returns true if the model rejects the command in this state, and its first reason is the
    /// observed one.
    fn is_rejected_by(&self, state: &State) -> bool {
        let rejections = decide(state, self.command).err().unwrap_or_default();
        rejections.first().is_some_and(|first| self.reason.contains(&first.to_string()))
    }

    fn violation(&self) -> Violation {
        let Self { request, command, at, reason, from, to } = self;
        let to = if *to == u64::MAX { "the end".to_owned() } else { to.to_string() };
        let what = format!(
            "request {request} was rejected ({reason}), but the model does not reject it so at any \
             revision from {from} to {to}: {command:?}"
        );
        Violation::new("S5", *at, what)
    }
}
