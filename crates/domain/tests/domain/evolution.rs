use meridian_domain::evolve::{BaseMismatch, apply, apply_change, evolve};
use meridian_domain::outcome::OutcomeLookup;
use meridian_domain::*;

use crate::world::*;

fn request() -> RequestId {
    "01932f5e-8b1a-7c3d-9e4f-0123456789ab".parse().expect("valid request id")
}

fn entry(base: Revision, events: Vec<Event>, time: u64) -> Entry {
    let origin = Origin::Operator {
        request: request(),
        digest: Digest([1; 32]),
        actor: Actor::new("ann@desk").expect("valid actor"),
        reason: None,
    };
    let change = Change { origin, events, verdict: Verdict::Accepted };
    Entry { base, time: Timestamp(time), changes: vec![change] }
}

#[test]
fn an_entry_with_another_base_revision_changes_nothing() {
    let mut world = World::contoso();
    let (before, revision) = (world.state.clone(), world.state.header.revision);
    let base = revision.next();
    let rejected = apply(&mut world.state, &entry(base, vec![], 5));
    assert_eq!(rejected, Err(BaseMismatch { base, revision }));
    assert_eq!(world.state, before);
}

#[test]
fn an_outcome_records_the_revisions_before_and_after_its_events() {
    let mut world = World::contoso();
    let base = world.state.header.revision;
    let events =
        decide(&world.state, &change([add("eastus", 1)])).expect("the command is accepted");
    let end = Revision(base.0 + events.len() as u64);
    apply(&mut world.state, &entry(base, events, 5)).expect("the base matches");
    let OutcomeLookup::Known(outcome) = world.state.outcomes.lookup(request(), &Digest([1; 32]))
    else {
        panic!("the outcome was not recorded");
    };
    assert_eq!((outcome.base, outcome.revision), (base, end));
    apply(&mut world.state, &entry(end, vec![], 3)).expect("the base matches");
    assert_eq!(world.state.header.time, Timestamp(5), "time never decreases");
}

#[test]
fn a_stale_report_does_not_reset_the_last_report() {
    let mut world = World::contoso();
    let name = agent_name("westeurope");
    let report = |sequence, verdict| {
        let (agent, sequence) = (name.clone(), Sequence(sequence));
        let origin = Origin::Report { agent, generation: Generation(1), sequence };
        Change { origin, events: vec![], verdict }
    };
    apply_change(&mut world.state, &report(5, Verdict::Accepted));
    let stale = Verdict::Rejected(vec![Rejection::StaleReport { agent: name.clone() }]);
    apply_change(&mut world.state, &report(3, stale));
    assert_eq!(world.state.agents[&name].last_report, (Generation(1), Sequence(5)));
}

#[test]
#[should_panic(expected = "revisions are consecutive")]
fn an_event_out_of_order_violates_an_invariant() {
    evolve(&mut State::default(), Revision(2), &Event::HistoryTrimmed { through: Revision(1) });
}
