use std::net::TcpListener;

use meridian_agent::driver::{
    Builtin, Driver as _, ExitStatus, Phase, Program, RunningUnit, StartError,
};
use meridian_domain::Incarnation;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Machine, call, config, eventually, until, until_ready};

fn kill(unit: &RunningUnit) {
    let pid = unit.pid.unwrap().try_into().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_starts_answers_and_stops_without_a_trace() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].unit, machine.spec(7).unit);
    assert_eq!(units[0].address, machine.address());
    assert_eq!(units[0].build.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(call(machine.address()).unwrap(), u64::from(units[0].pid.unwrap()));

    driver.stop(Incarnation(7)).await.unwrap();
    driver.stop(Incarnation(7)).await.unwrap();
    driver.stop(Incarnation(8)).await.unwrap();
    until(&driver, "the unit is gone", <[_]>::is_empty).await;
    assert!(call(machine.address()).is_err(), "the port of no unit is still open");
    assert_eq!(std::fs::read_dir(machine.run()).unwrap().count(), 0);
    assert_eq!(machine.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_dies_is_listed_with_its_cause_until_it_starts_again() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    kill(&units[0]);
    let exited = |units: &[RunningUnit]| matches!(units[0].phase, Phase::Exited(_));
    let units = until(&driver, "the death is seen", exited).await;
    let Phase::Exited(exit) = &units[0].phase else { unreachable!() };
    assert_eq!(exit.how, ExitStatus::Signal(9));

    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    kill(&units[0]);
    until(&driver, "the death is seen", exited).await;
    eventually("callers are refused, not left waiting", || {
        std::net::TcpStream::connect(machine.address()).is_err()
    })
    .await;
    driver.stop(Incarnation(7)).await.unwrap();
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(std::fs::read_dir(machine.run()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_hangs_is_not_called_ready_and_lives_on() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    let process = Pid::from_raw(units[0].pid.unwrap().try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let silent = |units: &[RunningUnit]| units[0].phase == Phase::Silent;
    until(&driver, "it is seen to hang", silent).await;
    kill_process(process, Signal::CONT).unwrap();
    assert_eq!(until_ready(&driver, 1).await, units);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_unit_last_said_is_part_of_its_cause() {
    let machine = Machine::new();
    let mut config = config(&machine.run(), 1);
    let script = "echo no luck today >&2; exit 3";
    config.program =
        Program { path: "/bin/sh".into(), arguments: ["-c", script].map(Into::into).to_vec() };
    let driver = Builtin::open(config).await.unwrap();
    driver.start(machine.spec(7)).await.unwrap();
    let exited = |units: &[RunningUnit]| matches!(units[0].phase, Phase::Exited(_));
    let units = until(&driver, "the failure is seen", exited).await;
    let Phase::Exited(exit) = &units[0].phase else { unreachable!() };
    assert_eq!(exit.to_string(), "it exited with code 3; it last said: no luck today");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist_is_an_error_that_leaves_nothing() {
    let machine = Machine::new();
    let mut config = config(&machine.run(), 1);
    config.program.path = "/nowhere/meridian".into();
    let driver = Builtin::open(config).await.unwrap();
    let error = driver.start(machine.spec(7)).await.unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/meridian cannot be started");
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(std::fs::read_dir(machine.run()).unwrap().count(), 0);
    assert!(TcpListener::bind(machine.address()).is_ok(), "the port stayed open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_a_stranger_holds_is_named_with_its_holder() {
    let machine = Machine::new();
    let stranger = TcpListener::bind(machine.address()).unwrap();
    let driver = machine.driver(1).await;
    let error = driver.start(machine.spec(7)).await.unwrap_err();
    let StartError::PortHeld { holder: Some(holder), .. } = &error else { panic!("{error}") };
    assert_eq!(holder.pid, std::process::id());
    let said = format!("{} is in use by process {} (", machine.address(), holder.pid);
    assert!(error.to_string().starts_with(&said), "{error}");
    assert_eq!(driver.list().await.unwrap(), []);

    drop(stranger);
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.tidy(&driver).await;
}
