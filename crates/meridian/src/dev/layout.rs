//! Which agents a development cluster has, and where: decided once, and kept in `dev.toml`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use meridian_domain::nearest::nearest;
use meridian_domain::{AgentName, NameError, RegionName, catalog};
use serde::{Deserialize, Serialize};

use crate::cli::LayoutArgs;

/// The regions of a cluster of which nothing else was said.
const DEFAULT_REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// Regions at most: an agent takes an address each, and a person can follow no more.
const MOST_REGIONS: usize = 9;
/// The name of the agent that only votes.
const WITNESS: &str = "witness";

/// A development cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Its regions, the primary one of the first service first.
    pub regions: Vec<RegionName>,
    /// Agent N listens on the Nth address after this one.
    pub address_base: Ipv4Addr,
    /// The port for clients.
    pub client_port: u16,
    /// The port between agents.
    pub peer_port: u16,
    /// The port for health and metrics.
    pub http_port: u16,
    /// The port of the echo backend, on the first address.
    pub echo_port: u16,
}

/// One agent of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name, which is that of its region.
    pub name: AgentName,
    /// Its region.
    pub region: RegionName,
    /// Whether it only votes.
    pub witness: bool,
    /// Where it listens.
    pub address: Ipv4Addr,
    /// What is its own under the data directory.
    pub directory: PathBuf,
}

/// Why there can be no such cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// There are too few regions, or too many.
    #[error("{given} regions were given; 1 to {MOST_REGIONS} are possible")]
    Count {
        /// How many were given.
        given: usize,
    },
    /// A region has no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A region is not in the catalogue.
    #[error("there is no region {given:?}{}", suggestions(nearest))]
    Unknown {
        /// What was given.
        given: String,
        /// The known ones that are most like it.
        nearest: Vec<String>,
    },
    /// A region was given twice.
    #[error("region {region} was given twice")]
    Twice {
        /// The region.
        region: RegionName,
    },
    /// The addresses are not all loopback addresses.
    #[error("the {agents} addresses after {base} are not all loopback addresses (127.0.0.0/8)")]
    NotLoopback {
        /// What was given.
        base: Ipv4Addr,
        /// How many there are to be.
        agents: u32,
    },
    /// Two of the ports are one.
    #[error("port {port} was given for two purposes")]
    SamePort {
        /// The port.
        port: u16,
    },
    /// The data directory holds another cluster.
    #[error("the data directory holds a cluster with {flag} {present}, and {asked} was asked for")]
    Differs {
        /// The flag.
        flag: &'static str,
        /// What the directory says.
        present: String,
        /// What was asked for.
        asked: String,
    },
}

fn suggestions(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "; `meridian region catalogue` lists them".to_owned();
    }
    format!("; the nearest are {}", nearest.join(", "))
}

impl Layout {
    /// The cluster that the data directory holds, if it holds one, or else the one asked for.
    ///
    /// # Errors
    /// If what was asked for makes no sense, or is not what the directory holds.
    pub fn settle(present: Option<Self>, asked: &LayoutArgs) -> Result<Self, LayoutError> {
        let regions = asked.regions.as_deref().map(regions).transpose()?;
        if let Some(present) = present {
            present.check_same(regions.as_deref(), asked)?;
            return Ok(present);
        }
        let default = || DEFAULT_REGIONS.into_iter().map(RegionName::new).collect();
        let layout = Self {
            regions: regions.map_or_else(default, Ok)?,
            address_base: asked.address_base.unwrap_or(Ipv4Addr::new(127, 0, 1, 0)),
            client_port: asked.client_port.unwrap_or(7400),
            peer_port: asked.peer_port.unwrap_or(7401),
            http_port: asked.http_port.unwrap_or(7480),
            echo_port: asked.echo_port.unwrap_or(7490),
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
        let ports = [self.client_port, self.peer_port, self.http_port, self.echo_port];
        let twice = (0..ports.len()).find(|index| ports[..*index].contains(&ports[*index]));
        twice.map_or(Ok(()), |index| Err(LayoutError::SamePort { port: ports[index] }))
    }

    fn check_same(
        &self,
        regions: Option<&[RegionName]>,
        asked: &LayoutArgs,
    ) -> Result<(), LayoutError> {
        let listed = |regions: &[RegionName]| {
            regions.iter().map(RegionName::as_str).collect::<Vec<_>>().join(",")
        };
        let text = |number: Option<u16>| number.map(|number| number.to_string());
        for (flag, present, asked) in [
            ("--regions", listed(&self.regions), regions.map(listed)),
            (
                "--address-base",
                self.address_base.to_string(),
                asked.address_base.map(|base| base.to_string()),
            ),
            ("--client-port", self.client_port.to_string(), text(asked.client_port)),
            ("--peer-port", self.peer_port.to_string(), text(asked.peer_port)),
            ("--http-port", self.http_port.to_string(), text(asked.http_port)),
            ("--echo-port", self.echo_port.to_string(), text(asked.echo_port)),
        ] {
            if let Some(asked) = asked.filter(|asked| *asked != present) {
                return Err(LayoutError::Differs { flag, present, asked });
            }
        }
        Ok(())
    }

    /// Where the echo backend listens.
    #[must_use]
    pub fn echo_address(&self) -> SocketAddrV4 {
        let first = Ipv4Addr::from(u32::from(self.address_base).saturating_add(1));
        SocketAddrV4::new(first, self.echo_port)
    }

    /// Two regions have a third vote in a third one, so that losing either stops nothing.
    fn witness_region(&self) -> Option<RegionName> {
        let taken = |name: &str| self.regions.iter().any(|region| region.as_str() == name);
        let elsewhere = DEFAULT_REGIONS.into_iter().find(|name| !taken(name))?;
        RegionName::new(elsewhere).ok().filter(|_| self.regions.len() == 2)
    }

    fn agents(&self) -> u32 {
        let regions = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        regions + u32::from(self.witness_region().is_some())
    }

    /// The agents, in order: the first one founds the cluster.
    ///
    /// # Errors
    /// If a region's name cannot be an agent's, which no region of the catalogue has.
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
        let region = RegionName::parse(text)?;
        if catalog::region(&region).is_none() {
            let known = catalog::regions().iter().map(|region| region.name.as_str());
            let nearest = nearest(region.as_str(), known);
            return Err(LayoutError::Unknown { given: text.clone(), nearest });
        }
        if regions.contains(&region) {
            return Err(LayoutError::Twice { region });
        }
        regions.push(region);
    }
    if !(1..=MOST_REGIONS).contains(&regions.len()) {
        return Err(LayoutError::Count { given: regions.len() });
    }
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn asked(line: &str) -> LayoutArgs {
        let words = std::iter::once("dev").chain(line.split_whitespace());
        let matches = LayoutArgs::augment_args(Command::new("dev")).get_matches_from(words);
        LayoutArgs::from_arg_matches(&matches).expect("has no rules of its own")
    }

    fn settle(line: &str) -> Result<Layout, LayoutError> {
        Layout::settle(None, &asked(line))
    }

    fn agents(line: &str) -> Vec<(String, String, String)> {
        let plans = settle(line).expect("is possible").plans(Path::new("d")).expect("has names");
        let shown =
            |plan: Plan| (plan.name.to_string(), plan.region.to_string(), plan.address.to_string());
        plans.into_iter().map(shown).collect()
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
    fn two_regions_have_a_witness_in_a_third_one() {
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
    fn what_makes_no_sense_is_refused_before_anything_is_started() {
        for (line, message) in [
            (
                "--regions westeurop",
                "there is no region \"westeurop\"; the nearest are westeurope, westus, westus2",
            ),
            (
                "--regions zzyzx",
                "there is no region \"zzyzx\"; `meridian region catalogue` lists them",
            ),
            ("--regions=", "region name must not be empty"),
            ("--regions eastus,EastUS", "region eastus was given twice"),
            (
                "--regions eastus,eastus2,westus,westus2,westus3,centralus,japaneast,japanwest,uksouth,ukwest",
                "10 regions were given; 1 to 9 are possible",
            ),
            (
                "--address-base 10.0.0.0",
                "the 3 addresses after 10.0.0.0 are not all loopback addresses (127.0.0.0/8)",
            ),
            (
                "--address-base 127.255.255.254",
                "the 3 addresses after 127.255.255.254 are not all loopback addresses (127.0.0.0/8)",
            ),
            ("--client-port 7401", "port 7401 was given for two purposes"),
        ] {
            let refused = settle(line).map_err(|error| error.to_string());
            assert_eq!(refused, Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn what_the_data_directory_holds_counts_and_nothing_else_may_be_asked_for() {
        let present = settle("--regions eastus,westus --client-port 9400").expect("is possible");
        let again = |line: &str| Layout::settle(Some(present.clone()), &asked(line));
        assert_eq!(again(""), Ok(present.clone()));
        assert_eq!(again("--regions eastus,westus"), Ok(present.clone()));
        assert_eq!(
            again("--regions eastus").expect_err("differs").to_string(),
            "the data directory holds a cluster with --regions eastus,westus, and eastus was asked for"
        );
        assert_eq!(
            again("--client-port 7400").expect_err("differs").to_string(),
            "the data directory holds a cluster with --client-port 9400, and 7400 was asked for"
        );
    }

    #[test]
    fn a_layout_is_kept_as_it_is() {
        let layout = settle("").expect("is possible");
        let text = toml::to_string(&layout).expect("can be written");
        assert_eq!(toml::from_str::<Layout>(&text).expect("can be read"), layout);
    }
}
