//! Outcomes and events are stored one by one, in a database that takes no value of 64 KiB or more.
//! One that did not fit would stop every node at the same entry, for ever.

use bincode::Options;
use meridian_domain::limits::Limits;
use meridian_domain::outcome::Outcome;
use meridian_domain::report::UnitStatus;
use meridian_domain::*;
use serde::Serialize;

use crate::world::*;

/// Less than the database takes, with room for what surrounds a value.
const MOST_BYTES: u64 = 60 << 10;
/// The largest letter that there is, in bytes.
const LARGE: &str = "\u{1f600}";

fn bytes(value: &impl Serialize) -> u64 {
    let format = bincode::DefaultOptions::new().with_fixint_encoding();
    format.serialized_size(value).expect("can be written")
}

fn refusal(world: &World, command: Command) -> Vec<Rejection> {
    decide(&world.state, &command).expect_err("the command is refused")
}

/// Three names that are as long as can be, and nearest to a fourth.
fn long_names(chars: usize) -> Vec<String> {
    (1..=3).map(|number| format!("{}{number}", "a".repeat(chars - 1))).collect()
}

/// Agents, services and regions with names as long as can be, and the region of the agents.
fn long_world() -> World {
    let mut world = World::founded();
    for name in long_names(limits::REGION_NAME_CHARS) {
        world.does(Command::DefineRegion { region: lab(&name, "Lab".to_owned()) });
    }
    let place = &long_names(limits::REGION_NAME_CHARS)[0];
    for (node, name) in (1..).zip(long_names(limits::AGENT_NAME_CHARS)) {
        world.does(Command::RegisterAgent(AgentDescription {
            region: region(place),
            ..agent(&name, node, "westeurope")
        }));
    }
    for name in long_names(limits::SERVICE_NAME_CHARS) {
        world.does(create(&name, Tier::Developer, place));
    }
    world
}

fn lab(name: &str, display_name: String) -> Region {
    Region { name: region(name), display_name, latitude_microdegrees: 0, longitude_microdegrees: 0 }
}

#[test]
fn a_refusal_names_so_many_faults_and_counts_the_others() {
    let mut world = World::contoso();
    let names: Vec<String> = (0..300).map(|number| format!("lab-{number:03}")).collect();
    for name in &names {
        world.does(Command::DefineRegion { region: lab(name, "Lab".to_owned()) });
    }
    for some in names[..250].chunks(100) {
        world.saves(some.iter().map(|name| add(name, 2)).collect::<Vec<_>>());
    }
    let limits = Limits { premium_units: 1, ..Limits::default() };
    let said = world.refuses(Command::SetLimits { limits });
    assert_eq!(said.len(), limits::REJECTIONS);
    assert_eq!(
        said[0],
        "contoso has 2 units in lab-000: a limit of 1 for the premium tier is too low"
    );
    assert_eq!(said[limits::REJECTIONS - 1], "and 219 more rejections");

    // As many as can be named, each once however often it is found, and none more.
    let unknown = |number: usize| region(&format!("zzz{number}"));
    let absent = (0..limits::REJECTIONS).map(unknown);
    let twice = absent.flat_map(|region| {
        let scale = Edit::Scale { region: region.clone(), units: Some(1), zones: None };
        [scale, Edit::Enable { region }]
    });
    let rejections = refusal(&world, change(twice.collect::<Vec<_>>()));
    assert_eq!(rejections.len(), limits::REJECTIONS);
    assert!(
        rejections.iter().all(|rejection| matches!(rejection, Rejection::RegionUnknown { .. }))
    );
}

#[test]
fn the_largest_outcome_is_stored() {
    let world = long_world();
    let longest = |chars| "a".repeat(chars);
    let (node, place) = (9, longest(limits::REGION_NAME_CHARS));
    let newcomer = AgentDescription {
        gateway_host: LARGE.repeat(10_000),
        region: region(&place),
        ..agent(&longest(limits::AGENT_NAME_CHARS), node, "westeurope")
    };
    let tight = Limits { developer_units: 0, ..Limits::default() };
    let commands = [
        Command::RegisterAgent(newcomer),
        Command::DrainAgent { agent: agent_name(&longest(limits::AGENT_NAME_CHARS)) },
        Command::DeleteService {
            service: service(&longest(limits::SERVICE_NAME_CHARS)),
            expected: None,
        },
        create(&longest(limits::SERVICE_NAME_CHARS), Tier::Premium, &place),
        Command::SetLimits { limits: tight },
    ];
    let rejections = commands.into_iter().flat_map(|command| refusal(&world, command));
    let largest = rejections.max_by_key(bytes).expect("there are rejections");
    assert!(matches!(largest, Rejection::NotAHost { .. }), "{largest:?}");
    let outcome = Outcome {
        digest: Digest::default(),
        verdict: Verdict::Rejected(vec![largest; limits::REJECTIONS]),
        base: Revision(1),
        revision: Revision(1),
    };
    assert!(bytes(&outcome) < MOST_BYTES, "{} bytes", bytes(&outcome));
}

#[test]
fn the_largest_event_is_stored() {
    let mut world = long_world();
    let mut padded = " ".repeat(limits::DISPLAY_NAME_CHARS);
    padded.push_str("Lab");
    assert_eq!(
        world.refuses(Command::DefineRegion { region: lab("lab", padded) }),
        ["lab: a display name has from 1 to 60 characters"]
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
        Address::new(host + port).expect("is an address")
    };
    let newcomer = AgentDescription {
        client_address: address(":7400"),
        peer_address: address(":7401"),
        gateway_host: "a".repeat(limits::ADDRESS_BYTES),
        region: region(&long_names(limits::REGION_NAME_CHARS)[0]),
        ..agent(&"b".repeat(limits::AGENT_NAME_CHARS), 9, "westeurope")
    };
    let origin = Origin::Operator {
        request: uuid::Uuid::from_u128(7 << 76 | 1 << 63).try_into().expect("is version 7"),
        digest: Digest::default(),
        actor: Actor::new(LARGE.repeat(limits::ACTOR_CHARS)).expect("is an actor"),
        reason: Some(Reason::new(LARGE.repeat(limits::REASON_CHARS)).expect("is a reason")),
    };
    let commands = [
        Command::Report(report),
        Command::DefineRegion { region: lab("lab", display_name) },
        Command::RegisterAgent(newcomer),
    ];
    let events = commands.into_iter().flat_map(|command| world.does(command));
    for event in events.collect::<Vec<_>>() {
        let record = EventRecord {
            revision: Revision(1),
            change: Revision(1),
            change_end: Revision(1),
            time: Timestamp(1),
            origin: origin.clone(),
            event,
        };
        assert!(bytes(&record) < MOST_BYTES, "{} bytes: {record:?}", bytes(&record));
    }
}
