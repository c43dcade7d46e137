//! Single fields. Each function returns the validated value, or records a violation of the field
//! with that path in [`Checks`] and returns `None`.

use std::fmt;
use std::ops::RangeInclusive;

use meridian_domain::agent::is_host;
use meridian_domain::{
    Address, AgentName, ApiName, Network, NodeId, RegionName, RequestId, Revision, ServiceName,
    Tier, WhenDisabled, Zone, Zones, limits,
};

use super::Checks;

/// Name of a service.
pub fn service(checks: &mut Checks, path: &str, text: &str) -> Option<ServiceName> {
    checks.take(path, ServiceName::new(text))
}

/// Name of an API.
pub fn api(checks: &mut Checks, path: &str, text: &str) -> Option<ApiName> {
    checks.take(path, ApiName::new(text))
}

/// Name of an agent.
pub fn agent(checks: &mut Checks, path: &str, text: &str) -> Option<AgentName> {
    checks.take(path, AgentName::new(text))
}

/// Name of a region, such as `westeurope` or `West Europe`.
pub fn region(checks: &mut Checks, path: &str, text: &str) -> Option<RegionName> {
    checks.take(path, RegionName::parse(text))
}

/// Tier.
pub fn tier(checks: &mut Checks, path: &str, text: &str) -> Option<Tier> {
    if text.is_empty() {
        checks.refuse(path, "is required: developer, basic, standard or premium");
        return None;
    }
    checks.take(path, text.parse::<Tier>())
}

/// Responses of disabled gateways.
pub fn when_disabled(checks: &mut Checks, path: &str, text: &str) -> Option<WhenDisabled> {
    checks.take(path, text.parse::<WhenDisabled>())
}

/// Port of the gateways of a service.
pub fn port(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let lowest = limits::MIN_GATEWAY_PORT;
    let port = u16::try_from(number).ok().filter(|port| *port >= lowest);
    let problem = || format!("must be a gateway port from {lowest} to 65535, not {number}");
    checks.take(path, port.ok_or_else(problem))
}

/// Number within a range.
pub fn number<T: TryFrom<u32> + PartialOrd + fmt::Display + Copy>(
    checks: &mut Checks,
    path: &str,
    range: RangeInclusive<T>,
    given: u32,
) -> Option<T> {
    let number = T::try_from(given).ok().filter(|number| range.contains(number));
    let problem = || format!("must be from {} to {}, not {given}", range.start(), range.end());
    checks.take(path, number.ok_or_else(problem))
}

/// Network of clients.
pub fn network(checks: &mut Checks, path: &str, text: &str) -> Option<Network> {
    checks.take(path, text.parse::<Network>())
}

/// Units of one location.
pub fn units(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let max = limits::MAX_UNITS_PER_LOCATION;
    let units = u16::try_from(number).ok().filter(|units| (1..=max).contains(units));
    let problem = || match number {
        0 => "must be at least 1; to have no units, remove the region".to_owned(),
        _ => format!("must be at most {max} units, not {number}"),
    };
    checks.take(path, units.ok_or_else(problem))
}

/// Maximum number of units of a location.
pub fn unit_limit(checks: &mut Checks, path: &str, number: u32) -> Option<u16> {
    let max = limits::MAX_UNITS_PER_LOCATION;
    let limit = u16::try_from(number).ok().filter(|limit| (1..=max).contains(limit));
    let problem = || format!("must be a limit from 1 to {max}, not {number}");
    checks.take(path, limit.ok_or_else(problem))
}

/// Zone.
pub fn zone(checks: &mut Checks, path: &str, number: u32) -> Option<Zone> {
    let zone = u8::try_from(number).ok().and_then(|number| Zone::try_from(number).ok());
    let problem = || format!("must be a zone from 1 to {}, not {number}", limits::MAX_ZONE);
    checks.take(path, zone.ok_or_else(problem))
}

/// Zones of a location, without duplicates.
pub fn zones(checks: &mut Checks, path: &str, numbers: &[u32]) -> Option<Zones> {
    if numbers.len() > usize::from(limits::MAX_ZONE) {
        checks.refuse(path, format_args!("must have at most {} zones", limits::MAX_ZONE));
        return None;
    }
    let mut zones = Zones::new();
    let mut all_valid = true;
    for (index, number) in numbers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let zone = zone(checks, &path, *number);
        all_valid &= zone.is_some();
        if zone.is_some_and(|zone| !zones.insert(zone)) {
            checks.refuse(path, format_args!("zone {number} is a duplicate"));
            all_valid = false;
        }
    }
    all_valid.then_some(zones)
}

/// Revision of an event, at least 1.
pub fn revision(checks: &mut Checks, path: &str, number: u64) -> Option<Revision> {
    if number == 0 {
        checks.refuse(path, "must be a revision, at least 1");
        return None;
    }
    Some(Revision(number))
}

/// Request id.
pub fn request_id(checks: &mut Checks, path: &str, text: &str) -> Option<RequestId> {
    checks.take(path, text.parse::<RequestId>())
}

/// Node id: 16 hexadecimal digits.
pub fn node(checks: &mut Checks, path: &str, text: &str) -> Option<NodeId> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let node = text.parse::<NodeId>().ok().filter(|_| digits);
    checks.take(path, node.ok_or("must be 16 hexadecimal digits"))
}

/// Address, `host:port`.
pub fn address(checks: &mut Checks, path: &str, text: &str) -> Option<Address> {
    checks.take(path, Address::new(text))
}

/// Host name or IP address.
pub fn host(checks: &mut Checks, path: &str, text: &str) -> Option<String> {
    let good = text.len() <= limits::ADDRESS_BYTES && is_host(text);
    let problem = "must be a host name or an IP address (IPv6 in brackets)";
    checks.take(path, if good { Ok(text.to_owned()) } else { Err(problem) })
}

/// Text for people, on one line.
pub fn text(checks: &mut Checks, path: &str, max: usize, text: &str) -> Option<String> {
    let length = text.chars().count();
    if length == 0 || length > max {
        checks.refuse(path, format_args!("must have 1 to {max} characters, not {length}"));
        return None;
    }
    if text.chars().any(char::is_control) {
        checks.refuse(path, "must not have control characters");
        return None;
    }
    Some(text.to_owned())
}

/// Angle in degrees, from `-max` to `max`, converted to millionths.
pub fn microdegrees(checks: &mut Checks, path: &str, max: i32, degrees: f64) -> Option<i32> {
    if !degrees.is_finite() || degrees.abs() > f64::from(max) {
        checks.refuse(path, format_args!("must be from -{max} to {max} degrees, not {degrees}"));
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "180 million fits, as was just checked")]
    let millionths = (degrees * 1e6).round() as i32;
    Some(millionths)
}
