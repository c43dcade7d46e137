//! Single fields. Each function gives the checked value, or notes in [`Checks`] what is wrong with
//! the field of that path and gives none.

use meridian_domain::agent::is_host;
use meridian_domain::{
    Address, AgentName, ApiName, NodeId, RegionName, RequestId, Revision, ServiceName, Tier, Zone,
    Zones, limits,
};

use super::Checks;

/// The name of a service.
pub fn service(checks: &mut Checks, path: &str, text: &str) -> Option<ServiceName> {
    checks.take(path, ServiceName::new(text))
}

/// The name of an API.
pub fn api(checks: &mut Checks, path: &str, text: &str) -> Option<ApiName> {
    checks.take(path, ApiName::new(text))
}

/// The name of an agent.
pub fn agent(checks: &mut Checks, path: &str, text: &str) -> Option<AgentName> {
    checks.take(path, AgentName::new(text))
}

/// The name of a region, as people write it.
pub fn region(checks: &mut Checks, path: &str, text: &str) -> Option<RegionName> {
    checks.take(path, RegionName::parse(text))
}

/// A tier.
pub fn tier(checks: &mut Checks, path: &str, text: &str) -> Option<Tier> {
    if text.is_empty() {
        checks.refuse(path, "a tier is needed: developer, basic, standard or premium");
        return None;
    }
    checks.take(path, text.parse::<Tier>())
}

/// The port of gateways.
pub fn port(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let lowest = limits::MIN_GATEWAY_PORT;
    let port = u16::try_from(number).ok().filter(|port| *port >= lowest);
    let problem = || format!("a gateway port is a number from {lowest} to 65535, not {number}");
    checks.take(path, port.ok_or_else(problem))
}

/// Units of one location.
pub fn units(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let most = limits::MAX_UNITS_PER_LOCATION;
    let units = u16::try_from(number).ok().filter(|units| (1..=most).contains(units));
    let problem = || match number {
        0 => "a location has at least 1 unit; to have none, remove the region".to_owned(),
        _ => format!("a location has at most {most} units, not {number}"),
    };
    checks.take(path, units.ok_or_else(problem))
}

/// A limit of the units of a location.
pub fn unit_limit(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let most = limits::MAX_UNITS_PER_LOCATION;
    let limit = u16::try_from(number).ok().filter(|limit| (1..=most).contains(limit));
    let problem = || format!("a limit of units is a number from 1 to {most}, not {number}");
    checks.take(path, limit.ok_or_else(problem))
}

/// One zone.
pub fn zone(checks: &mut Checks, path: &str, number: u32) -> Option<Zone> {
    let zone = u8::try_from(number).ok().and_then(|number| Zone::try_from(number).ok());
    let problem = || format!("a zone is a number from 1 to {}, not {number}", limits::MAX_ZONE);
    checks.take(path, zone.ok_or_else(problem))
}

/// The zones of a location, each once.
pub fn zones(checks: &mut Checks, path: &str, numbers: &[u32]) -> Option<Zones> {
    if numbers.len() > usize::from(limits::MAX_ZONE) {
        checks.refuse(path, format_args!("there are at most {} zones", limits::MAX_ZONE));
        return None;
    }
    let mut zones = Zones::new();
    for (index, number) in numbers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !zones.insert(zone(checks, &path, *number)?) {
            checks.refuse(path, format_args!("zone {number} is named twice"));
            return None;
        }
    }
    Some(zones)
}

/// The revision of an event. There is no event 0.
pub fn revision(checks: &mut Checks, path: &str, number: u64) -> Option<Revision> {
    if number == 0 {
        checks.refuse(path, "revisions count from 1");
        return None;
    }
    Some(Revision(number))
}

/// The id of a request.
pub fn request_id(checks: &mut Checks, path: &str, text: &str) -> Option<RequestId> {
    checks.take(path, text.parse::<RequestId>())
}

/// The id of a node: 16 hexadecimal digits.
pub fn node(checks: &mut Checks, path: &str, text: &str) -> Option<NodeId> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let node = text.parse::<NodeId>().ok().filter(|_| digits);
    checks.take(path, node.ok_or("a node id is 16 hexadecimal digits"))
}

/// An address, `host:port`.
pub fn address(checks: &mut Checks, path: &str, text: &str) -> Option<Address> {
    checks.take(path, Address::new(text))
}

/// A host name or an IP address.
pub fn host(checks: &mut Checks, path: &str, text: &str) -> Option<String> {
    let good = text.len() <= limits::ADDRESS_BYTES && is_host(text);
    let problem = "this is not a host name or an IP address (IPv6 stands in brackets)";
    checks.take(path, if good { Ok(text.to_owned()) } else { Err(problem) })
}

/// Text that people read, on one line.
pub fn text(checks: &mut Checks, path: &str, most: usize, text: &str) -> Option<String> {
    let length = text.chars().count();
    if length == 0 || length > most {
        checks.refuse(path, format_args!("from 1 to {most} characters are needed, not {length}"));
        return None;
    }
    if text.chars().any(char::is_control) {
        checks.refuse(path, "control characters are not allowed");
        return None;
    }
    Some(text.to_owned())
}

/// An angle in degrees, at most `most` either way, in millionths.
pub fn microdegrees(checks: &mut Checks, path: &str, most: i32, degrees: f64) -> Option<i32> {
    if !degrees.is_finite() || degrees.abs() > f64::from(most) {
        checks.refuse(path, format_args!("this is from -{most} to {most} degrees, not {degrees}"));
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "180 million fits, as was just checked")]
    let millionths = (degrees * 1e6).round() as i32;
    Some(millionths)
}
