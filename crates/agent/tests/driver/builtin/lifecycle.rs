use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use meridian_agent::driver::{Builtin, BuiltinConfig, Driver as _, StartError};
use meridian_domain::Incarnation;

use super::{Machine, config};
use crate::support::{Variant, eventually, get_status, until, until_ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_reports_its_build_and_its_pid() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].build.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(get_status(machine.address()).unwrap().1, u64::from(units[0].pid.unwrap()));
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_running_unit_is_rotated_and_deleted_with_the_unit() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let log = machine.run().join("u7.log");
    let mut unit = OpenOptions::new().append(true).open(&log).unwrap();
    unit.write_all(&[b'\n'; 9 << 20]).unwrap();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let older = machine.run().join("u7.log.1");
    eventually("the log is rotated", || size(&older) >= 9 << 20 && size(&log) < 9 << 20).await;
    machine.tidy(&driver).await;
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_maximum_a_unit_can_be_replaced_but_no_slot_is_added() {
    let machine = Machine::new();
    let mut config = config(&machine.run(), 1, Variant::Usual);
    config.limits.units = 1;
    let driver = Builtin::open(config).await.unwrap();
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let error = driver.start(machine.spec(8)).await.unwrap_err();
    assert!(matches!(error, StartError::NoDescriptors { .. }), "{error}");
    let mut replacement = machine.spec(9);
    replacement.unit = machine.spec(7).unit;
    driver.start(replacement).await.unwrap();
    until_ready(&driver, 2).await;
    machine.tidy(&driver).await;
}

/// Its socket takes connections that nobody serves, and keeps the port from its successor.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_unit_that_is_stopped_frees_its_port_before_the_drain_timeout() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.freeze_all();
    let stopped = Instant::now();
    driver.stop(Incarnation(7)).await.unwrap();
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
    assert!(stopped.elapsed() < BuiltinConfig::DRAIN_TIMEOUT, "{:?}", stopped.elapsed());
    driver.start(machine.spec(8)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.tidy(&driver).await;
}
