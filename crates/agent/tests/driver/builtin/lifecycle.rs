use meridian_agent::driver::Driver as _;

use super::Machine;
use crate::support::{call, until_ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_says_which_build_and_process_it_is() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].build.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(call(machine.address()).unwrap().1, u64::from(units[0].pid.unwrap()));
    machine.tidy(&driver).await;
}
