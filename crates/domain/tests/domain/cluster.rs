use meridian_domain::limits::{Limits, SEGMENT_EVENTS};
use meridian_domain::*;

use crate::world::*;

#[test]
fn before_bootstrap_every_other_command_is_rejected() {
    let world = World::default();
    for command in [
        create("contoso", Tier::Premium, "westeurope"),
        Command::RegisterAgent(agent("a", 1, "westeurope")),
        Command::TrimHistory { through: Revision(0) },
    ] {
        assert_eq!(world.rejections(command), ["the cluster is not bootstrapped yet"]);
    }
}

#[test]
fn bootstrap_registers_all_initial_agents() {
    let agents = vec![agent("a", 1, "westeurope"), agent("b", 2, "eastus")];
    let mut world = World::default();
    let events = world.apply(Command::BootstrapCluster { cluster: cluster(1), agents });
    let types: Vec<_> = events.iter().map(Event::type_name).collect();
    assert_eq!(types, ["ClusterBootstrapped", "AgentRegistered", "AgentRegistered"]);
    assert_eq!(world.state.agents.len(), 2);
}

#[test]
fn a_cluster_is_bootstrapped_once() {
    let mut world = World::bootstrapped();
    assert_eq!(world.apply(Command::BootstrapCluster { cluster: cluster(1), agents: vec![] }), []);
    assert_eq!(
        world.rejections(Command::BootstrapCluster { cluster: cluster(2), agents: vec![] }),
        [format!("the cluster is already bootstrapped with id {}", cluster(1))]
    );
}

#[test]
fn the_data_version_rises_only_to_what_every_agent_supports() {
    let world = World::contoso();
    let raise = |version| Command::RaiseDataVersion { version: DataVersion(version) };
    assert_eq!(world.rejections(raise(1)), ["the data version is already 1"]);
    assert_eq!(
        world.rejections(raise(2)),
        [
            "the leader supports data version 1, not 2; upgrade it first",
            "agent eastus supports data version 1, not 2; upgrade it first",
            "agent southeastasia supports data version 1, not 2; upgrade it first",
            "agent westeurope supports data version 1, not 2; upgrade it first",
        ]
    );
}

#[test]
fn limits_are_in_range_and_not_below_current_use() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 5)]);
    let limits = Limits { developer_units: 0, premium_units: 4, voters: 6, ..Limits::default() };
    assert_eq!(
        world.rejections(Command::SetLimits { limits }),
        [
            "limit developer_units must be between 1 and 1000, got 0",
            "limit voters must be between 1 and 5, got 6",
            "limit voters must be odd, got 6",
            "contoso has 5 units in westeurope, more than the new limit of 4 for the premium tier; \
             scale it down first",
        ]
    );
    assert_eq!(world.apply(Command::SetLimits { limits: Limits::default() }), []);
    world.apply(Command::SetLimits { limits: Limits { premium_units: 31, ..Limits::default() } });
    world.edit([scale("westeurope", 31)]);
}

#[test]
fn a_custom_region_can_be_defined_and_used() {
    let mut world = World::contoso();
    let lab = Region {
        name: region("lab"),
        display_name: "Our Lab".to_owned(),
        latitude_microdegrees: 52_000_000,
        longitude_microdegrees: -180_000_000,
    };
    let define = |region| Command::DefineRegion { region };
    world.apply(define(lab.clone()));
    assert_eq!(world.apply(define(lab.clone())), []);
    world.edit([add("lab", 1)]);
    let invalid = Region {
        name: region("westeurope"),
        display_name: "\n".to_owned(),
        latitude_microdegrees: i32::MIN,
        longitude_microdegrees: 0,
    };
    assert_eq!(
        world.rejections(define(invalid)),
        [
            "region westeurope is in the catalog and cannot be redefined",
            "region westeurope: latitude must be between -90 and 90 degrees, longitude between \
             -180 and 180",
            "region westeurope: display name must have 1 to 60 characters",
            "region westeurope: display name must not contain control characters",
        ]
    );
}

#[test]
fn history_is_trimmed_by_whole_segments_up_to_its_end() {
    let mut world = World::contoso();
    let trim = |through| Command::TrimHistory { through: Revision(through) };
    assert_eq!(world.apply(trim(world.state.header.revision.0)), []);
    world.state.header.revision = Revision(3 * SEGMENT_EVENTS);
    let through = Revision(2 * SEGMENT_EVENTS);
    assert_eq!(world.apply(trim(3 * SEGMENT_EVENTS - 1)), [Event::HistoryTrimmed { through }]);
    assert_eq!(world.apply(trim(1)), []);
    let last = world.state.header.revision.0;
    assert_eq!(
        world.rejections(trim(last + 1)),
        [format!("cannot trim through revision {}; the last revision is {last}", last + 1)]
    );
}

#[test]
fn a_recovery_is_recorded_once_and_epochs_only_rise() {
    let mut world = World::contoso();
    let record = |epoch| Command::RecordRecovery { epoch: Epoch(epoch) };
    assert_eq!(world.apply(record(2)), [Event::ClusterRecovered { epoch: Epoch(2) }]);
    assert_eq!(world.state.header.epoch, Epoch(2));
    assert_eq!(world.apply(record(2)), []);
    assert_eq!(world.apply(record(1)), []);
}
