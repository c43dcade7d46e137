//! Layout of a development cluster: its regions, addresses and ports. Chosen by the first run and
//! stored in `dev.toml`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use meridian_domain::{AgentName, NameError, RegionName};
use serde::{Deserialize, Serialize};

use crate::cli::LayoutArgs;
use crate::config::region::{self, RegionError};

/// Regions of a cluster without `--regions`.
const DEFAULT_REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// Maximum number of regions: more agents on one machine would be hard to follow.
const MAX_REGIONS: usize = 9;
/// Name of the agent that votes and runs no units.
const WITNESS: &str = "witness";

/// Layout of a development cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Regions; the first is the primary region of the first service.
    pub regions: Vec<RegionName>,
    /// Agent N listens on the Nth address after this one.
    pub address_base: Ipv4Addr,
    /// Port for clients.
    pub client_port: u16,
    /// Port between agents.
    pub peer_port: u16,
    /// Port for health and metrics.
    pub http_port: u16,
    /// Port of the name servers.
    pub dns_port: u16,
    /// Port of the echo backend, on the first address.
    pub echo_port: u16,
}

/// Plan of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Name: the name of the region, or `witness`.
    pub name: AgentName,
    /// Region.
    pub region: RegionName,
    /// True if it votes and runs no units.
    pub witness: bool,
    /// Listening address.
    pub address: Ipv4Addr,
    /// Directory of this agent within the data directory.
    pub directory: PathBuf,
}

/// Reason why a layout is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The number of regions is out of range.
    #[error("{given} regions given; use 1 to {MAX_REGIONS}")]
    Count {
        /// Number of regions given.
        given: usize,
    },
    /// The name of a default region is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A region is invalid or unknown.
    #[error("invalid region {given:?}: {cause}")]
    Region {
        /// The text given.
        given: String,
        /// The broken rule.
        cause: RegionError,
    },
    /// A region is given twice.
    #[error("region {region} is given twice")]
    Duplicate {
        /// The region.
        region: RegionName,
    },
    /// Some addresses are not loopback addresses.
    #[error("the {agents} addresses after {base} are not all loopback addresses (127.0.0.0/8)")]
    NotLoopback {
        /// The address base.
        base: Ipv4Addr,
        /// Number of agents.
        agents: u32,
    },
    /// Two ports are equal.
    #[error("port {port} is used twice; every port must be different")]
    SamePort {
        /// The port.
        port: u16,
    },
    /// The data directory has a cluster with another layout.
    #[error("the data directory has a cluster with {flag} {stored}, not {requested}")]
    Differs {
        /// The flag.
        flag: &'static str,
        /// Value of the stored layout.
        stored: String,
        /// Value of the flag.
        requested: String,
    },
}

impl Layout {
    /// Returns the stored layout if there is one, otherwise the requested one.
    ///
    /// # Errors
    /// If the requested layout is invalid, or differs from the stored one.
    pub fn resolve(stored: Option<Self>, requested: &LayoutArgs) -> Result<Self, LayoutError> {
        let regions = requested.regions.as_deref().map(regions).transpose()?;
        if let Some(stored) = stored {
            stored.check_same(regions.as_deref(), requested)?;
            return Ok(stored);
        }
        let default = || DEFAULT_REGIONS.into_iter().map(RegionName::new).collect();
        let layout = Self {
            regions: regions.map_or_else(default, Ok)?,
            address_base: requested.address_base.unwrap_or(Ipv4Addr::new(127, 0, 1, 0)),
            client_port: requested.client_port.unwrap_or(7400),
            peer_port: requested.peer_port.unwrap_or(7401),
            http_port: requested.http_port.unwrap_or(7480),
            dns_port: requested.dns_port.unwrap_or(7453),
            echo_port: requested.echo_port.unwrap_or(7490),
        };
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), LayoutError> {
        let agents = self.agents();
        let base = self.address_base;
        let last = u32::from(base).checked_add(agents).map(Ipv4Addr::from);
        if !base.is_loopback() || !last.is_some_and(|last| last.is_loopback()) {
            return Err(LayoutError::NotLoopback { base, agents });
        }
        let agents = [self.client_port, self.peer_port, self.http_port, self.dns_port];
        let ports = [&agents[..], &[self.echo_port]].concat();
        let twice = (0..ports.len()).find(|index| ports[..*index].contains(&ports[*index]));
        twice.map_or(Ok(()), |index| Err(LayoutError::SamePort { port: ports[index] }))
    }

    fn check_same(
        &self,
        regions: Option<&[RegionName]>,
        requested: &LayoutArgs,
    ) -> Result<(), LayoutError> {
        let listed = |regions: &[RegionName]| {
            regions.iter().map(RegionName::as_str).collect::<Vec<_>>().join(",")
        };
        let text = |number: Option<u16>| number.map(|number| number.to_string());
        for (flag, stored, requested) in [
            ("--regions", listed(&self.regions), regions.map(listed)),
            (
                "--address-base",
                self.address_base.to_string(),
                requested.address_base.map(|base| base.to_string()),
            ),
            ("--client-port", self.client_port.to_string(), text(requested.client_port)),
            ("--peer-port", self.peer_port.to_string(), text(requested.peer_port)),
            ("--http-port", self.http_port.to_string(), text(requested.http_port)),
            ("--dns-port", self.dns_port.to_string(), text(requested.dns_port)),
            ("--echo-port", self.echo_port.to_string(), text(requested.echo_port)),
        ] {
            if let Some(requested) = requested.filter(|requested| *requested != stored) {
                return Err(LayoutError::Differs { flag, stored, requested });
            }
        }
        Ok(())
    }

    /// Returns the listening address of the echo backend.
    #[must_use]
    pub fn echo_address(&self) -> SocketAddrV4 {
        let first = Ipv4Addr::from(u32::from(self.address_base).saturating_add(1));
        SocketAddrV4::new(first, self.echo_port)
    }

    /// Returns the region of the witness. Two regions need a third voter in a third region, so that
    /// the loss of either keeps a quorum.
    fn witness_region(&self) -> Option<RegionName> {
        let taken = |name: &str| self.regions.iter().any(|region| region.as_str() == name);
        let elsewhere = DEFAULT_REGIONS.into_iter().find(|name| !taken(name))?;
        RegionName::new(elsewhere).ok().filter(|_| self.regions.len() == 2)
    }

    fn agents(&self) -> u32 {
        let regions = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        regions + u32::from(self.witness_region().is_some())
    }

    /// Returns the agents in order; the first is the bootstrap agent.
    ///
    /// # Errors
    /// If the name of a region is not a valid agent name, which holds for no region of the catalog.
    pub fn plans(&self, data_dir: &Path) -> Result<Vec<Plan>, NameError> {
        let regions = self.regions.iter().map(|region| (region.as_str(), region.clone(), false));
        let witness = self.witness_region().map(|region| (WITNESS, region, true));
        let numbered = (1..).zip(regions.chain(witness));
        let plan = |(number, (name, region, witness)): (u32, (&str, RegionName, bool))| {
            let address = Ipv4Addr::from(u32::from(self.address_base).saturating_add(number));
            let directory = data_dir.join(name);
            Ok(Plan { name: AgentName::new(name)?, region, witness, address, directory })
        };
        numbered.map(plan).collect()
    }
}

fn regions(given: &[String]) -> Result<Vec<RegionName>, LayoutError> {
    let mut regions = Vec::new();
    for text in given {
        let region = region::parse(text)
            .map_err(|cause| LayoutError::Region { given: text.clone(), cause })?;
        if regions.contains(&region) {
            return Err(LayoutError::Duplicate { region });
        }
        regions.push(region);
    }
    if !(1..=MAX_REGIONS).contains(&regions.len()) {
        return Err(LayoutError::Count { given: regions.len() });
    }
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn arguments(line: &str) -> LayoutArgs {
        let words = std::iter::once("dev").chain(line.split_whitespace());
        let matches = LayoutArgs::augment_args(Command::new("dev")).get_matches_from(words);
        LayoutArgs::from_arg_matches(&matches).expect("flags have no further rules")
    }

    fn resolve(line: &str) -> Result<Layout, LayoutError> {
        Layout::resolve(None, &arguments(line))
    }

    fn agents(line: &str) -> Vec<(String, String, String)> {
        let plans =
            resolve(line).expect("valid layout").plans(Path::new("d")).expect("valid names");
        let row =
            |plan: Plan| (plan.name.to_string(), plan.region.to_string(), plan.address.to_string());
        plans.into_iter().map(row).collect()
    }

    fn agent(name: &str, region: &str, address: &str) -> (String, String, String) {
        (name.to_owned(), region.to_owned(), address.to_owned())
    }

    #[test]
    fn without_arguments_three_regions_have_an_agent_each() {
        assert_eq!(
            agents(""),
            [
                agent("westeurope", "westeurope", "127.0.1.1"),
                agent("eastus", "eastus", "127.0.1.2"),
                agent("southeastasia", "southeastasia", "127.0.1.3"),
            ]
        );
    }

    #[test]
    fn two_regions_have_a_witness_in_a_third_region() {
        assert_eq!(
            agents("--regions eastus,japaneast --address-base 127.0.57.0"),
            [
                agent("eastus", "eastus", "127.0.57.1"),
                agent("japaneast", "japaneast", "127.0.57.2"),
                agent("witness", "westeurope", "127.0.57.3"),
            ]
        );
        assert_eq!(agents("--regions eastus").len(), 1);
    }

    #[test]
    fn an_invalid_layout_is_refused_with_the_reason() {
        for (line, message) in [
            (
                "--regions westeurop",
                "invalid region \"westeurop\": unknown region; the nearest are westeurope, westus, westus2",
            ),
            (
                "--regions zzyzx",
                "invalid region \"zzyzx\": unknown region; `meridian region catalog` lists all regions",
            ),
            ("--regions=", "invalid region \"\": region name must not be empty"),
            ("--regions eastus,EastUS", "region eastus is given twice"),
            (
                "--regions eastus,eastus2,westus,westus2,westus3,centralus,japaneast,japanwest,uksouth,ukwest",
                "10 regions given; use 1 to 9",
            ),
            (
                "--address-base 10.0.0.0",
                "the 3 addresses after 10.0.0.0 are not all loopback addresses (127.0.0.0/8)",
            ),
            (
                "--address-base 127.255.255.254",
                "the 3 addresses after 127.255.255.254 are not all loopback addresses (127.0.0.0/8)",
            ),
            ("--client-port 7401", "port 7401 is used twice; every port must be different"),
        ] {
            let refused = resolve(line).map_err(|error| error.to_string());
            assert_eq!(refused, Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_stored_layout_is_kept_and_another_one_is_refused() {
        let stored = resolve("--regions eastus,westus --client-port 9400").expect("valid layout");
        let again = |line: &str| Layout::resolve(Some(stored.clone()), &arguments(line));
        assert_eq!(again(""), Ok(stored.clone()));
        assert_eq!(again("--regions eastus,westus"), Ok(stored.clone()));
        assert_eq!(
            again("--regions eastus").expect_err("another layout").to_string(),
            "the data directory has a cluster with --regions eastus,westus, not eastus"
        );
        assert_eq!(
            again("--client-port 7400").expect_err("another layout").to_string(),
            "the data directory has a cluster with --client-port 9400, not 7400"
        );
    }

    #[test]
    fn a_layout_survives_serialization() {
        let layout = resolve("").expect("valid layout");
        let text = toml::to_string(&layout).expect("serializable");
        assert_eq!(toml::from_str::<Layout>(&text).expect("deserializable"), layout);
    }
}
