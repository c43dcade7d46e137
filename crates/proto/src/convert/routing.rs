//! Settings of the name servers, and networks of clients.

use meridian_domain::{AgentName, Command, DnsSettings, DnsZone, Network, RegionName, limits};

use super::edit::optional;
use super::{ChangeRequest, Checks, field};
use crate::v1;

impl ChangeRequest for v1::SetDnsRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let Some(given) = &self.settings else {
            checks.refuse("settings", "is required, with all settings");
            return None;
        };
        let at = |name: &str| format!("settings.{name}");
        let zone = Some(given.zone.as_str()).filter(|zone| !zone.is_empty());
        let zone = zone.map(|zone| checks.take(at("zone"), zone.parse::<DnsZone>()));
        let ttl = 1..=limits::MAX_TTL_SECONDS;
        let ttl_seconds = field::number(checks, &at("ttl_seconds"), ttl, given.ttl_seconds);
        let fallback = 0..=limits::MAX_FALLBACK_REGIONS;
        let fallback_regions =
            field::number(checks, &at("fallback_regions"), fallback, given.fallback_regions);
        let name_servers = name_servers(checks, &at("name_servers"), &given.name_servers);
        let settings = DnsSettings {
            zone: optional(zone)?,
            ttl_seconds: ttl_seconds?,
            fallback_regions: fallback_regions?,
            name_servers: name_servers?,
        };
        Some(Command::SetDns { settings })
    }
}

fn name_servers(checks: &mut Checks, path: &str, given: &[String]) -> Option<Vec<AgentName>> {
    if given.len() > limits::NAME_SERVERS {
        let problem = format_args!("must have at most {} agents", limits::NAME_SERVERS);
        checks.refuse(path, problem);
        return None;
    }
    let names = given.iter().enumerate();
    let names = names.map(|(index, name)| field::agent(checks, &format!("{path}[{index}]"), name));
    // Collected in full first, so that the names after an invalid one are checked as well.
    names.collect::<Vec<_>>().into_iter().collect()
}

impl ChangeRequest for v1::ChangeNetworksRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        if self.assign.len() + self.remove.len() > limits::NETWORKS {
            checks.refuse("assign", format_args!("must have at most {}", limits::NETWORKS));
            return None;
        }
        let assign = self.assign.iter().enumerate();
        let assign =
            assign.map(|(index, given)| assigned(checks, &format!("assign[{index}]"), given));
        let assign: Vec<_> = assign.collect();
        let remove = self.remove.iter().enumerate();
        let remove =
            remove.map(|(at, text)| field::network(checks, &format!("remove[{at}]"), text));
        let remove: Vec<_> = remove.collect();
        let assign = assign.into_iter().collect::<Option<_>>();
        let remove = remove.into_iter().collect::<Option<_>>();
        Some(Command::ChangeNetworks { assign: assign?, remove: remove? })
    }
}

fn assigned(checks: &mut Checks, path: &str, given: &v1::Network) -> Option<(Network, RegionName)> {
    let network = field::network(checks, &format!("{path}.network"), &given.network);
    let region = field::region(checks, &format!("{path}.region"), &given.region);
    network.zip(region)
}

impl From<&DnsSettings> for v1::DnsSettings {
    fn from(settings: &DnsSettings) -> Self {
        let DnsSettings { zone, ttl_seconds, fallback_regions, name_servers } = settings;
        Self {
            zone: zone.as_ref().map(ToString::to_string).unwrap_or_default(),
            ttl_seconds: (*ttl_seconds).into(),
            fallback_regions: (*fallback_regions).into(),
            name_servers: name_servers.iter().map(ToString::to_string).collect(),
        }
    }
}
