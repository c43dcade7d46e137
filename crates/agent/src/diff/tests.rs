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
        load: UnitLoad::default(),
    }
}

fn exited() -> Phase {
    Phase::Exited(Exit { how: ExitStatus::Code(1), last_words: None })
}

/// A scene, owned.
#[derive(Debug, Clone)]
struct Setting {
    desired: Desired,
    observed: Observed,
    backoff: Backoff,
    busy: BTreeSet<u64>,
    confirmed: bool,
    now: Moment,
}

impl Setting {
    fn new(wanted: &[(u64, bool)], seen: Vec<(u64, Phase)>) -> Self {
        let seen = seen.into_iter().map(|(n, phase)| (Incarnation(n), running(n, phase)));
        Self {
            desired: desired(&wanted.iter().copied().collect()),
            observed: seen.collect(),
            backoff: Backoff::default(),
            busy: BTreeSet::new(),
            confirmed: true,
            now: Moment::now(),
        }
    }

    fn plan(&self) -> Plan {
        diff(&Scene {
            desired: &self.desired,
            observed: &self.observed,
            backoff: &self.backoff,
            busy: &|incarnation| self.busy.contains(&incarnation.0),
            confirmed: self.confirmed,
            now: self.now,
        })
    }

    /// What a plan does, and what it says, in short.
    fn short(&self) -> String {
        let plan = self.plan();
        let actions = plan.actions.iter().map(|action| match action {
            Action::Start(spec) => format!("start {}", spec.incarnation),
            Action::Stop { incarnation, why, .. } => format!("stop {incarnation} {why:?}"),
        });
        let rows = plan.rows.iter().map(|row| match &row.status {
            UnitStatus::Busy => format!("{} busy", row.incarnation),
            UnitStatus::Ready { .. } => format!("{} ready", row.incarnation),
            UnitStatus::Failed { restarts, .. } => format!("{} failed {restarts}", row.incarnation),
        });
        actions.chain(rows).collect::<Vec<_>>().join(", ")
    }

    /// What the driver has once it was told everything.
    fn act(&mut self) {
        for action in self.plan().actions {
            match action {
                Action::Start(spec) => {
                    let unit = running(spec.incarnation.0, Phase::Starting);
                    self.observed.insert(spec.incarnation, unit);
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
fn one_unit_in_every_situation() {
    let (run, drain) = (Some(true), Some(false));
    let cases: [(Option<bool>, Option<Phase>, &str); 17] = [
        (run, None, "start 7, 7 busy"),
        (run, Some(Phase::Starting), "7 busy"),
        (run, Some(Phase::Ready), "7 ready"),
        (run, Some(Phase::Silent), "7 busy"),
        (run, Some(Phase::Draining), "7 busy"),
        (run, Some(exited()), "start 7, 7 busy"),
        (drain, None, ""),
        (drain, Some(Phase::Starting), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Ready), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Silent), "stop 7 Released, 7 busy"),
        (drain, Some(Phase::Draining), "7 busy"),
        (drain, Some(exited()), "stop 7 Released, 7 busy"),
        (None, Some(Phase::Ready), "stop 7 Surplus"),
        (None, Some(Phase::Silent), "stop 7 Surplus"),
        (None, Some(Phase::Draining), ""),
        (None, Some(exited()), "stop 7 Surplus"),
        (None, None, ""),
    ];
    for (wanted, phase, expected) in cases {
        let case = format!("{wanted:?} {phase:?}");
        let seen = phase.map(|phase| (7, phase)).into_iter().collect();
        let wanted: Vec<_> = wanted.map(|wanted| (7, wanted)).into_iter().collect();
        let mut setting = Setting::new(&wanted, seen);
        assert_eq!(setting.short(), expected, "{case}");
        setting.busy = [7].into();
        let quiet = setting.plan().actions;
        assert_eq!(quiet, [], "{case}, while the driver is being told");
    }
}

#[test]
fn a_released_unit_is_not_gone_while_it_is_still_being_started() {
    let mut setting = Setting::new(&[(7, false)], vec![]);
    setting.busy = [7].into();
    assert_eq!(setting.short(), "7 busy");
}

#[test]
fn a_process_that_is_newer_than_the_set_is_left_alone() {
    let setting = Setting::new(&[], vec![(REVISION, Phase::Ready), (REVISION + 1, Phase::Ready)]);
    assert_eq!(setting.short(), "stop 10 Surplus");
}

#[test]
fn a_unit_that_failed_waits_and_the_plan_says_until_when() {
    let mut setting = Setting::new(&[(7, true), (8, true)], vec![(7, exited())]);
    for incarnation in [7, 8, 8] {
        let incarnation = Incarnation(incarnation);
        setting.backoff.failed(incarnation, "no luck".to_owned(), setting.now);
    }
    assert_eq!(setting.short(), "7 failed 1, 8 failed 2");
    assert_eq!(setting.plan().wake, Some(setting.now.instant + Duration::from_millis(500)));
    setting.now.instant += Duration::from_millis(500);
    assert_eq!(setting.short(), "start 7, 7 failed 1, 8 failed 2");
    assert_eq!(setting.plan().wake, Some(setting.now.instant + Duration::from_millis(500)));
}

#[test]
fn a_unit_that_recovers_is_reported_ready_when_it_has_answered_for_a_while() {
    let mut setting = Setting::new(&[(7, true)], vec![(7, Phase::Ready)]);
    setting.backoff.failed(Incarnation(7), String::new(), setting.now);
    setting.backoff.learn(&setting.desired, &setting.observed, |_| false, setting.now);
    assert_eq!(setting.short(), "7 busy");
    setting.now.instant = setting.plan().wake.unwrap();
    assert_eq!(setting.short(), "7 ready");
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Starting),
        Just(Phase::Ready),
        Just(Phase::Silent),
        Just(Phase::Draining),
        Just(exited()),
    ]
}

prop_compose! {
    fn setting()(
        wanted in btree_map(1..=REVISION, any::<bool>(), 0..8),
        seen in btree_map(1..=REVISION + 2, phase(), 0..8),
        failed in btree_set(1..=REVISION, 0..4),
        busy in btree_set(1..=REVISION, 0..3),
        confirmed in any::<bool>(),
        waited in 0..1_000_u64,
    ) -> Setting {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut setting = Setting::new(&wanted, seen.into_iter().collect());
        for incarnation in failed {
            setting.backoff.failed(Incarnation(incarnation), String::new(), setting.now);
        }
        setting.now.instant += Duration::from_millis(waited);
        Setting { busy, confirmed, ..setting }
    }
}

proptest! {
    #[test]
    fn nothing_is_stopped_before_a_majority_confirmed(setting in setting()) {
        let stops = setting.plan().actions;
        let stops = stops.iter().filter(|action| matches!(action, Action::Stop { .. }));
        prop_assert!(setting.confirmed || stops.count() == 0);
    }

    #[test]
    fn each_unit_is_told_one_thing_at_a_time_and_for_a_reason(setting in setting()) {
        let mut told = BTreeSet::new();
        for action in setting.plan().actions {
            let incarnation = match action {
                Action::Start(UnitSpec { incarnation, .. }) => {
                    prop_assert!(setting.desired.units[&incarnation].wanted);
                    let seen = setting.observed.get(&incarnation).map(|unit| &unit.phase);
                    prop_assert!(matches!(seen, None | Some(Phase::Exited(_))));
                    let next_try = setting.backoff.next_try(incarnation);
                    prop_assert!(next_try.is_none_or(|time| time <= setting.now.instant));
                    incarnation
                }
                Action::Stop { incarnation, .. } => {
                    let unit = setting.desired.units.get(&incarnation);
                    prop_assert!(unit.is_none_or(|unit| !unit.wanted));
                    prop_assert!(incarnation.0 <= REVISION);
                    incarnation
                }
            };
            prop_assert!(!setting.busy.contains(&incarnation.0));
            prop_assert!(told.insert(incarnation), "told twice");
        }
    }

    #[test]
    fn once_acted_on_a_plan_leaves_nothing_to_do(mut setting in setting()) {
        prop_assert_eq!(setting.plan(), setting.plan());
        setting.act();
        prop_assert_eq!(setting.plan().actions, []);
    }

    #[test]
    fn what_is_reached_is_what_the_log_wants(mut setting in setting()) {
        setting.busy.clear();
        setting.confirmed = true;
        setting.backoff = Backoff::default();
        setting.act();
        setting.observed.retain(|_, unit| unit.phase != Phase::Draining);
        setting.act();
        let runs: BTreeSet<u64> = setting.observed.keys().map(|unit| unit.0).collect();
        let wanted = setting.desired.units.values().filter(|unit| unit.wanted);
        let newer = (REVISION + 1..).take(2).filter(|unit| runs.contains(unit));
        let expected: BTreeSet<u64> = wanted.map(|unit| unit.incarnation.0).chain(newer).collect();
        prop_assert_eq!(runs, expected);
    }
}
