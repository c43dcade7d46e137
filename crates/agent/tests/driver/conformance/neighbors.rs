//! Several services on one machine.

use std::net::{TcpListener, TcpStream};

use meridian_agent::driver::{Driver as _, StartError, UnitSpec};
use meridian_domain::{Incarnation, ServiceName};
use rustix::process::Signal;

use crate::support::{Kind, Machine, get_status, send, until, until_exited, until_ready};

pub async fn a_unit_never_answers_on_the_port_of_another_service<K: Kind>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let mut other = machine.spec(8);
    other.unit.service = ServiceName::new("fabrikam").unwrap();
    let error = driver.start(UnitSpec::clone(&other)).await.unwrap_err();
    assert!(
        matches!(&error, StartError::PortOfAnotherService { service, .. } if service.as_str() == "contoso"),
        "{error}"
    );
    assert_eq!(get_status(machine.address()).unwrap().0, 7);
    driver.stop(Incarnation(7)).await.unwrap();
    until(&driver, "the first unit has exited", <[_]>::is_empty).await;
    driver.start(other).await.unwrap();
    until_ready(&driver, 1).await;
    assert_eq!(get_status(machine.address()).unwrap().0, 8);
    machine.tidy(&driver).await;
}

pub async fn a_failed_start_of_another_service_does_not_close_the_port_of_a_crashed_unit<
    K: Kind,
>() {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut other = machine.spec(8);
    other.unit.service = ServiceName::new("fabrikam").unwrap();
    other.port = held.local_addr().unwrap().port();
    machine.processes().into_iter().for_each(|pid| send(pid, Signal::KILL));
    until_exited(&driver).await;
    let error = driver.start(other).await.unwrap_err();
    assert!(matches!(error, StartError::PortHeld { .. }), "{error}");
    assert!(TcpStream::connect(machine.address()).is_ok(), "clients wait for the restart");
    machine.tidy(&driver).await;
}
