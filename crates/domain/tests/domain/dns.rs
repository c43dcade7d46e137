//! Settings of the name servers, and networks of clients.

use meridian_domain::name_servers::name_servers;
use meridian_domain::routing::network_of;
use meridian_domain::*;

use crate::world::*;

fn set_dns(settings: DnsSettings) -> Command {
    Command::SetDns { settings }
}

fn network(text: &str) -> Network {
    text.parse().expect("valid network")
}

fn zone(name: &str) -> DnsSettings {
    DnsSettings { zone: Some(name.parse().expect("valid zone")), ..DnsSettings::default() }
}

#[test]
fn settings_are_replaced_as_a_whole_and_only_if_they_differ() {
    let mut world = World::contoso();
    assert_eq!(world.apply(set_dns(DnsSettings::default())), []);
    let settings = zone("Gateways.Example.net.");
    assert_eq!(types(&world.apply(set_dns(settings.clone()))), ["DnsSet"]);
    assert_eq!(
        world.state.header.dns.zone.as_ref().map(DnsZone::as_str),
        Some("gateways.example.net")
    );
    assert_eq!(world.apply(set_dns(settings)), []);
}

#[test]
fn settings_out_of_range_are_rejected_together() {
    let world = World::contoso();
    let settings = DnsSettings {
        zone: Some("0.1".parse().expect("valid zone")),
        ttl_seconds: 61,
        fallback_regions: 4,
        name_servers: vec![agent_name("eastus"), agent_name("eastus"), agent_name("eastu")],
    };
    assert_eq!(
        world.rejections(set_dns(settings)),
        [
            "DNS setting ttl must be between 1 and 60, got 61",
            "DNS setting fallback_regions must be between 0 and 3, got 4",
            "agent eastu not found; did you mean eastus or southeastasia?",
            "the change set sets the name server more than once",
        ]
    );
}

#[test]
fn a_gateway_host_in_the_zone_is_rejected_whichever_comes_first() {
    let mut world = World::contoso();
    let moved = |host: &str| {
        let known = agent("eastus", 2, "eastus");
        Command::RegisterAgent(AgentDescription { gateway_host: host.to_owned(), ..known })
    };
    let message = "agent eastus: gateway host eu.example.net is in the DNS zone example.net; use an \
                   address, or a name in another zone";
    let mut other = world.clone();
    world.apply(moved("eu.example.net"));
    assert_eq!(world.rejections(set_dns(zone("example.net"))), [message]);
    other.apply(set_dns(zone("example.net")));
    assert_eq!(other.rejections(moved("eu.example.net")), [message]);
    other.apply(moved("eu.not-example.net"));
}

#[test]
fn names_with_a_meaning_in_the_zone_are_no_services() {
    let world = World::contoso();
    for name in ["regional", "ns"] {
        let message = format!("the service name {name} is reserved for DNS; choose another one");
        assert_eq!(world.rejections(create(name, Tier::Premium, "eastus")), [message]);
    }
}

#[test]
fn one_agent_in_each_region_is_a_name_server_unless_they_are_configured() {
    let mut world = World::contoso();
    world.apply(Command::RegisterAgent(agent("another", 8, "westeurope")));
    let names = |world: &World| -> Vec<_> {
        name_servers(&world.state).iter().map(|it| it.description.name.to_string()).collect()
    };
    assert_eq!(names(&world), ["eastus", "southeastasia", "another"], "by region, then by name");
    let configured = vec![agent_name("westeurope"), agent_name("another")];
    world.apply(set_dns(DnsSettings { name_servers: configured, ..DnsSettings::default() }));
    assert_eq!(names(&world), ["westeurope", "another"]);
    world.apply(Command::RemoveAgent { agent: agent_name("another") });
    assert_eq!(names(&world), ["westeurope"], "a removed agent is no name server");
    let kept = world.state.header.dns.clone();
    assert_eq!(types(&world.apply(set_dns(DnsSettings { ttl_seconds: 9, ..kept }))), ["DnsSet"]);
    world.apply(Command::RemoveAgent { agent: agent_name("westeurope") });
    assert_eq!(names(&world), ["eastus", "southeastasia"], "none is left of the configured ones");
}

#[test]
fn the_longest_network_that_contains_an_address_decides() {
    let mut world = World::contoso();
    let assign = [
        ("10.0.0.0/8", "westeurope"),
        ("10.1.0.0/16", "eastus"),
        ("2001:db8::/32", "japaneast"),
        ("0.0.0.0/0", "westus"),
    ];
    let assign = assign.map(|(text, place)| (network(text), region(place))).into();
    let events = world.apply(Command::ChangeNetworks { assign, remove: vec![] });
    assert_eq!(types(&events), ["NetworkAssigned"; 4]);
    let found = |address: &str| {
        let found = network_of(&world.state, address.parse().expect("an address"));
        found.map(|(network, region)| format!("{network} {region}"))
    };
    assert_eq!(found("10.1.2.3").as_deref(), Some("10.1.0.0/16 eastus"));
    assert_eq!(found("::ffff:10.2.0.1").as_deref(), Some("10.0.0.0/8 westeurope"));
    assert_eq!(found("192.0.2.1").as_deref(), Some("0.0.0.0/0 westus"));
    assert_eq!(found("2001:db8::1").as_deref(), Some("2001:db8::/32 japaneast"));
    assert_eq!(found("2001:db9::1"), None);
}

#[test]
fn networks_that_are_unknown_repeated_or_too_many_are_rejected() {
    let world = World::contoso();
    let (one, eastus) = (network("10.0.0.0/8"), region("eastus"));
    let change = |assign, remove| Command::ChangeNetworks { assign, remove };
    assert_eq!(
        world.rejections(change(vec![(one, region("eastuss"))], vec![one])),
        [
            "network 10.0.0.0/8 is given more than once",
            "region eastuss not found; did you mean eastus, eastus2 or eastasia?",
            "network 10.0.0.0/8 not found",
        ]
    );
    let many = (0..1_025).map(|n| network(&format!("10.{}.{}.0/24", n / 256, n % 256)));
    let many = many.map(|network| (network, eastus.clone())).collect();
    assert_eq!(
        world.rejections(change(many, vec![])),
        ["a cluster can have at most 1024 networks"]
    );
}

#[test]
fn a_network_has_no_bits_after_its_prefix() {
    let message = |text: &str| text.parse::<Network>().expect_err("is invalid").to_string();
    assert_eq!(
        message("10.1.2.3/16"),
        "invalid network 10.1.2.3/16: the network of this address is 10.1.0.0/16"
    );
    let mapped: Network = "::ffff:10.1.0.0/112".parse().expect("valid network");
    assert_eq!(mapped.to_string(), "10.1.0.0/16");
    for text in ["10.1.0.0", "10.1.0.0/33", "x/8", ""] {
        assert!(message(text).contains("use ADDRESS/PREFIX"), "{text}");
    }
}
