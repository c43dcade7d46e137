use meridian_domain::evolve::{BaseMismatch, apply, apply_change, evolve};
use meridian_domain::outcome::Recollection;
use meridian_domain::*;

use crate::world::*;

fn request() -> RequestId {
    "01932f5e-8b1a-7c3d-9e4f-0123456789ab".parse().expect("is a request id")
}

fn entry(base: Revision, events: Vec<Event>, time: u64) -> Entry {
    let origin = Origin::Operator {
        request: request(),
        digest: Digest([1; 32]),
        actor: Actor::new("ann@desk").expect("is an actor"),
        reason: None,
    };
    let change = Change { origin, events, verdict: Verdict::Accepted };
    Entry { base, time: Timestamp(time), changes: vec![change] }
}

#[test]
fn an_entry_that_was_decided_against_another_state_changes_nothing() {
    let mut world = World::contoso();
    let (before, revision) = (world.state.clone(), world.state.header.revision);
    let base = revision.next();
    let refused = apply(&mut world.state, &entry(base, vec![], 5));
    assert_eq!(refused, Err(BaseMismatch { base, revision }));
    assert_eq!(world.state, before);
}

#[test]
fn an_outcome_keeps_the_revisions_around_its_events() {
    let mut world = World::contoso();
    let base = world.state.header.revision;
    let events = decide(&world.state, &change([add("eastus", 1)])).expect("is accepted");
    let end = Revision(base.0 + events.len() as u64);
    apply(&mut world.state, &entry(base, events, 5)).expect("the base matches");
    let Recollection::Same(outcome) = world.state.outcomes.recall(request(), &Digest([1; 32]))
    else {
        panic!("the outcome was not recorded");
    };
    assert_eq!((outcome.base, outcome.revision), (base, end));
    apply(&mut world.state, &entry(end, vec![], 3)).expect("the base matches");
    assert_eq!(world.state.header.time, Timestamp(5), "time never goes back");
}

#[test]
fn a_stale_report_does_not_make_way_for_others() {
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
#[should_panic(expected = "events are numbered without a gap")]
fn an_event_out_of_order_is_a_broken_invariant() {
    evolve(&mut State::default(), Revision(2), &Event::HistoryTrimmed { through: Revision(1) });
}
