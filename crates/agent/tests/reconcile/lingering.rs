//! Gateways that clients leave: they serve on until names have been resolved again.

use std::time::Duration;

use meridian_domain::{Command, DnsSettings, Edit};
use tokio::time::{Instant, sleep};

use crate::world::{World, region, service};

/// Time to live and the time to resolve a name.
const LINGER: Duration = Duration::from_secs(5 + 2);

fn with_zone(world: &World) {
    let zone = Some("gateways.example.net".parse().unwrap());
    let settings = DnsSettings { zone, ..DnsSettings::default() };
    world.log.commit(Command::SetDns { settings });
}

fn edit(world: &World, edit: Edit) {
    let edits = vec![edit];
    world.log.commit(Command::ChangeService { service: service("contoso"), expected: None, edits });
}

#[tokio::test(start_paused = true)]
async fn a_disabled_gateway_serves_until_its_clients_have_left() {
    let mut world = World::contoso(1);
    with_zone(&world);
    let _agent = world.converged_agent().await;
    let unit = world.wanted()[0];
    let enabled = || world.machine.serves(unit).is_some_and(|served| served.enabled);
    edit(&world, Edit::Disable { region: region() });
    let disabled = Instant::now();
    sleep(LINGER - Duration::from_millis(100)).await;
    assert!(enabled(), "a name may still lead there");
    world.until("the gateway of the unit is disabled", || !enabled()).await;
    assert!(disabled.elapsed() < LINGER + Duration::from_millis(200), "{:?}", disabled.elapsed());
    edit(&world, Edit::Enable { region: region() });
    world.until("it is enabled again", enabled).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_last_unit_of_a_service_serves_on_after_its_release() {
    let mut world = World::contoso(2);
    with_zone(&world);
    world.machine.set_drain(Duration::from_millis(100));
    let _agent = world.converged_agent().await;
    let released = Instant::now();
    world.scale(1);
    world.converge().await;
    assert!(released.elapsed() < Duration::from_secs(1), "the other unit has the same address");

    let last = world.wanted();
    let released = Instant::now();
    world.log.commit(Command::DeleteService { service: service("contoso"), expected: None });
    sleep(LINGER - Duration::from_millis(100)).await;
    assert_eq!(world.machine.ready(), last, "a name may still lead there");
    world.until("the last unit has stopped", || world.machine.units().is_empty()).await;
    assert!(released.elapsed() < LINGER + Duration::from_secs(1), "{:?}", released.elapsed());
}
