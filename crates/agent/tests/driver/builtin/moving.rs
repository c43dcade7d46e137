//! A changed address of the gateways.

use std::net::{IpAddr, Ipv4Addr};

use meridian_agent::driver::{Builtin, BuiltinConfig, Driver as _, Phase};
use meridian_domain::Incarnation;

use super::{Machine, config};
use crate::support::{GATEWAY, Variant, get_status, until, until_ready};

/// Every address of the machine, [`GATEWAY`] included.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn at(machine: &Machine, generation: u64, gateway: IpAddr) -> BuiltinConfig {
    BuiltinConfig { gateway, ..config(&machine.run(), generation, Variant::Usual) }
}

/// Starts unit 7 in an earlier process run of the agent, and opens the next one.
async fn adopted(machine: &Machine, old: IpAddr, new: IpAddr) -> Builtin {
    let (first, spec) = (at(machine, 1, old), machine.spec(7));
    let earlier_run = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let driver = Builtin::open(first).await.unwrap();
            driver.start(spec).await.unwrap();
            until_ready(&driver, 1).await;
        });
    };
    tokio::task::spawn_blocking(earlier_run).await.unwrap();
    let driver = Builtin::open(at(machine, 2, new)).await.unwrap();
    assert_eq!(until_ready(&driver, 1).await[0].address.ip(), old);
    driver
}

/// The new unit listens before the old one stops, although each address includes the other one.
#[tokio::test(flavor = "multi_thread")]
async fn units_move_to_an_address_that_overlaps_their_old_one_while_they_serve() {
    for (old, new) in [(GATEWAY, ANY), (ANY, GATEWAY)] {
        let machine = Machine::new();
        let driver = adopted(&machine, old, new).await;
        driver.start(machine.spec(8)).await.unwrap();
        assert_eq!(until_ready(&driver, 2).await[1].address.ip(), new);
        assert!(get_status(machine.address()).is_ok());
        driver.stop(Incarnation(7)).await.unwrap();
        until(&driver, "the old unit has exited", |units| units.len() == 1).await;
        assert_eq!(driver.list().await.unwrap()[0].phase, Phase::Ready);
        assert_eq!(get_status(machine.address()).unwrap().0, 8);
        machine.tidy(&driver).await;
    }
}

/// While units move, their sockets share the port. Another process must not join them afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_move_the_port_is_held_as_before() {
    let machine = Machine::new();
    let driver = adopted(&machine, GATEWAY, ANY).await;
    driver.start(machine.spec(8)).await.unwrap();
    until_ready(&driver, 2).await;
    assert!(std::net::TcpListener::bind(machine.address()).is_err());
    machine.tidy(&driver).await;
}
