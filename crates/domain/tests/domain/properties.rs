//! What holds for any sequence of commands.

use meridian_domain::evolve::{apply, evolve};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;
use proptest::prelude::*;

use crate::invariants;
use crate::random::{Step, beginning, step};
use crate::world::World;

/// The entry in which the sequencer would propose `command`.
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
            actor: Actor::new("ann@desk").expect("is an actor"),
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
    uuid.try_into().expect("is version 7")
}

/// Does every step against what the steps before it led to, and returns the log of it.
fn live(steps: &[Step]) -> (State, Vec<Entry>) {
    let mut state = State::default();
    let mut log = Vec::new();
    for (number, step) in (1..).zip(beginning().iter().chain(steps)) {
        let entry = entry(&state, &step.command(&state, number), number);
        apply(&mut state, &entry).expect("the base is the state's revision");
        invariants::check(&state);
        log.push(entry);
    }
    (state, log)
}

/// A state without what only entries carry: who asked, when, and which report it was.
fn of_events_alone(mut state: State) -> State {
    state.outcomes = outcome::Outcomes::default();
    state.header.time = Timestamp(0);
    for agent in state.agents.values_mut() {
        agent.last_report = (Generation(0), Sequence(0));
    }
    state
}

/// Reports in which every agent says that all of its units are up, and the released ones gone.
fn all_is_well(state: &State) -> Vec<Command> {
    let report = |agent: &Agent| {
        let name = agent.description.name.clone();
        let rows = state.units_on(&name).filter(|unit| unit.is_wanted()).map(|unit| ReportedUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            status: UnitStatus::Ready { pid: None, configuration: Revision(1) },
        });
        Command::Report(Report {
            units: rows.collect(),
            agent: name,
            generation: Generation(99),
            sequence: agent.last_report.1.next(),
            observed: state.header.revision,
        })
    };
    state.agents.values().map(report).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn replaying_the_log_gives_the_live_state(steps in prop::collection::vec(step(), 1..60)) {
        let (state, log) = live(&steps);
        let mut replayed = State::default();
        for entry in &log {
            apply(&mut replayed, entry).expect("the base is the state's revision");
        }
        prop_assert_eq!(&replayed, &state);

        let mut of_events = State::default();
        for record in log.iter().flat_map(Entry::records) {
            evolve(&mut of_events, record.revision, &record.event);
        }
        prop_assert_eq!(of_events, of_events_alone(state));
    }

    #[test]
    fn whatever_happened_a_cluster_settles_and_is_then_silent(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World { state: live(&steps).0 };
        // A roll takes a report for each unit.
        for _ in 0..=world.state.units.len() {
            for report in all_is_well(&world.state) {
                world.does(report);
            }
        }
        prop_assert!(world.state.units.values().all(Unit::is_ready));
        for report in all_is_well(&world.state) {
            prop_assert_eq!(world.does(report), vec![]);
        }
        for agent in world.state.agents.clone().into_values() {
            prop_assert_eq!(world.does(Command::RegisterAgent(agent.description)), vec![]);
        }
    }
}
