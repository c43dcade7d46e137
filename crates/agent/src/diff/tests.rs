use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_domain::{RegionName, Revision, ServiceName};
use meridian_ports::UnitLoad;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;
use crate::driver::{Exit, ExitStatus};

const REVISION: u64 = 10;

fn unit(incarnation: u64) -> UnitId {
    UnitId {
        service: ServiceName::new("contoso").unwrap(),
        region: RegionName::new("westeurope").unwrap(),
        slot: u16::try_from(incarnation).unwrap(),
    }
}

fn desired(units: &BTreeMap<u64, bool>) -> Desired {
    let units = units.iter().map(|(&incarnation, &wanted)| {
        let desired = DesiredUnit {
            unit: unit(incarnation),
            incarnation: Incarnation(incarnation),
            port: 8080,
            wanted,
        };
        (desired.incarnation, desired)
    });
    Desired { revision: Revision(REVISION), units: units.collect(), ..Desired::default() }
}

fn running(incarnation: u64, phase: Phase) -> RunningUnit {
    RunningUnit {
        unit: unit(incarnation),
        incarnation: Incarnation(incarnation),
        address: ([127, 0, 1, 1], 8080).into(),
        phase,
        pid: Some(42),
        build: None,
        configuration: Revision(1),
        refused: None,
        load: UnitLoad::default(),
    }
}

fn exited() -> Phase {
    Phase::Exited(Exit { status: ExitStatus::Code(1), output_tail: None })
}

/// Owned [`Inputs`].
#[derive(Debug, Clone)]
struct OwnedInputs {
    desired: Desired,
    observed: Observed,
    backoff: Backoff,
    busy: BTreeSet<u64>,
    confirmed: bool,
    now: Moment,
}

impl OwnedInputs {
    fn new(wanted: &[(u64, bool)], observed: Vec<(u64, Phase)>) -> Self {
        let observed = observed.into_iter().map(|(n, phase)| (Incarnation(n), running(n, phase)));
        Self {
            desired: desired(&wanted.iter().copied().collect()),
            observed: observed.collect(),
            backoff: Backoff::default(),
            busy: BTreeSet::new(),
            confirmed: true,
            now: Moment::now(),
        }
    }

    fn plan(&self) -> Plan {
        diff(&Inputs {
            desired: &self.desired,
            observed: &self.observed,
            backoff: &self.backoff,
            lingering: &Lingering::default(),
            gateway: [127, 0, 1, 1].into(),
            busy: &|incarnation| self.busy.contains(&incarnation.0),
            confirmed: self.confirmed,
            now: self.now,
        })
    }

    /// Records the phases of the units, as each round does.
    fn observe(&mut self) {
        self.backoff.observe(&self.desired, &self.observed, |_| false, self.now);
    }

    /// Waits until the plan changes by itself.
    fn wait_for_wake(&mut self) {
        if let Some(wake) = self.plan().wake {
            self.now.instant = wake;
        }
    }

    /// The plan's actions and reported statuses, in short form.
    fn short(&self) -> String {
        let plan = self.plan();
        let actions = plan.actions.iter().map(|action| match action {
            Action::Start(spec) => format!("start {}", spec.incarnation),
            Action::Kill { incarnation, .. } => format!("kill {incarnation}"),
            Action::Stop { incarnation, reason, .. } => format!("stop {incarnation} {reason:?}"),
        });
        let rows = plan.rows.iter().map(|row| {
            let replace = if row.replace { " replace" } else { "" };
            let incarnation = row.incarnation;
            match &row.status {
                UnitStatus::Busy => format!("{incarnation} busy{replace}"),
                UnitStatus::Ready { .. } => format!("{incarnation} ready{replace}"),
                UnitStatus::Failed { restarts, .. } => {
                    format!("{incarnation} failed {restarts}{replace}")
                }
            }
        });
        actions.chain(rows).collect::<Vec<_>>().join(", ")
    }

    /// Applies the plan's actions to the observed units.
    fn act(&mut self) {
        for action in self.plan().actions {
            match action {
                Action::Start(spec) => {
                    let unit = running(spec.incarnation.0, Phase::Starting);
                    self.observed.insert(spec.incarnation, unit);
                }
                Action::Kill { incarnation, .. } => {
                    self.observed.get_mut(&incarnation).unwrap().phase = exited();
                }
                Action::Stop { incarnation, .. } => {
                    let unit = self.observed.get_mut(&incarnation).unwrap();
                    if matches!(unit.phase, Phase::Exited(_)) {
                        self.observed.remove(&incarnation);
                    } else {
                        unit.phase = Phase::Draining;
                    }
                }
            }
        }
    }
}

#[test]
fn one_unit_is_planned_in_every_situation() {
    let (run, drain) = (Some(true), Some(false));
    let cases: [(Option<bool>, Option<Phase>, &str); 17] = [
        (run, None, "start 7, 7 busy"),
        (run, Some(Phase::Starting), "7 busy"),
        (run, Some(Phase::Ready), "7 ready"),
        (run, Some(Phase::Unresponsive), "7 busy"),
        (run, Some(Phase::Draining), "7 busy"),
        (run, Some(exited()), "start 7, 7 busy"),
        (drain, None, ""),
        (drain, Some(Phase::Starting), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Ready), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Unresponsive), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Draining), "7 busy"),
        (drain, Some(exited()), "stop 7 Released, 7 busy"),
        (None, Some(Phase::Ready), "stop 7 Surplus"),
        (None, Some(Phase::Unresponsive), "stop 7 Surplus"),
        (None, Some(Phase::Draining), ""),
        (None, Some(exited()), "stop 7 Surplus"),
        (None, None, ""),
    ];
    for (wanted, phase, expected) in cases {
        let case = format!("{wanted:?} {phase:?}");
        let observed = phase.map(|phase| (7, phase)).into_iter().collect();
        let wanted: Vec<_> = wanted.map(|wanted| (7, wanted)).into_iter().collect();
        let mut inputs = OwnedInputs::new(&wanted, observed);
        assert_eq!(inputs.short(), expected, "{case}");
        inputs.busy = [7].into();
        let actions = inputs.plan().actions;
        assert_eq!(actions, [], "{case}, while an action is in progress");
    }
}

#[test]
fn a_released_unit_is_reported_while_its_start_is_in_progress() {
    let mut inputs = OwnedInputs::new(&[(7, false)], vec![]);
    inputs.busy = [7].into();
    assert_eq!(inputs.short(), "7 busy");
}

#[test]
fn a_unit_newer_than_the_desired_set_is_not_stopped() {
    let inputs =
        OwnedInputs::new(&[], vec![(REVISION, Phase::Ready), (REVISION + 1, Phase::Ready)]);
    assert_eq!(inputs.short(), "stop 10 Surplus");
}

#[test]
fn a_failed_unit_waits_for_its_next_try_and_the_plan_wakes_then() {
    let mut inputs = OwnedInputs::new(&[(7, true), (8, true)], vec![(7, exited())]);
    for incarnation in [7, 8, 8] {
        let incarnation = Incarnation(incarnation);
        inputs.backoff.failed(incarnation, "failed".to_owned(), inputs.now);
    }
    assert_eq!(inputs.short(), "7 failed 1, 8 failed 2");
    assert_eq!(inputs.plan().wake, Some(inputs.now.instant + Duration::from_millis(500)));
    inputs.now.instant += Duration::from_millis(500);
    assert_eq!(inputs.short(), "start 7, 7 failed 1, 8 failed 2");
    assert_eq!(inputs.plan().wake, Some(inputs.now.instant + Duration::from_millis(500)));
}

#[test]
fn a_recovering_unit_is_reported_ready_after_its_probation() {
    let mut inputs = OwnedInputs::new(&[(7, true)], vec![(7, Phase::Ready)]);
    inputs.backoff.failed(Incarnation(7), String::new(), inputs.now);
    inputs.backoff.observe(&inputs.desired, &inputs.observed, |_| false, inputs.now);
    assert_eq!(inputs.short(), "7 busy");
    inputs.now.instant = inputs.plan().wake.unwrap();
    assert_eq!(inputs.short(), "7 ready");
}

#[test]
fn starts_that_never_failed_come_first_and_the_others_in_the_order_of_their_time() {
    let wanted: Vec<(u64, bool)> = (1..=4).map(|incarnation| (incarnation, true)).collect();
    let mut inputs = OwnedInputs::new(&wanted, vec![]);
    for incarnation in [1, 1, 2, 3, 3, 3] {
        inputs.backoff.failed(Incarnation(incarnation), String::new(), inputs.now);
    }
    inputs.now.instant += Duration::from_secs(10);
    let starts = inputs.short();
    assert!(starts.starts_with("start 4, start 2, start 1, start 3"), "{starts}");
}

#[test]
fn a_hung_unit_is_killed_after_its_time_to_recover_and_replaced_if_it_does_not_exit() {
    let mut inputs = OwnedInputs::new(&[(7, true)], vec![(7, Phase::Unresponsive)]);
    inputs.observe();
    assert_eq!(inputs.short(), "7 failed 1");
    inputs.wait_for_wake();
    assert_eq!(inputs.short(), "kill 7, 7 failed 1");
    inputs.wait_for_wake();
    assert_eq!(inputs.short(), "kill 7, 7 failed 1 replace");
    inputs.act();
    inputs.observe();
    assert_eq!(inputs.short(), "start 7, 7 failed 1", "the time to wait has passed");
}

#[test]
fn a_hung_unit_that_recovers_is_not_killed() {
    let mut inputs = OwnedInputs::new(&[(7, true)], vec![(7, Phase::Unresponsive)]);
    inputs.observe();
    inputs.observed.get_mut(&Incarnation(7)).unwrap().phase = Phase::Ready;
    inputs.observe();
    inputs.wait_for_wake();
    assert_eq!(inputs.short(), "7 ready");
}

#[test]
fn a_unit_that_drains_by_itself_is_replaced_if_it_has_served() {
    for (served, expected) in [(3, "7 failed 1 replace"), (1, "7 failed 1")] {
        let mut inputs = OwnedInputs::new(&[(7, true)], vec![(7, Phase::Ready)]);
        inputs.observe();
        inputs.now.instant += Duration::from_secs(served);
        inputs.observed.get_mut(&Incarnation(7)).unwrap().phase = Phase::Draining;
        inputs.observe();
        assert_eq!(inputs.short(), expected, "after {served} s");
    }
}

#[test]
fn a_unit_that_serves_at_another_address_is_replaced() {
    let mut inputs = OwnedInputs::new(&[(7, true), (8, true)], vec![(7, Phase::Ready)]);
    inputs.observed.insert(
        Incarnation(8),
        RunningUnit { address: ([127, 0, 1, 2], 8080).into(), ..running(8, Phase::Ready) },
    );
    assert_eq!(inputs.short(), "7 ready, 8 ready replace");
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Starting),
        Just(Phase::Ready),
        Just(Phase::Unresponsive),
        Just(Phase::Unhealthy("404".to_owned())),
        Just(Phase::Draining),
        Just(exited()),
    ]
}

prop_compose! {
    fn inputs()(
        wanted in btree_map(1..=REVISION, any::<bool>(), 0..8),
        observed in btree_map(1..=REVISION + 2, phase(), 0..8),
        failed in btree_set(1..=REVISION, 0..4),
        busy in btree_set(1..=REVISION, 0..3),
        confirmed in any::<bool>(),
        waited in 0..1_000_u64,
    ) -> OwnedInputs {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut inputs = OwnedInputs::new(&wanted, observed.into_iter().collect());
        for incarnation in failed {
            inputs.backoff.failed(Incarnation(incarnation), String::new(), inputs.now);
        }
        inputs.now.instant += Duration::from_millis(waited);
        OwnedInputs { busy, confirmed, ..inputs }
    }
}

proptest! {
    #[test]
    fn no_unit_is_stopped_before_a_majority_confirmed_the_state(inputs in inputs()) {
        let stops = inputs.plan().actions;
        let stops = stops.iter().filter(|action| matches!(action, Action::Stop { .. }));
        prop_assert!(inputs.confirmed || stops.count() == 0);
    }

    #[test]
    fn each_unit_gets_at_most_one_justified_action(inputs in inputs()) {
        let mut planned = BTreeSet::new();
        for action in inputs.plan().actions {
            let incarnation = match action {
                Action::Start(UnitSpec { incarnation, .. }) => {
                    prop_assert!(inputs.desired.units[&incarnation].wanted);
                    let observed = inputs.observed.get(&incarnation).map(|unit| &unit.phase);
                    prop_assert!(matches!(observed, None | Some(Phase::Exited(_))));
                    let next_try = inputs.backoff.next_try(incarnation);
                    prop_assert!(next_try.is_none_or(|time| time <= inputs.now.instant));
                    incarnation
                }
                Action::Kill { incarnation, .. } => {
                    prop_assert!(inputs.desired.units[&incarnation].wanted);
                    prop_assert_eq!(&inputs.observed[&incarnation].phase, &Phase::Unresponsive);
                    incarnation
                }
                Action::Stop { incarnation, .. } => {
                    let unit = inputs.desired.units.get(&incarnation);
                    prop_assert!(unit.is_none_or(|unit| !unit.wanted));
                    prop_assert!(incarnation.0 <= REVISION);
                    incarnation
                }
            };
            prop_assert!(!inputs.busy.contains(&incarnation.0));
            prop_assert!(planned.insert(incarnation), "two actions for one unit");
        }
    }

    #[test]
    fn applying_a_plan_leaves_no_action(mut inputs in inputs()) {
        prop_assert_eq!(inputs.plan(), inputs.plan());
        inputs.act();
        // A unit that was killed starts again.
        inputs.act();
        prop_assert_eq!(inputs.plan().actions, []);
    }

    #[test]
    fn applying_plans_converges_to_the_desired_units(mut inputs in inputs()) {
        inputs.busy.clear();
        inputs.confirmed = true;
        inputs.backoff = Backoff::default();
        inputs.act();
        inputs.observed.retain(|_, unit| unit.phase != Phase::Draining);
        inputs.act();
        let runs: BTreeSet<u64> = inputs.observed.keys().map(|unit| unit.0).collect();
        let wanted = inputs.desired.units.values().filter(|unit| unit.wanted);
        let newer = (REVISION + 1..).take(2).filter(|unit| runs.contains(unit));
        let expected: BTreeSet<u64> = wanted.map(|unit| unit.incarnation.0).chain(newer).collect();
        prop_assert_eq!(runs, expected);
    }
}
