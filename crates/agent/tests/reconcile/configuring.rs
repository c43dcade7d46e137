//! Configuration of units.

use meridian_domain::{Api, Command, Edit, Revision, api::Timeouts};
use tokio::time::Duration;

use crate::log::Quorum;
use crate::world::{World, region, service};

fn orders(backend: &str) -> Edit {
    Edit::PublishApi(Api {
        name: "orders".parse().unwrap(),
        path: "/orders".parse().unwrap(),
        backend: backend.parse().unwrap(),
        regional: [].into(),
        timeouts: Timeouts::default(),
    })
}

fn save(world: &World, edit: Edit) {
    let edits = vec![edit];
    world.log.commit(Command::ChangeService { service: service("contoso"), expected: None, edits });
}

/// The backends of the one API, as configured in each unit.
fn backends(world: &World) -> Vec<String> {
    let served = world.machine.ready().into_iter().filter_map(|unit| world.machine.serves(unit));
    served.map(|configuration| configuration.apis[0].backend.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_unit_serves_a_saved_configuration_and_the_log_records_it() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let before = world.log.events().len();
    save(&world, orders("http://first"));
    let saved = world.log.revision();
    let serves = |revision| {
        let units = world.units();
        units.iter().all(|unit| unit.configuration() == Some(revision))
    };
    world.until("all units serve it", || serves(saved)).await;
    assert_eq!(backends(&world), ["http://first"; 2]);
    assert_eq!(world.events_since(before), ["ApiPublished", "UnitConfigured", "UnitConfigured"]);
    assert_eq!(world.machine.starts().len(), 2, "no unit was restarted");
    assert_eq!(
        world.run_for(Duration::from_secs(60)).await,
        (0, 0),
        "nothing is written afterwards"
    );
}

#[tokio::test(start_paused = true)]
async fn disabling_the_gateway_configures_its_units() {
    let mut world = World::contoso(1);
    let _agent = world.converged_agent().await;
    let unit = world.wanted()[0];
    let enabled = || world.machine.serves(unit).is_some_and(|served| served.enabled);
    assert!(enabled());
    save(&world, Edit::Disable { region: region() });
    world.until("the gateway of the unit is disabled", || !enabled()).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_a_restarted_unit_gets_its_last_configuration() {
    let mut world = World::contoso(1);
    save(&world, orders("http://first"));
    let agent = world.converged_agent().await;
    let served = world.machine.serves(world.wanted()[0]).unwrap();
    assert!(served.revision > Revision(0));
    agent.kill().await;

    let unit = world.wanted()[0];
    world.machine.crash(unit);
    world.restart_with(meridian_domain::State::default());
    let _agent = world.agent();
    world.until("the unit has restarted", || world.machine.ready() == [unit]).await;
    assert_eq!(world.machine.serves(unit), Some(served));
    assert_eq!(world.log.quorum(), Quorum::Unreachable);
}
