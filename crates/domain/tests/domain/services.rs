use meridian_domain::limits;
use meridian_domain::*;

use crate::world::*;

#[test]
fn a_service_is_born_with_one_unit_in_its_primary_region() {
    let mut world = World::contoso();
    let events = world.does(create("fabrikam", Tier::Developer, "eastus"));
    assert_eq!(types(&events), ["ServiceCreated", "RegionAdded", "UnitAssigned"]);
    let born = &world.state.services[&service("fabrikam")];
    assert_eq!((born.units(), &born.primary), (1, &region("eastus")));
    let runs_it = agent_name("eastus");
    let assigned = world.state.units_on(&runs_it).next().expect("has a unit");
    assert_eq!(assigned.incarnation.0, world.state.header.revision.0);
}

#[test]
fn ports_count_from_8080_and_fill_gaps() {
    let mut world = World::contoso();
    let at_8082 = Command::CreateService {
        service: service("given"),
        tier: Tier::Basic,
        primary: region("eastus"),
        port: Some(8082),
    };
    world.does(at_8082);
    for (name, port) in [("a", 8081), ("b", 8083)] {
        world.does(create(name, Tier::Basic, "japaneast"));
        assert_eq!(world.state.services[&service(name)].port, port);
    }
    world.does(Command::DeleteService { service: service("a"), expected: None });
    world.does(create("c", Tier::Basic, "japaneast"));
    assert_eq!(world.state.services[&service("c")].port, 8081);
}

#[test]
fn a_port_is_not_given_away_while_units_of_a_deleted_service_drain_on_it() {
    let mut world = World::contoso();
    world.does(Command::DeleteService { service: service("contoso"), expected: None });
    world.does(create("other", Tier::Basic, "westeurope"));
    assert_eq!(world.state.services[&service("other")].port, 8081);
    world.does(create("contoso", Tier::Basic, "westeurope"));
    assert_eq!(world.service().port, 8080);
}

#[test]
fn what_a_new_service_breaks_is_named_at_once() {
    let world = World::contoso();
    let command = |name: &str, place: &str, port| Command::CreateService {
        service: service(name),
        tier: Tier::Premium,
        primary: region(place),
        port,
    };
    assert_eq!(
        world.refuses(command("contoso", "westeurop", Some(80))),
        [
            "the service contoso exists already",
            "there is no region westeurop; did you mean westeurope, westus or westus2?",
            "port 80 cannot be a gateway's: use one from 1024 to 65535",
        ]
    );
    assert_eq!(
        world.refuses(command("fabrikam", "eastus", Some(8080))),
        ["port 8080 is the gateway port of contoso"]
    );
}

#[test]
fn zones_need_agents_unless_their_region_has_none_at_all() {
    let mut world = World::contoso();
    for (node, number) in [(7, 1), (8, 3)] {
        let zone = Some(zone(number));
        let name = format!("tokyo-{number}");
        let agent = AgentDescription { zone, ..agent(&name, node, "japaneast") };
        world.does(Command::RegisterAgent(agent));
    }
    let over = |zones_of: &[u8]| Edit::Add {
        region: region("japaneast"),
        units: 6,
        zones: zones(zones_of),
    };
    assert_eq!(
        world.refuses(change([over(&[1, 2, 3])])),
        ["japaneast has no agent in zone 2; its agents are in the zones 1 and 3"]
    );
    assert_eq!(
        world.refuses(change([over(&[1, 2, 3, 4])])),
        [
            "japaneast: 6 units cannot be spread evenly over 4 zones",
            "japaneast has no agent in zone 2 or 4; its agents are in the zones 1 and 3",
        ]
    );
    world.saves([over(&[1, 3])]);
    assert_eq!(world.placed("japaneast").len(), 6);

    world.does(Command::RemoveAgent { agent: agent_name("tokyo-3") });
    world.saves([scale("japaneast", 4)]);
    assert_eq!(world.placed("japaneast").len(), 2, "zones that stay as they are stay allowed");

    let ahead = Edit::Add { region: region("koreacentral"), units: 2, zones: zones(&[1, 2]) };
    world.saves([ahead]);
}

#[test]
fn bad_edits_are_refused_with_a_sentence_and_change_nothing() {
    let mut world = World::contoso();
    world.saves([add("eastus", 2)]);
    let before = world.state.clone();
    let disable = |name| Edit::Disable { region: region(name) };
    let table: Vec<(Edit, &str)> = vec![
        (add("eastus", 1), "contoso is in eastus already"),
        (
            scale("eastus", 0),
            "eastus: a location has at least 1 unit; to have none, remove the region",
        ),
        (set("eastus", 13), "eastus: 13 units are more than the 12 of the premium tier"),
        (
            remove("westeurope"),
            "westeurope is the primary region of contoso; promote another one before removing it",
        ),
        (remove("japaneast"), "contoso is not in japaneast"),
        (promote("japaneast"), "contoso is not in japaneast"),
        (disable("japaneast"), "contoso is not in japaneast"),
        (promote("eastu"), "there is no region eastu; did you mean eastus, eastus2 or eastasia?"),
        (
            spread("eastus", &[1, 2]),
            "eastus has no agent in zone 1 or 2; its agents are in no zone",
        ),
        (
            Edit::Tier(Tier::Standard),
            "contoso would have 2 regions; the standard tier has 1, only premium has several",
        ),
        (Edit::Port(1), "port 1 cannot be a gateway's: use one from 1024 to 65535"),
    ];
    for (edit, sentence) in table {
        assert_eq!(world.refuses(change([edit])), [sentence]);
    }
    assert_eq!(world.refuses(change([])), ["the change set has no edits"]);
    let too_many = vec![Edit::Port(8080); limits::EDITS_PER_CHANGE_SET + 1];
    assert_eq!(
        world.refuses(change(too_many)),
        ["a change set has at most 128 edits; this one has 129"]
    );
    assert_eq!(world.state, before);
}

#[test]
fn a_change_set_is_refused_whole_with_every_fault_in_it() {
    let world = World::contoso();
    let edits = [
        add("westeurope", 2),
        add("eastu", 13),
        scale("japaneast", 2),
        set("eastus", 2),
        set("eastus", 3),
        Edit::Tier(Tier::Basic),
        Edit::Tier(Tier::Basic),
    ];
    assert_eq!(
        world.refuses(change(edits)),
        [
            "eastus is edited more than once in one change set",
            "the change set gives more than one tier",
            "contoso is in westeurope already",
            "there is no region eastu; did you mean eastus, eastus2 or eastasia?",
            "contoso is not in japaneast",
            "eastu: 13 units are more than the 2 of the basic tier",
            "contoso would have 3 regions; the basic tier has 1, only premium has several",
        ]
    );
}

#[test]
fn one_save_can_move_a_service_to_a_new_primary_region_in_any_order_of_edits() {
    let edits = [remove("westeurope"), promote("eastus"), add("eastus", 2)];
    let mut world = World::contoso();
    let events = world.saves(edits.clone());
    assert_eq!(
        types(&events),
        [
            "RegionAdded",
            "PrimaryPromoted",
            "RegionRemoved",
            "UnitReleased",
            "UnitAssigned",
            "UnitAssigned"
        ]
    );
    let mut reversed = World::contoso();
    assert_eq!(reversed.saves(edits.into_iter().rev().collect::<Vec<_>>()), events);
}

#[test]
fn leaving_premium_and_the_other_regions_is_one_save() {
    let mut world = World::contoso();
    world.saves([add("eastus", 6)]);
    world.saves([Edit::Tier(Tier::Developer), remove("eastus")]);
    assert_eq!(world.service().tier, Tier::Developer);
    world.saves([add("eastus", 12), Edit::Tier(Tier::Premium)]);
    assert_eq!(world.service().units(), 13);
}

#[test]
fn a_smaller_tier_is_refused_for_every_location_that_is_too_large() {
    let mut world = World::contoso();
    world.saves([scale("westeurope", 5)]);
    assert_eq!(
        world.refuses(change([Edit::Tier(Tier::Standard)])),
        ["westeurope: 5 units are more than the 4 of the standard tier"]
    );
    world.saves([Edit::Tier(Tier::Standard), scale("westeurope", 4)]);
}

#[test]
fn what_is_so_already_has_no_events() {
    let mut world = World::contoso();
    let same = [
        set("westeurope", 1),
        promote("westeurope"),
        Edit::Enable { region: region("westeurope") },
        Edit::Tier(Tier::Premium),
        Edit::Port(8080),
    ];
    assert_eq!(world.saves(same), []);
    assert_eq!(world.saves([scale("westeurope", 1)]), []);
}

#[test]
fn a_region_without_an_agent_is_allowed_and_gets_its_units_when_one_comes() {
    let mut world = World::contoso();
    assert_eq!(types(&world.saves([add("japaneast", 2)])), ["RegionAdded"]);
    let events = world.does(Command::RegisterAgent(agent("tokyo", 9, "japaneast")));
    assert_eq!(types(&events), ["AgentRegistered", "UnitAssigned", "UnitAssigned"]);
}

#[test]
fn an_added_region_may_start_out_disabled() {
    let mut world = World::contoso();
    let events = world.saves([add("japaneast", 1), Edit::Disable { region: region("japaneast") }]);
    assert_eq!(types(&events), ["RegionAdded", "GatewayDisabled"]);
    assert!(!world.service().locations[&region("japaneast")].gateway_enabled);
}

#[test]
fn an_expected_revision_is_compared_with_the_services_own() {
    let mut world = World::contoso();
    let saved_at = world.service().revision;
    let expecting = |expected, edits| Command::ChangeService {
        service: service("contoso"),
        expected: Some(expected),
        edits,
    };
    world.does(Command::RegisterAgent(agent("second", 9, "westeurope")));
    world.does(Command::Report(world.report(
        "westeurope",
        1,
        report::UnitStatus::Ready { pid: None, configuration: Revision(1) },
    )));
    world.does(expecting(saved_at, vec![scale("westeurope", 2)]));
    assert_eq!(
        world.refuses(expecting(saved_at, vec![add("westeurope", 0)])),
        [format!(
            "contoso was changed since revision {saved_at}: it is at revision {}",
            world.service().revision
        )]
    );
}

#[test]
fn another_port_assigns_every_unit_anew_on_its_agent() {
    let mut world = World::contoso();
    world.saves([add("eastus", 2)]);
    let placed = (world.placed("westeurope"), world.placed("eastus"));
    let events = world.saves([Edit::Port(9000)]);
    assert_eq!(
        types(&events),
        [
            "PortChanged",
            "UnitReleased",
            "UnitAssigned",
            "UnitReleased",
            "UnitAssigned",
            "UnitReleased",
            "UnitAssigned",
        ]
    );
    assert_eq!((world.placed("westeurope"), world.placed("eastus")), placed);
    let wanted = world.state.units.values().filter(|unit| unit.is_wanted());
    assert!(wanted.into_iter().all(|unit| unit.port == 9000));
}

#[test]
fn a_removed_location_drains_and_its_slots_are_used_again() {
    let mut world = World::contoso();
    world.saves([add("eastus", 2)]);
    assert_eq!(
        types(&world.saves([remove("eastus")])),
        ["RegionRemoved", "UnitReleased", "UnitReleased"]
    );
    world.saves([add("eastus", 1)]);
    assert_eq!(world.placed("eastus"), [(1, "eastus".to_owned())]);
    assert_eq!(world.state.units_on(&agent_name("eastus")).count(), 3);
}

#[test]
fn an_unknown_service_is_refused_with_the_nearest_names() {
    let world = World::contoso();
    let delete = |name| Command::DeleteService { service: service(name), expected: None };
    assert_eq!(
        world.refuses(delete("contosso")),
        ["there is no service contosso; did you mean contoso?"]
    );
    assert_eq!(world.refuses(delete("q")), ["there is no service q"]);
}

#[test]
fn a_service_stays_one_small_value() {
    let mut world = World::contoso();
    for number in 0..limits::LOCATIONS {
        world.does(Command::DefineRegion {
            region: Region {
                name: region(&format!("custom{number}")),
                display_name: format!("Custom {number}"),
                latitude_microdegrees: 0,
                longitude_microdegrees: 0,
            },
        });
    }
    let places: Vec<_> = (0..limits::LOCATIONS).map(|number| format!("custom{number}")).collect();
    for some in places.chunks(limits::EDITS_PER_CHANGE_SET).take(1) {
        world.saves(some.iter().map(|place| add(place, 1)).collect::<Vec<_>>());
    }
    let rest: Vec<_> = places[limits::EDITS_PER_CHANGE_SET..].iter().map(|p| add(p, 1)).collect();
    assert_eq!(
        world.refuses(change(rest)),
        ["contoso would have 257 regions; a service has at most 256"]
    );
}
