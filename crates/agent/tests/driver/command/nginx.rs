//! Tests of nginx as a unit.

use std::sync::Arc;

use meridian_agent::driver::{
    CommandConfig, CommandDriver, CommandTemplate, Driver as _, Phase, RunningUnit,
};
use meridian_domain::{BackendUrl, Configuration, Incarnation, Revision};
use rustix::process::Signal;

use super::{Kind, Machine, config};
use crate::backend::Backend;
use crate::load::{KeepAlive, Load};
use crate::support::{
    Kind as _, NOBODY, Variant, configuration, eventually, get, get_status,
    is_skipped_as_other_user, send, until, until_ready, user,
};

/// Returns true, and prints the reason, if nginx is not installed.
fn is_skipped() -> bool {
    let missing = Kind::missing_prerequisite();
    if let Some(what) = &missing {
        println!("skipped: {what}");
    }
    missing.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_on_a_new_connection_is_lost_while_units_start_stop_and_reload() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    let load = Load::start(machine.address(), 4, KeepAlive::None);
    for cycle in 1..=4 {
        driver.start(machine.spec(cycle + 1)).await.unwrap();
        until_ready(&driver, 2).await;
        load.wait_for_progress().await;
        driver.stop(Incarnation(cycle)).await.unwrap();
        until_ready(&driver, 1).await;
        let next = Revision(100 + cycle);
        let configuration = Arc::new(configuration(next.0, &[]));
        driver.configure(Incarnation(cycle + 1), configuration).await.unwrap();
        let reloaded = |units: &[RunningUnit]| units[0].configuration == next;
        until(&driver, "it has reloaded", reloaded).await;
        load.wait_for_progress().await;
    }
    load.finish();
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_never_replaces_a_valid_one() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let backend = Backend::start();
    let driver = machine.driver(1).await;
    let good = configuration(9, &[("/orders", backend.address)]);
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(good.clone());
    driver.start(spec.clone()).await.unwrap();
    until_ready(&driver, 1).await;
    let with_backend = |revision: u64, url: &str| {
        let mut bad = Configuration { revision: Revision(revision), ..good.clone() };
        bad.apis[0].backend = BackendUrl::new(url).unwrap();
        Arc::new(bad)
    };
    let variable = with_backend(10, "http://127.0.0.1/$x");
    driver.configure(Incarnation(7), Arc::clone(&variable)).await.unwrap();
    driver.configure(Incarnation(7), with_backend(11, "http://nowhere.invalid/")).await.unwrap();
    let mut better = good.clone();
    better.revision = Revision(12);
    let staged = machine.run().join("u7.d").join("configuration.new");
    eventually("the second one was staged", || staged.exists()).await;
    assert_eq!(driver.list().await.unwrap()[0].configuration, Revision(9));
    assert_eq!(get(machine.address(), "/orders/5").unwrap().0, 200);
    driver.configure(Incarnation(7), Arc::new(better)).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(12);
    until(&driver, "the valid one is served", configured).await;
    machine.tidy(&driver).await;

    for refused in [variable, with_backend(13, "h2c://127.0.0.1")] {
        spec.configuration = refused;
        let error = driver.start(spec.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot render the configuration of incarnation 7");
        assert_eq!(machine.files(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_do_not_run_as_root() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let users = machine.users_of_children();
    assert!(!users.is_empty() && !users.contains(&0), "{users:?}");
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_runs_as_the_user_of_the_units_and_the_agent_reloads_and_adopts_it() {
    if is_skipped() || is_skipped_as_other_user() {
        return;
    }
    let machine = Machine::new();
    let open = async |generation| {
        let config = config(&machine.run(), generation, Variant::Usual, CommandTemplate::nginx());
        CommandDriver::open(CommandConfig { user: Some(NOBODY), ..config }).await.unwrap()
    };
    let driver = open(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    driver.start(machine.spec(8)).await.unwrap();
    until_ready(&driver, 2).await;
    let main = machine.processes();
    assert_eq!([user(main[0]), user(main[1])], [Some(NOBODY.uid); 2]);
    driver.stop(Incarnation(8)).await.unwrap();
    until(&driver, "one unit is left", |units| units.len() == 1).await;
    assert!(!machine.run().join("u8.d").exists() && !machine.run().join("u8.json").exists());
    drop(driver);

    let driver = open(2).await;
    until_ready(&driver, 1).await;
    driver.configure(Incarnation(7), configuration(100, &[]).into()).await.unwrap();
    let reloaded = |units: &[RunningUnit]| units[0].configuration == Revision(100);
    until(&driver, "it has reloaded", reloaded).await;
    assert!(main.contains(&driver.list().await.unwrap()[0].pid.unwrap()), "{main:?}");
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_character_of_a_path_is_special_to_nginx() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let backend = Backend::start();
    let driver = machine.driver(1).await;
    let mut odd = configuration(9, &[("/a", backend.address), ("/root", backend.address)]);
    odd.apis[0].path = "/a;b'$host'(c)*~!&+,=:@".parse().unwrap();
    odd.apis[0].backend = format!("http://{}/x;y'(z)*~", backend.address).parse().unwrap();
    odd.apis[1].path = "/".parse().unwrap();
    odd.apis[1].backend = format!("http://{}", backend.address).parse().unwrap();
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(odd);
    driver.start(spec).await.unwrap();
    until_ready(&driver, 1).await;
    let body = |path: &str| get(machine.address(), path).unwrap().1;
    assert_eq!(body("/a;b'$host'(c)*~!&+,=:@/d?e"), "/x;y'(z)*~/d?e");
    assert_eq!(body("/a;b'$host'(c)*~!&+,=:@"), "/x;y'(z)*~");
    assert_eq!(body("/a;b"), "/a;b");
    assert_eq!(body("/"), "/");
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_finishes_while_its_unit_reloads() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let backend = Backend::start();
    let driver = machine.driver(1).await;
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(configuration(9, &[("/orders", backend.address)]));
    driver.start(spec).await.unwrap();
    until_ready(&driver, 1).await;
    let address = machine.address();
    let client = std::thread::spawn(move || get(address, "/orders/slow"));
    eventually("the request is in flight", || backend.waiting() == 1).await;
    driver.configure(Incarnation(7), Arc::new(configuration(10, &[]))).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(10);
    until(&driver, "the configuration is served", configured).await;
    assert_eq!(get(address, "/orders").unwrap().0, 404);
    assert!(!client.is_finished());
    backend.release();
    assert_eq!(client.join().unwrap().unwrap(), (200, "/backend/slow".to_owned()));
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remaining_processes_of_a_unit_that_crashed_without_an_agent_are_killed() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit responds", || get_status(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    // nginx's workers keep running without their master process.
    send(machine.processes()[0], Signal::KILL);
    eventually("only workers are left", || !machine.processes().is_empty()).await;
    assert!(get_status(machine.address()).is_ok());

    let driver = machine.driver(2).await;
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(machine.processes(), [0; 0]);
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_unit_is_still_draining_after_a_restart_of_the_agent() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let backend = Backend::start();
    let first = machine.driver(1).await;
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(configuration(9, &[("/orders", backend.address)]));
    first.start(spec).await.unwrap();
    until_ready(&first, 1).await;
    let address = machine.address();
    let client = std::thread::spawn(move || get(address, "/orders/slow"));
    eventually("the request is in flight", || backend.waiting() == 1).await;
    first.stop(Incarnation(7)).await.unwrap();
    let mark = machine.run().join("u7.d").join("stopping");
    eventually("the stop is recorded", || mark.exists()).await;

    let second = machine.driver(2).await;
    assert_eq!(second.list().await.unwrap()[0].phase, Phase::Draining);
    backend.release();
    assert_eq!(client.join().unwrap().unwrap().0, 200);
    until(&second, "the unit has left the list", <[_]>::is_empty).await;
    assert_eq!(machine.processes(), [0; 0]);
}
