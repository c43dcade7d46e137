//! Hung units: their processes are stopped with SIGSTOP.

use meridian_agent::driver::{Driver as _, KILL_TIMEOUT, Phase, RunningUnit};
use meridian_domain::Incarnation;

use super::pids;
use crate::support::{
    Kind, Machine, SHORT_DRAIN_TIMEOUT, Variant, eventually, get_status, until, until_exited,
    until_ready,
};

pub async fn a_unit_that_exceeds_the_drain_timeout_is_killed<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver_variant(1, Variant::Impatient).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.freeze_all();
    driver.stop(Incarnation(7)).await.unwrap();
    machine.tidy(&driver).await;
    assert_eq!(machine.files(), 0);
}

pub async fn a_hung_unit_is_killed_in_time_while_a_response_is_pending<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver_variant(1, Variant::Impatient).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.freeze_all();
    let missed = |units: &[RunningUnit]| units[0].phase != Phase::Ready;
    until(&driver, "a check has timed out, and the next one is pending", missed).await;

    driver.stop(Incarnation(7)).await.unwrap();
    let stopped = until(&driver, "the unit has left the list", <[_]>::is_empty);
    let stopped = tokio::time::timeout(SHORT_DRAIN_TIMEOUT + KILL_TIMEOUT, stopped).await;
    assert!(stopped.is_ok(), "{:?}", driver.list().await);
    assert_eq!(machine.processes(), [0; 0]);
}

pub async fn a_hung_unit_without_a_control_socket_is_killed_when_it_is_stopped<K: Kind>() {
    let machine = Machine::<K>::new();
    let mut agent = machine.agent(1);
    eventually("the unit responds", || get_status(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    machine.freeze_all();
    machine.remove_sockets();

    let driver = machine.driver_variant(2, Variant::Impatient).await;
    driver.stop(Incarnation(1)).await.unwrap();
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
    assert_eq!(machine.processes(), [0; 0]);
    assert_eq!(machine.files(), 0);
}

pub async fn a_hung_unit_is_not_ready_and_keeps_running<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    machine.freeze_all();
    let unresponsive = |units: &[RunningUnit]| units[0].phase == Phase::Unresponsive;
    until(&driver, "it is unresponsive", unresponsive).await;
    machine.thaw_all();
    assert_eq!(pids(&until_ready(&driver, 1).await), pids(&units));
    machine.tidy(&driver).await;
}

pub async fn a_hung_unit_is_killed_on_request_and_starts_again<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    driver.kill(Incarnation(7)).await.unwrap();
    assert!(get_status(machine.address()).is_ok(), "a unit that responds is not killed");
    machine.freeze_all();
    let unresponsive = |units: &[RunningUnit]| units[0].phase == Phase::Unresponsive;
    until(&driver, "it is unresponsive", unresponsive).await;
    driver.kill(Incarnation(7)).await.unwrap();
    until_exited(&driver).await;
    driver.start(machine.spec(7)).await.unwrap();
    let restarted = until_ready(&driver, 1).await;
    assert_ne!(pids(&restarted), pids(&units));
    assert_eq!(pids(&restarted), machine.processes());
    machine.tidy(&driver).await;
}
