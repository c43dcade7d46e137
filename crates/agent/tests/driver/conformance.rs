//! The conformance test suite of drivers. Each function is a test of any kind of driver.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meridian_agent::driver::{Driver as _, Phase, RunningUnit, StartError, stop_all};
use meridian_domain::api::STATUS_PATH;
use meridian_domain::{Incarnation, Revision};
use rustix::process::Signal;

use crate::backend::Backend;
use crate::support::{
    Kind, Machine, Variant, configuration, eventually, get, get_status, send, until, until_exited,
    until_ready,
};

mod hung;
mod neighbors;

pub use hung::*;
pub use neighbors::*;

/// Instantiates the suite for one kind of driver. If the machine lacks a prerequisite, the tests
/// print that and pass.
macro_rules! conformance {
    ($kind:ty) => {
        conformance!($kind:
            a_unit_starts_serves_and_stops_without_a_trace
            methods_may_be_repeated_in_any_order
            a_request_in_flight_finishes_when_its_unit_is_stopped
            clients_are_served_until_the_last_unit_on_a_port_stops
            a_unit_that_exceeds_the_drain_timeout_is_killed
            a_hung_unit_is_killed_in_time_while_a_response_is_pending
            a_hung_unit_without_a_control_socket_is_killed_when_it_is_stopped
            a_unit_serves_a_new_configuration
            a_crashed_unit_is_listed_with_its_cause_until_it_starts_again
            a_hung_unit_is_not_ready_and_keeps_running
            a_hung_unit_is_killed_on_request_and_starts_again
            a_unit_never_answers_on_the_port_of_another_service
            a_failed_start_of_another_service_does_not_close_the_port_of_a_crashed_unit
            the_last_output_of_a_failed_unit_is_part_of_its_cause
            a_failed_spawn_is_an_error_that_leaves_nothing
            a_port_in_use_is_reported_with_the_process_that_holds_it
            units_survive_their_agent_and_are_adopted_by_the_next_one
            a_crash_during_a_start_leaves_no_surplus_unit
            dropping_a_driver_stops_no_unit
            a_deep_data_directory_does_not_matter
            units_and_files_of_others_are_ignored
        );
    };
    ($kind:ty: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                match <$kind as crate::support::Kind>::missing_prerequisite() {
                    Some(what) => println!("skipped: {what}"),
                    None => crate::conformance::$name::<$kind>().await,
                }
            }
        )*
    };
}

fn pids(units: &[RunningUnit]) -> Vec<u32> {
    let mut pids: Vec<u32> = units.iter().filter_map(|unit| unit.pid).collect();
    pids.sort_unstable();
    pids
}

pub async fn a_unit_starts_serves_and_stops_without_a_trace<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    let spec = machine.spec(7);
    driver.start(spec.clone()).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].unit, spec.unit);
    assert_eq!(units[0].incarnation, Incarnation(7));
    assert_eq!(units[0].address, machine.address());
    assert_eq!(units[0].configuration, Revision(9));
    assert_eq!(pids(&units), machine.processes());
    assert_eq!(get_status(machine.address()).unwrap().0, 7);

    driver.stop(Incarnation(7)).await.unwrap();
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
    assert!(get_status(machine.address()).is_err(), "the port is still open without a unit");
    assert_eq!(machine.files(), 0);
    assert_eq!(machine.processes(), [0; 0]);
}

pub async fn methods_may_be_repeated_in_any_order<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    let nothing = Arc::new(configuration(10, &[]));
    driver.stop(Incarnation(7)).await.unwrap();
    driver.configure(Incarnation(7), Arc::clone(&nothing)).await.unwrap();
    assert_eq!(driver.list().await.unwrap(), []);
    let (one, two) = tokio::join!(driver.start(machine.spec(7)), driver.start(machine.spec(7)));
    one.and(two).unwrap();
    let units = until_ready(&driver, 1).await;
    driver.start(machine.spec(7)).await.unwrap();
    assert_eq!(until_ready(&driver, 1).await, units);
    assert_eq!(machine.processes(), pids(&units));

    driver.stop(Incarnation(7)).await.unwrap();
    driver.stop(Incarnation(7)).await.unwrap();
    driver.configure(Incarnation(7), nothing).await.unwrap();
    driver.stop(Incarnation(8)).await.unwrap();
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.tidy(&driver).await;
}

pub async fn a_request_in_flight_finishes_when_its_unit_is_stopped<K: Kind>() {
    let machine = Machine::<K>::new();
    let backend = Backend::start();
    let driver = machine.driver(1).await;
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(configuration(9, &[("/orders", backend.address)]));
    driver.start(spec).await.unwrap();
    until_ready(&driver, 1).await;
    let address = machine.address();
    let client = std::thread::spawn(move || get(address, "/orders/slow"));
    eventually("the request is in flight", || backend.waiting() == 1).await;

    driver.stop(Incarnation(7)).await.unwrap();
    let units = driver.list().await.unwrap();
    assert_eq!(units[0].phase, Phase::Draining);
    eventually("new clients are refused", || TcpStream::connect(address).is_err()).await;
    assert!(!client.is_finished());
    backend.release();
    let response = client.join().unwrap().unwrap();
    assert_eq!(response, (200, "/backend/slow".to_owned()));
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
    assert_eq!(machine.files(), 0);
}

pub async fn clients_are_served_until_the_last_unit_on_a_port_stops<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    for incarnation in 1..=3 {
        driver.start(machine.spec(incarnation)).await.unwrap();
    }
    until_ready(&driver, 3).await;
    let mut responded = std::collections::BTreeSet::new();
    eventually("all three units respond", || {
        responded.extend(get_status(machine.address()).ok().map(|(incarnation, _)| incarnation));
        responded.len() == 3
    })
    .await;
    for incarnation in [1, 3] {
        driver.stop(Incarnation(incarnation)).await.unwrap();
    }
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].incarnation, Incarnation(2));
    for _ in 0..20 {
        assert_eq!(get_status(machine.address()).unwrap().0, 2);
    }
    driver.stop(Incarnation(2)).await.unwrap();
    eventually("clients are refused", || TcpStream::connect(machine.address()).is_err()).await;
    machine.tidy(&driver).await;
}

pub async fn a_unit_serves_a_new_configuration<K: Kind>() {
    let machine = Machine::<K>::new();
    let backend = Backend::start();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let before = until_ready(&driver, 1).await;
    assert_eq!(get(machine.address(), "/orders/5").unwrap().0, 404);

    let apis = [("/orders", backend.address)];
    driver.configure(Incarnation(7), Arc::new(configuration(10, &apis))).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(10);
    let units = until(&driver, "the configuration is served", configured).await;
    assert_eq!((units[0].pid, &units[0].phase), (before[0].pid, &Phase::Ready));
    let response = get(machine.address(), "/orders/5?open=1").unwrap();
    assert_eq!(response, (200, "/backend/5?open=1".to_owned()));
    assert_eq!(get(machine.address(), "/orders").unwrap(), (200, "/backend".to_owned()));
    assert_eq!(get(machine.address(), "/ordersx").unwrap().0, 404);

    let mut disabled = configuration(11, &apis);
    disabled.enabled = false;
    driver.configure(Incarnation(7), Arc::new(disabled)).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(11);
    until(&driver, "the gateway is disabled", configured).await;
    // The clients of a unit may be told to leave first.
    for _ in 0..50 {
        if get(machine.address(), "/orders/5").unwrap().0 == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(get(machine.address(), "/orders/5").unwrap().0, 503);
    assert_eq!(get(machine.address(), STATUS_PATH).unwrap().0, 200);

    let second = machine.driver(2).await;
    let units = until_ready(&second, 1).await;
    assert_eq!(
        units[0].configuration,
        Revision(11),
        "the next process run does not know the revision"
    );
    machine.tidy(&second).await;
}

pub async fn a_crashed_unit_is_listed_with_its_cause_until_it_starts_again<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    send(units[0].pid.unwrap(), Signal::KILL);
    assert_eq!(until_exited(&driver).await.status, K::KILLED);

    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(machine.processes(), pids(&units));
    send(units[0].pid.unwrap(), Signal::KILL);
    until_exited(&driver).await;
    eventually("clients are refused, not left waiting", || {
        TcpStream::connect(machine.address()).is_err()
    })
    .await;
    driver.stop(Incarnation(7)).await.unwrap();
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(machine.files(), 0);
    assert_eq!(machine.processes(), [0; 0]);
}

pub async fn the_last_output_of_a_failed_unit_is_part_of_its_cause<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver_variant(1, Variant::Failing).await;
    driver.start(machine.spec(7)).await.unwrap();
    let exit = until_exited(&driver).await;
    assert_eq!(exit.to_string(), "exited with code 3; last output: no luck today");
    machine.tidy(&driver).await;
    assert_eq!(machine.files(), 0);
}

pub async fn a_failed_spawn_is_an_error_that_leaves_nothing<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver_variant(1, Variant::Missing).await;
    let error = driver.start(machine.spec(7)).await.unwrap_err();
    assert_eq!(error.to_string(), K::missing());
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(machine.files(), 0);
    assert!(TcpListener::bind(machine.address()).is_ok(), "the port is still open");
}

pub async fn a_port_in_use_is_reported_with_the_process_that_holds_it<K: Kind>() {
    let machine = Machine::<K>::new();
    let other = TcpListener::bind(machine.address()).unwrap();
    let driver = machine.driver(1).await;
    let error = driver.start(machine.spec(7)).await.unwrap_err();
    let StartError::PortHeld { holder: Some(holder), .. } = &error else { panic!("{error}") };
    assert_eq!(holder.pid, std::process::id());
    let expected = format!("{} is in use by process {} (", machine.address(), holder.pid);
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(driver.list().await.unwrap(), []);
    assert_eq!(machine.files(), 0);

    drop(other);
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.tidy(&driver).await;
}

pub async fn units_survive_their_agent_and_are_adopted_by_the_next_one<K: Kind>() {
    let machine = Machine::<K>::new();
    let mut agent = machine.agent(3);
    let mut responded = std::collections::BTreeSet::new();
    eventually("three units respond", || {
        responded.extend(get_status(machine.address()).ok().map(|(incarnation, _)| incarnation));
        responded.len() == 3
    })
    .await;
    let before = machine.processes();
    agent.kill().unwrap();
    agent.wait().unwrap();

    let driver = machine.driver(2).await;
    let units = until_ready(&driver, 3).await;
    assert_eq!(pids(&units), before);
    assert_eq!(
        get_status(machine.address()).map(|(found, _)| responded.contains(&found)).ok(),
        Some(true)
    );

    // If units share a socket, a fourth one can listen on their port only with the adopted socket.
    driver.start(machine.spec(4)).await.unwrap();
    let units = until_ready(&driver, 4).await;
    send(units[0].pid.unwrap(), Signal::KILL);
    until_exited(&driver).await;
    machine.tidy(&driver).await;
    assert_eq!(machine.files(), 0);
}

pub async fn a_crash_during_a_start_leaves_no_surplus_unit<K: Kind>() {
    let machine = Machine::<K>::new();
    for round in 0..12_u64 {
        let mut agent = machine.agent(2);
        let intent = machine.run().join("u1.json");
        eventually("the agent is about to start a unit", || intent.exists()).await;
        // Spread the crashes over the spawn, the start of the process, and its first responses.
        tokio::time::sleep(Duration::from_micros(round * round * 100)).await;
        agent.kill().unwrap();
        agent.wait().unwrap();

        let driver = machine.driver(2 + round).await;
        for incarnation in [1, 2] {
            driver.start(machine.spec(incarnation)).await.unwrap();
        }
        let known = pids(&until_ready(&driver, 2).await);
        eventually("no other process runs", || machine.processes() == known).await;
        machine.tidy(&driver).await;
    }
}

pub async fn dropping_a_driver_stops_no_unit<K: Kind>() {
    let machine = Machine::<K>::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    let before = until_ready(&first, 1).await;
    drop(first);
    let second = machine.driver(2).await;
    assert_eq!(second.list().await.unwrap(), before);
    machine.tidy(&second).await;
}

pub async fn a_deep_data_directory_does_not_matter<K: Kind>() {
    let deep: PathBuf = ["d".repeat(120), "e".repeat(120)].iter().collect();
    let machine = Machine::<K>::with_data_in(&deep);
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    drop(first);
    let second = machine.driver(2).await;
    until_ready(&second, 1).await;
    machine.tidy(&second).await;
}

pub async fn units_and_files_of_others_are_ignored<K: Kind>() {
    let machine = Machine::<K>::new();
    let ours = machine.driver(1).await;
    ours.start(machine.spec(1)).await.unwrap();
    until_ready(&ours, 1).await;
    let notes = machine.run().join("notes.txt");
    std::fs::write(&notes, "not a unit").unwrap();
    let mut bystander = std::process::Command::new("sleep")
        .arg("600")
        .stdin(std::fs::File::open(machine.run().join("u1.json")).unwrap())
        .spawn()
        .unwrap();

    let theirs = machine.driver_variant(9, Variant::Foreign).await;
    assert_eq!(theirs.list().await.unwrap(), []);
    stop_all(&theirs).await.unwrap();
    assert_eq!(get_status(machine.address()).unwrap().0, 1);
    machine.tidy(&ours).await;
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "not a unit");
    assert!(bystander.try_wait().unwrap().is_none(), "an unrelated process was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}
