//! S5, real-time order: a change acknowledged before another was sent precedes it in the log, and
//! no event is observed before its request was sent.
//!
//! Revisions define the order: the changes are visited in the order in which they were sent,
//! together with those acknowledged by then.

use super::Violation;
use super::facts::Facts;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let sent = facts.accepted();
    let mut acknowledged = sent.clone();
    acknowledged.sort_by_key(|change| change.returned);
    let mut before = acknowledged.iter().peekable();
    let mut newest = None;
    for change in &sent {
        while let Some(earlier) = before.next_if(|it| it.returned < change.invoked) {
            newest = newest.max(Some((earlier.revision, earlier.request)));
        }
        if let Some((revision, earlier)) = newest.filter(|(revision, _)| *revision > change.base) {
            let what = format!(
                "request {earlier} was acknowledged at revision {revision} before request {} was sent, \
                 but the latter was decided at revision {}",
                change.request, change.base
            );
            violations.push(Violation::new("S5", change.returned, what));
        }
    }
    violations.extend(causes(facts));
    violations
}

fn causes<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = Violation> + 'a {
    facts.log.values().filter_map(|seen| {
        let id = seen.event.request_id.as_ref()?;
        let request = facts.requests.get(&id.parse().ok()?)?;
        let what = || {
            let revision = seen.event.revision;
            format!("revision {revision} was observed before its request {id} was sent")
        };
        (seen.at < request.invoked).then(|| Violation::new("S5", seen.at, what()))
    })
}
