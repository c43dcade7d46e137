//! What units are told to serve.

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
    world.log.does(Command::ChangeService { service: service("contoso"), expected: None, edits });
}

/// The backends that the units have for their one API.
fn backends(world: &World) -> Vec<String> {
    let served = world.machine.ready().into_iter().filter_map(|unit| world.machine.serves(unit));
    served.map(|configuration| configuration.apis[0].backend.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_unit_serves_what_was_saved_and_the_log_says_so() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
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
    assert_eq!(world.machine.starts().len(), 2, "none was started again");
    assert_eq!(world.passes(Duration::from_secs(60)).await, (0, 0), "and then it is silent");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_gateway_is_a_configuration_too() {
    let mut world = World::contoso(1);
    let _life = world.converged_agent().await;
    let unit = world.wanted()[0];
    let enabled = || world.machine.serves(unit).is_some_and(|served| served.enabled);
    assert!(enabled());
    save(&world, Edit::Disable { region: region() });
    world.until("the unit serves nobody", || !enabled()).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_units_serve_what_they_served_also_new_ones() {
    let mut world = World::contoso(1);
    save(&world, orders("http://first"));
    let life = world.converged_agent().await;
    let served = world.machine.serves(world.wanted()[0]).unwrap();
    assert!(served.revision > Revision(0));
    life.killed().await;

    let unit = world.wanted()[0];
    world.machine.dies(unit);
    world.restarts_with(meridian_domain::State::default());
    let _life = world.agent();
    world.until("the unit was started again", || world.machine.ready() == [unit]).await;
    assert_eq!(world.machine.serves(unit), Some(served));
    assert_eq!(world.log.quorum(), Quorum::Away);
}
