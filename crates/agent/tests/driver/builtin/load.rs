//! No request is lost while units start and stop.

use meridian_agent::driver::Driver as _;
use meridian_domain::Incarnation;

use super::{Kind, Machine};
use crate::load::{KeepAlive, Load, no_request_is_lost_over};
use crate::support::{eventually, get_status, until_ready};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_units_are_started_and_stopped() {
    no_request_is_lost_over::<Kind>(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_the_agent_crashes_and_restarts() {
    let machine = Machine::new();
    let mut agent = machine.agent(2);
    eventually("both units respond", || {
        get_status(machine.address()).is_ok() && machine.processes().len() == 2
    })
    .await;
    let load = Load::start(machine.address(), 6, KeepAlive::EveryOther);
    load.wait_for_progress().await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    load.wait_for_progress().await;
    let driver = machine.driver(2).await;
    until_ready(&driver, 2).await;
    for incarnation in [3, 4] {
        driver.start(machine.spec(incarnation)).await.unwrap();
    }
    until_ready(&driver, 4).await;
    for incarnation in [1, 2] {
        driver.stop(Incarnation(incarnation)).await.unwrap();
    }
    until_ready(&driver, 2).await;
    load.wait_for_progress().await;
    load.finish();
    machine.tidy(&driver).await;
}
