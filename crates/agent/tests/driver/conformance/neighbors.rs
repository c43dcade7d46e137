//! Several services on one machine.

use meridian_agent::driver::{Driver as _, StartError, UnitSpec};
use meridian_domain::{Incarnation, ServiceName};

use crate::support::{Kind, Machine, get_status, until, until_ready};

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
