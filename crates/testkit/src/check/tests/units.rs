//! Tests of the processes of units.

use meridian_domain::{Command, ServiceName, Tier, WhenDisabled};

use super::run::{NODES, Run, region};
use super::{assert_only, valid};
use crate::check::check;
use crate::history::{Fault, Record, Step};

#[test]
fn s8_one_unit_has_two_processes() {
    let mut history = valid();
    let table = history.iter_mut().find_map(|record| match record {
        Record::Processes(table) if !table.units.is_empty() => Some(table),
        _ => None,
    });
    let table = table.expect("has units");
    let mut twin = table.units[0].clone();
    twin.pid += 50;
    table.units.push(twin);
    assert_only("S8", &history);
}

#[test]
fn s9_a_partitioned_region_loses_its_last_unit() {
    let mut history = valid();
    let started = history.iter().position(|record| {
        matches!(record, Record::Fault(Fault { step: Step::Effective { .. }, .. }))
    });
    let Some(Record::Processes(table)) = started.and_then(|at| history.get_mut(at + 1)) else {
        panic!("a table follows");
    };
    table.units.retain(|unit| unit.region != NODES[2]);
    assert_only("S9", &history);
}

#[test]
fn a_partitioned_region_may_kill_a_unit_that_hangs_for_long() {
    let mut history = valid();
    let at = history.iter().position(|record| {
        matches!(record, Record::Fault(Fault { step: Step::Effective { .. }, .. }))
    });
    let at = at.expect("there is a fault");
    let Some(Record::Processes(table)) = history.get_mut(at + 1) else {
        panic!("a table follows");
    };
    let (gone, left): (Vec<_>, Vec<_>) =
        table.units.drain(..).partition(|unit| unit.region == NODES[2]);
    table.units = left;
    let hangs = gone.iter().map(|unit| {
        let evidence = format!("the unit of the stopped process {} is failed", unit.pid);
        Record::Fault(Fault {
            // Far from the partition: its agent may have been restarted meanwhile.
            at: 1_000_000_000,
            fault: 900,
            kind: "hang".to_owned(),
            nodes: vec![NODES[2].to_owned()],
            step: Step::Effective { evidence },
        })
    });
    let hangs: Vec<_> = hangs.collect();
    assert!(!hangs.is_empty());
    history.extend(hangs);
    let violations = check(&history).violations;
    assert!(violations.iter().all(|it| it.invariant != "S9"), "{violations:?}");
}

#[test]
fn a_partitioned_region_may_stop_the_units_of_a_service_deleted_long_before() {
    let mut run = Run::bootstrapped();
    let service = ServiceName::new("deleted").expect("is a name");
    run.change(
        0,
        Command::CreateService {
            service: service.clone(),
            tier: Tier::Premium,
            primary: region(2),
            port: None,
            when_disabled: WhenDisabled::Refuse,
        },
    );
    run.start_units();
    run.change(0, Command::DeleteService { service, expected: None });
    // The agent was down meanwhile.
    run.pass(20_000_000);
    run.fault_during("partition", 2, Run::stop_draining);
    let violations = check(&run.heal()).violations;
    assert!(violations.iter().all(|it| it.invariant != "S9"), "{violations:?}");
}
