//! Outcomes and events are stored as single values in a database that limits them to 64 KiB. A
//! larger one would stop every node at the same entry permanently.

use bincode::Options;
use meridian_domain::limits::Limits;
use meridian_domain::outcome::Outcome;
use meridian_domain::report::UnitStatus;
use meridian_domain::*;
use serde::Serialize;

use crate::world::*;

/// Maximum size of a value, with a reserve for its metadata below the limit of the database.
const MAX_BYTES: u64 = 60 << 10;
/// Character with the longest UTF-8 encoding, 4 bytes.
const LARGE: &str = "\u{1f600}";

fn bytes(value: &impl Serialize) -> u64 {
    let format = bincode::DefaultOptions::new().with_fixint_encoding();
    format.serialized_size(value).expect("serializable")
}

fn rejections(world: &World, command: Command) -> Vec<Rejection> {
    decide(&world.state, &command).expect_err("the command is rejected")
}

/// Returns three names of the maximum length that are suggested for a fourth one.
fn long_names(chars: usize) -> Vec<String> {
    (1..=3).map(|number| format!("{}{number}", "a".repeat(chars - 1))).collect()
}

/// Returns a cluster whose agents, services and regions have names of the maximum length.
fn long_world() -> World {
    let mut world = World::bootstrapped();
    for name in long_names(limits::REGION_NAME_CHARS) {
        world.apply(Command::DefineRegion { region: lab(&name, "Lab".to_owned()) });
    }
    let place = &long_names(limits::REGION_NAME_CHARS)[0];
    for (node, name) in (1..).zip(long_names(limits::AGENT_NAME_CHARS)) {
        world.apply(Command::RegisterAgent(AgentDescription {
            region: region(place),
            ..agent(&name, node, "westeurope")
        }));
    }
    for name in long_names(limits::SERVICE_NAME_CHARS) {
        world.apply(create(&name, Tier::Developer, place));
    }
    world
}

fn lab(name: &str, display_name: String) -> Region {
    Region { name: region(name), display_name, latitude_microdegrees: 0, longitude_microdegrees: 0 }
}

#[test]
fn a_rejected_command_lists_a_bounded_number_of_rejections_and_counts_the_rest() {
    let mut world = World::contoso();
    let names: Vec<String> = (0..300).map(|number| format!("lab-{number:03}")).collect();
    for name in &names {
        world.apply(Command::DefineRegion { region: lab(name, "Lab".to_owned()) });
    }
    for some in names[..250].chunks(100) {
        world.edit(some.iter().map(|name| add(name, 2)).collect::<Vec<_>>());
    }
    let limits = Limits { premium_units: 1, ..Limits::default() };
    let messages = world.rejections(Command::SetLimits { limits });
    assert_eq!(messages.len(), limits::REJECTIONS);
    assert_eq!(
        messages[0],
        "contoso has 2 units in lab-000, more than the new limit of 1 for the premium tier; scale \
         it down first"
    );
    assert_eq!(messages[limits::REJECTIONS - 1], "and 219 more");

    // Exactly the maximum number, each found twice and listed once.
    let unknown = |number: usize| region(&format!("zzz{number}"));
    let unknown_regions = (0..limits::REJECTIONS).map(unknown);
    let twice = unknown_regions.flat_map(|region| {
        let scale = Edit::Scale { region: region.clone(), units: Some(1), zones: None };
        [scale, Edit::Enable { region }]
    });
    let rejections = rejections(&world, change(twice.collect::<Vec<_>>()));
    assert_eq!(rejections.len(), limits::REJECTIONS);
    assert!(
        rejections.iter().all(|rejection| matches!(rejection, Rejection::RegionUnknown { .. }))
    );
}

#[test]
fn the_largest_outcome_fits_into_a_stored_value() {
    let world = long_world();
    let longest = |chars| "a".repeat(chars);
    let (node, place) = (9, longest(limits::REGION_NAME_CHARS));
    let joining = AgentDescription {
        gateway_host: LARGE.repeat(10_000),
        region: region(&place),
        ..agent(&longest(limits::AGENT_NAME_CHARS), node, "westeurope")
    };
    let tight = Limits { developer_units: 0, ..Limits::default() };
    let commands = [
        Command::RegisterAgent(joining),
        Command::DrainAgent { agent: agent_name(&longest(limits::AGENT_NAME_CHARS)) },
        Command::DeleteService {
            service: service(&longest(limits::SERVICE_NAME_CHARS)),
            expected: None,
        },
        create(&longest(limits::SERVICE_NAME_CHARS), Tier::Premium, &place),
        Command::SetLimits { limits: tight },
    ];
    let rejections = commands.into_iter().flat_map(|command| rejections(&world, command));
    let largest = rejections.max_by_key(bytes).expect("there are rejections");
    assert!(matches!(largest, Rejection::InvalidGatewayHost { .. }), "{largest:?}");
    let outcome = Outcome {
        digest: Digest::default(),
        verdict: Verdict::Rejected(vec![largest; limits::REJECTIONS]),
        base: Revision(1),
        revision: Revision(1),
    };
    assert!(bytes(&outcome) < MAX_BYTES, "{} bytes", bytes(&outcome));
}

#[test]
fn the_largest_event_fits_into_a_stored_value() {
    let mut world = long_world();
    let mut padded = " ".repeat(limits::DISPLAY_NAME_CHARS);
    padded.push_str("Lab");
    assert_eq!(
        world.rejections(Command::DefineRegion { region: lab("lab", padded) }),
        ["region lab: display name must have 1 to 60 characters"]
    );
    let name = &long_names(limits::AGENT_NAME_CHARS)[0];
    let status = UnitStatus::Failed {
        restarts: 1,
        next_try: Timestamp(1),
        cause: LARGE.repeat(limits::CAUSE_CHARS * 100),
    };
    let report = world.report(name, 1, status);
    let display_name = LARGE.repeat(limits::DISPLAY_NAME_CHARS);
    let address = |port: &str| {
        let host = "a".repeat(limits::ADDRESS_BYTES - port.len());
        Address::new(host + port).expect("valid address")
    };
    let joining = AgentDescription {
        client_address: address(":7400"),
        peer_address: address(":7401"),
        gateway_host: "a".repeat(limits::ADDRESS_BYTES),
        region: region(&long_names(limits::REGION_NAME_CHARS)[0]),
        ..agent(&"b".repeat(limits::AGENT_NAME_CHARS), 9, "westeurope")
    };
    let origin = Origin::Operator {
        request: uuid::Uuid::from_u128(7 << 76 | 1 << 63).try_into().expect("valid request id"),
        digest: Digest::default(),
        actor: Actor::new(LARGE.repeat(limits::ACTOR_CHARS)).expect("valid actor"),
        reason: Some(Reason::new(LARGE.repeat(limits::REASON_CHARS)).expect("valid reason")),
    };
    let commands = [
        Command::Report(report),
        Command::DefineRegion { region: lab("lab", display_name) },
        Command::RegisterAgent(joining),
    ];
    let events = commands.into_iter().flat_map(|command| world.apply(command));
    for event in events.collect::<Vec<_>>() {
        let record = EventRecord {
            revision: Revision(1),
            change: Revision(1),
            change_end: Revision(1),
            time: Timestamp(1),
            origin: origin.clone(),
            event,
        };
        assert!(bytes(&record) < MAX_BYTES, "{} bytes: {record:?}", bytes(&record));
    }
}
