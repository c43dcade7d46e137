//! What nginx does as a unit.

use std::sync::Arc;

use meridian_agent::driver::{Driver as _, Phase, RunningUnit};
use meridian_domain::{BackendUrl, Configuration, Incarnation, Revision};
use rustix::process::Signal;

use super::{Kind, Machine};
use crate::backend::Backend;
use crate::load::{Keep, Load};
use crate::support::{Kind as _, call, configuration, eventually, get, send, until, until_ready};

/// Whether there is no nginx here, which is said.
fn is_skipped() -> bool {
    let lacks = Kind::lacks();
    if let Some(what) = &lacks {
        println!("skipped: {what}");
    }
    lacks.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_new_caller_is_lost_while_units_start_stop_and_reload() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    let load = Load::start(machine.address(), 4, Keep::Nobody);
    for cycle in 1..=4 {
        driver.start(machine.spec(cycle + 1)).await.unwrap();
        until_ready(&driver, 2).await;
        load.flow().await;
        driver.stop(Incarnation(cycle)).await.unwrap();
        until_ready(&driver, 1).await;
        let next = Revision(100 + cycle);
        let told = Arc::new(configuration(next.0, &[]));
        driver.configure(Incarnation(cycle + 1), told).await.unwrap();
        let reloaded = |units: &[RunningUnit]| units[0].configuration == next;
        until(&driver, "it has reloaded", reloaded).await;
        load.flow().await;
    }
    load.end();
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_never_replaces_a_good_one() {
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
    eventually("the second was tried", || staged.exists()).await;
    assert_eq!(driver.list().await.unwrap()[0].configuration, Revision(9));
    assert_eq!(get(machine.address(), "/orders/5").unwrap().0, 200);
    driver.configure(Incarnation(7), Arc::new(better)).await.unwrap();
    let told = |units: &[RunningUnit]| units[0].configuration == Revision(12);
    until(&driver, "a good one is served", told).await;
    machine.tidy(&driver).await;

    for refused in [variable, with_backend(13, "h2c://127.0.0.1")] {
        spec.configuration = refused;
        let error = driver.start(spec.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), "the configuration of incarnation 7 cannot be written");
        assert_eq!(machine.files(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_path_may_have_means_nothing_to_nginx() {
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
async fn a_call_in_flight_is_finished_while_its_unit_reloads() {
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
    let caller = std::thread::spawn(move || get(address, "/orders/slow"));
    eventually("the call is in flight", || backend.waiting() == 1).await;
    driver.configure(Incarnation(7), Arc::new(configuration(10, &[]))).await.unwrap();
    let told = |units: &[RunningUnit]| units[0].configuration == Revision(10);
    until(&driver, "the configuration is served", told).await;
    assert_eq!(get(address, "/orders").unwrap().0, 404);
    assert!(!caller.is_finished());
    backend.release();
    assert_eq!(caller.join().unwrap().unwrap(), (200, "/backend/slow".to_owned()));
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_unit_that_died_while_no_agent_ran_is_killed() {
    if is_skipped() {
        return;
    }
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit answers", || call(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    // nginx's workers go on without their master.
    send(machine.processes()[0], Signal::KILL);
    eventually("only workers are left", || !machine.processes().is_empty()).await;
    assert!(call(machine.address()).is_ok());

    let driver = machine.driver(2).await;
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(machine.processes(), [0; 0]);
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_was_told_to_stop_is_draining_in_the_next_life_too() {
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
    let caller = std::thread::spawn(move || get(address, "/orders/slow"));
    eventually("the call is in flight", || backend.waiting() == 1).await;
    first.stop(Incarnation(7)).await.unwrap();
    let mark = machine.run().join("u7.d").join("stopping");
    eventually("it was told", || mark.exists()).await;

    let second = machine.driver(2).await;
    assert_eq!(second.list().await.unwrap()[0].phase, Phase::Draining);
    backend.release();
    assert_eq!(caller.join().unwrap().unwrap().0, 200);
    until(&second, "the unit is gone", <[_]>::is_empty).await;
    assert_eq!(machine.processes(), [0; 0]);
}
