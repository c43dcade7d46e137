use meridian_agent::driver::Driver as _;

use super::Machine;
use crate::support::{get_status, until_ready};

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
