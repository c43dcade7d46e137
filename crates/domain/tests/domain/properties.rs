//! Properties of random sequences of commands.

use meridian_domain::evolve::{apply, evolve};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;
use proptest::prelude::*;

use crate::invariants;
use crate::random::{Step, setup, step};
use crate::world::World;

/// Returns the entry that the sequencer would propose for `command`.
fn entry(state: &State, command: &Command, number: u64) -> Entry {
    let origin = if let Command::Report(report) = command {
        Origin::Report {
            agent: report.agent.clone(),
            generation: report.generation,
            sequence: report.sequence,
        }
    } else {
        Origin::Operator {
            request: request(number),
            digest: Digest([1; 32]),
            actor: Actor::new("ann@desk").expect("valid actor"),
            reason: None,
        }
    };
    let (events, verdict) = match decide(state, command) {
        Ok(events) => (events, Verdict::Accepted),
        Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
    };
    let time = Timestamp(number);
    Entry { base: state.header.revision, time, changes: vec![Change { origin, events, verdict }] }
}

fn request(number: u64) -> RequestId {
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    let uuid = uuid::Uuid::from_u128(u128::from(number) << 80 | version_and_variant);
    uuid.try_into().expect("valid request id")
}

/// Executes the steps one after another. Returns the final state and the log.
fn live(steps: &[Step]) -> (State, Vec<Entry>) {
    let mut state = State::default();
    let mut log = Vec::new();
    for (number, step) in (1..).zip(setup().iter().chain(steps)) {
        let entry = entry(&state, &step.command(&state, number), number);
        apply(&mut state, &entry).expect("the base matches");
        invariants::check(&state);
        log.push(entry);
    }
    (state, log)
}

/// Removes the parts of a state that follow from entries rather than events: outcomes, time and
/// report numbers.
fn without_entry_data(mut state: State) -> State {
    state.outcomes = outcome::Outcomes::default();
    state.header.time = Timestamp(0);
    for agent in state.agents.values_mut() {
        agent.last_report = (Generation(0), Sequence(0));
    }
    for measured in state.round_trips.values_mut() {
        measured.recorded = Timestamp(0);
    }
    for loss in state.losses.values_mut().flat_map(|losses| losses.values_mut()) {
        loss.since = Timestamp(0);
        loss.found = loss.found.and(Some(Timestamp(0)));
    }
    state
}

/// Returns a report of every agent in which its active units are ready and the draining ones have
/// stopped.
fn all_ready(state: &State) -> Vec<Command> {
    let report = |agent: &Agent| {
        let name = agent.description.name.clone();
        let rows = state.units_on(&name).filter(|unit| unit.is_wanted()).map(|unit| ReportedUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            status: UnitStatus::Ready { pid: None, configuration: Revision(1), refused: None },
            replace: false,
        });
        Command::Report(Report {
            units: rows.collect(),
            agent: name,
            generation: Generation(99),
            sequence: agent.last_report.1.next(),
            after: Incarnation(0),
            observed: state.header.revision,
        })
    };
    state.agents.values().map(report).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn replaying_the_log_yields_the_live_state(steps in prop::collection::vec(step(), 1..60)) {
        let (state, log) = live(&steps);
        let mut replayed = State::default();
        for entry in &log {
            apply(&mut replayed, entry).expect("the base matches");
        }
        prop_assert_eq!(&replayed, &state);

        let mut from_events = State::default();
        for record in log.iter().flat_map(Entry::records) {
            evolve(&mut from_events, record.revision, &record.event);
        }
        prop_assert_eq!(from_events, without_entry_data(state));
    }

    #[test]
    fn every_cluster_converges_and_then_emits_no_more_events(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World { state: live(&steps).0 };
        // A roll needs one report for each unit.
        for _ in 0..=world.state.units.len() {
            for report in all_ready(&world.state) {
                world.apply(report);
            }
        }
        prop_assert!(world.state.units.values().all(Unit::is_ready));
        for report in all_ready(&world.state) {
            prop_assert_eq!(world.apply(report), vec![]);
        }
        for agent in world.state.agents.clone().into_values() {
            prop_assert_eq!(world.apply(Command::RegisterAgent(agent.description)), vec![]);
        }
    }
}
