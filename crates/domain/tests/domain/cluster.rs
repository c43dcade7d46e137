use meridian_domain::limits::{Limits, SEGMENT_EVENTS};
use meridian_domain::*;

use crate::world::*;

#[test]
fn before_it_is_founded_a_cluster_refuses_everything_else() {
    let world = World::default();
    for command in [
        create("contoso", Tier::Premium, "westeurope"),
        Command::RegisterAgent(agent("a", 1, "westeurope")),
        Command::TrimHistory { through: Revision(0) },
    ] {
        assert_eq!(world.refuses(command), ["the cluster is not founded yet"]);
    }
}

#[test]
fn a_cluster_begins_with_all_its_founders() {
    let founders = vec![agent("a", 1, "westeurope"), agent("b", 2, "eastus")];
    let mut world = World::default();
    let events = world.does(Command::FoundCluster { cluster: cluster(1), founders });
    let types: Vec<_> = events.iter().map(Event::type_name).collect();
    assert_eq!(types, ["ClusterFounded", "AgentRegistered", "AgentRegistered"]);
    assert_eq!(world.state.agents.len(), 2);
}

#[test]
fn a_cluster_is_founded_once() {
    let mut world = World::founded();
    assert_eq!(world.does(Command::FoundCluster { cluster: cluster(1), founders: vec![] }), []);
    assert_eq!(
        world.refuses(Command::FoundCluster { cluster: cluster(2), founders: vec![] }),
        [format!("the cluster {} is founded already", cluster(1))]
    );
}

#[test]
fn the_data_version_rises_only_to_what_every_agent_supports() {
    let world = World::contoso();
    let raise = |version| Command::RaiseDataVersion { version: DataVersion(version) };
    assert_eq!(world.refuses(raise(1)), ["the data version is 1 already"]);
    assert_eq!(
        world.refuses(raise(2)),
        [
            "the leader's software supports data version 1, not 2",
            "agent eastus supports data version 1, not 2",
            "agent southeastasia supports data version 1, not 2",
            "agent westeurope supports data version 1, not 2",
        ]
    );
}

#[test]
fn limits_have_ranges_and_are_never_below_what_is_in_use() {
    let mut world = World::contoso();
    world.saves([scale("westeurope", 5)]);
    let limits = Limits { developer_units: 0, premium_units: 4, voters: 6, ..Limits::default() };
    assert_eq!(
        world.refuses(Command::SetLimits { limits }),
        [
            "the limit developer_units must be from 1 to 1000, not 0",
            "the limit voters must be from 1 to 5, not 6",
            "the number of voters must be odd, not 6",
            "contoso has 5 units in westeurope: a limit of 4 for the premium tier is too low",
        ]
    );
    assert_eq!(world.does(Command::SetLimits { limits: Limits::default() }), []);
    world.does(Command::SetLimits { limits: Limits { premium_units: 31, ..Limits::default() } });
    world.saves([scale("westeurope", 31)]);
}

#[test]
fn an_operator_can_define_a_region_and_use_it() {
    let mut world = World::contoso();
    let lab = Region {
        name: region("lab"),
        display_name: "Our Lab".to_owned(),
        latitude_microdegrees: 52_000_000,
        longitude_microdegrees: -180_000_000,
    };
    let define = |region| Command::DefineRegion { region };
    world.does(define(lab.clone()));
    assert_eq!(world.does(define(lab.clone())), []);
    world.saves([add("lab", 1)]);
    let nowhere = Region {
        name: region("westeurope"),
        display_name: "\n".to_owned(),
        latitude_microdegrees: i32::MIN,
        longitude_microdegrees: 0,
    };
    assert_eq!(
        world.refuses(define(nowhere)),
        [
            "westeurope is a region of the catalogue and cannot be defined again",
            "westeurope: a latitude is from -90 to 90 degrees and a longitude \
             from -180 to 180",
            "westeurope: a display name has from 1 to 60 characters",
            "westeurope: a display name must not contain control characters",
        ]
    );
}

#[test]
fn history_is_trimmed_by_whole_segments_and_never_beyond_its_end() {
    let mut world = World::contoso();
    let trim = |through| Command::TrimHistory { through: Revision(through) };
    assert_eq!(world.does(trim(world.state.header.revision.0)), []);
    world.state.header.revision = Revision(3 * SEGMENT_EVENTS);
    let through = Revision(2 * SEGMENT_EVENTS);
    assert_eq!(world.does(trim(3 * SEGMENT_EVENTS - 1)), [Event::HistoryTrimmed { through }]);
    assert_eq!(world.does(trim(1)), []);
    let last = world.state.header.revision.0;
    assert_eq!(
        world.refuses(trim(last + 1)),
        [format!("cannot trim through revision {}: the last event is {last}", last + 1)]
    );
}
