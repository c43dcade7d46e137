use meridian_domain::limits;
use meridian_domain::*;

use crate::world::*;

#[test]
fn a_service_is_created_with_one_unit_in_its_primary_region() {
    let mut world = World::contoso();
    let events = world.apply(create("fabrikam", Tier::Developer, "eastus"));
    assert_eq!(types(&events), ["ServiceCreated", "RegionAdded", "UnitAssigned"]);
    let created = &world.state.services[&service("fabrikam")];
    assert_eq!((created.units(), &created.primary), (1, &region("eastus")));
    let agent = agent_name("eastus");
    let assigned = world.state.units_on(&agent).next().expect("a unit is assigned");
    assert_eq!(assigned.incarnation.0, world.state.header.revision.0);
}

#[test]
fn disabled_gateways_of_a_service_refuse_requests_unless_it_redirects_them() {
    let mut world = World::contoso();
    assert_eq!(world.service().when_disabled, WhenDisabled::Refuse);
    let redirects = Command::CreateService {
        service: service("fabrikam"),
        tier: Tier::Premium,
        primary: region("eastus"),
        port: None,
        when_disabled: WhenDisabled::Redirect,
    };
    let events = world.apply(redirects);
    let created = ["ServiceCreated", "RegionAdded", "WhenDisabledChanged", "UnitAssigned"];
    assert_eq!(types(&events), created);
    assert_eq!(world.state.services[&service("fabrikam")].when_disabled, WhenDisabled::Redirect);
    let set = Edit::WhenDisabled;
    assert_eq!(types(&world.edit([set(WhenDisabled::Redirect)])), ["WhenDisabledChanged"]);
    assert_eq!(types(&world.edit([set(WhenDisabled::Redirect)])), Vec::<&str>::new());
    // Units serve another configuration.
    assert_eq!(world.service().configuration, world.service().revision);
    assert_eq!(
        world.rejections(change([set(WhenDisabled::Redirect), set(WhenDisabled::Refuse)])),
        ["the change set sets the response of disabled gateways more than once"]
    );
}

#[test]
fn ports_are_allocated_from_8080_and_fill_gaps() {
    let mut world = World::contoso();
    let at_8082 = Command::CreateService {
        service: service("given"),
        tier: Tier::Basic,
        primary: region("eastus"),
        port: Some(8082),
        when_disabled: WhenDisabled::Refuse,
    };
    world.apply(at_8082);
    for (name, port) in [("a", 8081), ("b", 8083)] {
        world.apply(create(name, Tier::Basic, "japaneast"));
        assert_eq!(world.state.services[&service(name)].port, port);
    }
    world.apply(Command::DeleteService { service: service("a"), expected: None });
    world.apply(create("c", Tier::Basic, "japaneast"));
    assert_eq!(world.state.services[&service("c")].port, 8081);
}

#[test]
fn a_port_is_not_reused_while_units_of_a_deleted_service_drain_on_it() {
    let mut world = World::contoso();
    world.apply(Command::DeleteService { service: service("contoso"), expected: None });
    world.apply(create("other", Tier::Basic, "westeurope"));
    assert_eq!(world.state.services[&service("other")].port, 8081);
    world.apply(create("contoso", Tier::Basic, "westeurope"));
    assert_eq!(world.service().port, 8080);
}

#[test]
fn a_port_is_refused_while_units_of_another_service_use_it_or_an_agent_listens_on_it() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    world.edit([Edit::Port(9100)]);
    let create = |port| Command::CreateService {
        service: service("fabrikam"),
        tier: Tier::Basic,
        primary: region("eastus"),
        port: Some(port),
        when_disabled: WhenDisabled::Refuse,
    };
    let still_used = "port 8080 is still used by units of contoso on agent westeurope; choose \
                      another port, or wait until they have stopped";
    assert_eq!(world.rejections(create(8080)), [still_used], "the unit still serves on it");
    world.report_all_ready("westeurope");
    assert_eq!(world.rejections(create(8080)), [still_used], "the unit drains on it");
    world.report_all_ready("westeurope");
    let agent = world.state.agents.values().next().expect("there is one").description.clone();
    for address in [&agent.client_address, &agent.peer_address] {
        let port = address.port();
        let expected = format!("port {port} is used by agent {} itself", agent.name);
        assert_eq!(world.rejections(create(port)), [expected]);
    }
    world.apply(create(8080));
    let edit = change([Edit::Port(8080)]);
    assert_eq!(world.rejections(edit), ["port 8080 is already the gateway port of fabrikam"]);
}

#[test]
fn every_violation_of_a_new_service_is_listed() {
    let world = World::contoso();
    let command = |name: &str, place: &str, port| Command::CreateService {
        service: service(name),
        tier: Tier::Premium,
        primary: region(place),
        port,
        when_disabled: WhenDisabled::Refuse,
    };
    assert_eq!(
        world.rejections(command("contoso", "westeurop", Some(80))),
        [
            "service contoso already exists",
            "region westeurop not found; did you mean westeurope, westus or westus2?",
            "port 80 is reserved; use a gateway port from 1024 to 65535",
        ]
    );
    assert_eq!(
        world.rejections(command("fabrikam", "eastus", Some(8080))),
        ["port 8080 is already the gateway port of contoso"]
    );
}

#[test]
fn every_zone_needs_an_agent_unless_its_region_has_none() {
    let mut world = World::contoso();
    for (node, number) in [(7, 1), (8, 3)] {
        let zone = Some(zone(number));
        let name = format!("tokyo-{number}");
        let agent = AgentDescription { zone, ..agent(&name, node, "japaneast") };
        world.apply(Command::RegisterAgent(agent));
    }
    let over = |zones_of: &[u8]| Edit::Add {
        region: region("japaneast"),
        units: 6,
        zones: zones(zones_of),
    };
    assert_eq!(
        world.rejections(change([over(&[1, 2, 3])])),
        ["region japaneast has no agent in zone 2; its agents are in zones 1 and 3"]
    );
    assert_eq!(
        world.rejections(change([over(&[1, 2, 3, 4])])),
        [
            "region japaneast: 6 units cannot be spread evenly over 4 zones; use a multiple of 4",
            "region japaneast has no agent in zones 2 or 4; its agents are in zones 1 and 3",
        ]
    );
    world.edit([over(&[1, 3])]);
    assert_eq!(world.placed("japaneast").len(), 6);

    world.apply(Command::RemoveAgent { agent: agent_name("tokyo-3") });
    world.edit([scale("japaneast", 4)]);
    assert_eq!(world.placed("japaneast").len(), 2, "unchanged zones are not validated again");

    let ahead = Edit::Add { region: region("koreacentral"), units: 2, zones: zones(&[1, 2]) };
    world.edit([ahead]);
}

#[test]
fn invalid_edits_are_rejected_and_change_nothing() {
    let mut world = World::contoso();
    world.edit([add("eastus", 2)]);
    let before = world.state.clone();
    let disable = |name| Edit::Disable { region: region(name) };
    let table: Vec<(Edit, &str)> = vec![
        (add("eastus", 1), "service contoso already has region eastus"),
        (scale("eastus", 0), "region eastus needs at least 1 unit; to run none, remove the region"),
        (set("eastus", 13), "region eastus: 13 units exceed the premium tier's limit of 12"),
        (
            remove("westeurope"),
            "westeurope is the primary region of contoso; promote another region before removing it",
        ),
        (remove("japaneast"), "service contoso has no region japaneast"),
        (promote("japaneast"), "service contoso has no region japaneast"),
        (disable("japaneast"), "service contoso has no region japaneast"),
        (promote("eastu"), "region eastu not found; did you mean eastus, eastus2 or eastasia?"),
        (
            spread("eastus", &[1, 2]),
            "region eastus has no agent in zones 1 or 2; its agents have no zone",
        ),
        (
            Edit::Tier(Tier::Standard),
            "contoso would have 2 regions; the standard tier allows 1, only premium allows more",
        ),
        (Edit::Port(1), "port 1 is reserved; use a gateway port from 1024 to 65535"),
    ];
    for (edit, message) in table {
        assert_eq!(world.rejections(change([edit])), [message]);
    }
    assert_eq!(world.rejections(change([])), ["the change set has no edits"]);
    let too_many = vec![Edit::Port(8080); limits::EDITS_PER_CHANGE_SET + 1];
    assert_eq!(
        world.rejections(change(too_many)),
        ["a change set can have at most 128 edits, got 129"]
    );
    assert_eq!(world.state, before);
}

#[test]
fn a_change_set_is_rejected_whole_with_every_violation() {
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
        world.rejections(change(edits)),
        [
            "region eastus is edited more than once in one change set",
            "the change set sets the tier more than once",
            "service contoso already has region westeurope",
            "region eastu not found; did you mean eastus, eastus2 or eastasia?",
            "service contoso has no region japaneast",
            "region eastu: 13 units exceed the basic tier's limit of 2",
            "contoso would have 3 regions; the basic tier allows 1, only premium allows more",
        ]
    );
}

#[test]
fn one_change_set_can_move_a_service_to_another_region_in_any_order_of_edits() {
    let edits = [remove("westeurope"), promote("eastus"), add("eastus", 2)];
    let mut world = World::contoso();
    let events = world.edit(edits.clone());
    assert_eq!(
        types(&events),
        ["RegionAdded", "PrimaryPromoted", "RegionRemoved", "UnitAssigned", "UnitAssigned"]
    );
    let mut reversed = World::contoso();
    assert_eq!(reversed.edit(edits.into_iter().rev().collect::<Vec<_>>()), events);
}

#[test]
fn one_change_set_can_leave_the_premium_tier_and_the_other_regions() {
    let mut world = World::contoso();
    world.edit([add("eastus", 6)]);
    world.edit([Edit::Tier(Tier::Developer), remove("eastus")]);
    assert_eq!(world.service().tier, Tier::Developer);
    world.edit([add("eastus", 12), Edit::Tier(Tier::Premium)]);
    assert_eq!(world.service().units(), 13);
}

#[test]
fn a_smaller_tier_is_rejected_if_a_location_exceeds_its_limit() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 5)]);
    assert_eq!(
        world.rejections(change([Edit::Tier(Tier::Standard)])),
        ["region westeurope: 5 units exceed the standard tier's limit of 4"]
    );
    world.edit([Edit::Tier(Tier::Standard), scale("westeurope", 4)]);
}

#[test]
fn edits_that_change_nothing_have_no_events() {
    let mut world = World::contoso();
    let same = [
        set("westeurope", 1),
        promote("westeurope"),
        Edit::Enable { region: region("westeurope") },
        Edit::Tier(Tier::Premium),
        Edit::Port(8080),
    ];
    assert_eq!(world.edit(same), []);
    assert_eq!(world.edit([scale("westeurope", 1)]), []);
}

#[test]
fn a_region_without_an_agent_is_allowed_and_units_are_assigned_when_one_joins() {
    let mut world = World::contoso();
    assert_eq!(types(&world.edit([add("japaneast", 2)])), ["RegionAdded"]);
    let events = world.apply(Command::RegisterAgent(agent("tokyo", 9, "japaneast")));
    assert_eq!(types(&events), ["AgentRegistered", "UnitAssigned", "UnitAssigned"]);
}

#[test]
fn a_region_can_be_added_with_disabled_gateways() {
    let mut world = World::contoso();
    let events = world.edit([add("japaneast", 1), Edit::Disable { region: region("japaneast") }]);
    assert_eq!(types(&events), ["RegionAdded", "GatewayDisabled"]);
    assert!(!world.service().locations[&region("japaneast")].gateway_enabled);
}

#[test]
fn an_expected_revision_is_compared_with_that_of_the_service() {
    let mut world = World::contoso();
    let saved_at = world.service().revision;
    let expecting = |expected, edits| Command::ChangeService {
        service: service("contoso"),
        expected: Some(expected),
        edits,
    };
    world.apply(Command::RegisterAgent(agent("second", 9, "westeurope")));
    world.apply(Command::Report(world.report(
        "westeurope",
        1,
        report::UnitStatus::Ready { pid: None, configuration: Revision(1), refused: None },
    )));
    world.apply(expecting(saved_at, vec![scale("westeurope", 2)]));
    assert_eq!(
        world.rejections(expecting(saved_at, vec![add("westeurope", 0)])),
        [format!(
            "service contoso was changed after revision {saved_at}; it is at revision {}",
            world.service().revision
        )]
    );
}

#[test]
fn a_port_change_replaces_every_unit_on_its_agent() {
    let mut world = World::contoso();
    world.edit([add("eastus", 2)]);
    let placed = (world.placed("westeurope"), world.placed("eastus"));
    let events = world.edit([Edit::Port(9000)]);
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
fn a_removed_location_drains_and_its_slots_are_reused() {
    let mut world = World::contoso();
    world.edit([add("eastus", 2)]);
    assert_eq!(types(&world.edit([remove("eastus")])), ["RegionRemoved"]);
    assert!(world.state.units_on(&agent_name("eastus")).all(|unit| !unit.is_wanted()));
    world.edit([add("eastus", 1)]);
    assert_eq!(world.placed("eastus"), [(1, "eastus".to_owned())]);
    assert_eq!(world.state.units_on(&agent_name("eastus")).count(), 3);
}

#[test]
fn an_unknown_service_is_rejected_with_suggestions() {
    let world = World::contoso();
    let delete = |name| Command::DeleteService { service: service(name), expected: None };
    assert_eq!(
        world.rejections(delete("contosso")),
        ["service contosso not found; did you mean contoso?"]
    );
    assert_eq!(world.rejections(delete("q")), ["service q not found"]);
}

#[test]
fn the_number_of_locations_of_a_service_is_limited() {
    let mut world = World::contoso();
    for number in 0..limits::LOCATIONS {
        world.apply(Command::DefineRegion {
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
        world.edit(some.iter().map(|place| add(place, 1)).collect::<Vec<_>>());
    }
    let rest: Vec<_> = places[limits::EDITS_PER_CHANGE_SET..].iter().map(|p| add(p, 1)).collect();
    assert_eq!(
        world.rejections(change(rest)),
        ["contoso would have 257 regions; the maximum is 256"]
    );
}
