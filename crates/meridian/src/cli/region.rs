//! `meridian region`.

use clap::{ArgGroup, Args, Subcommand};

use super::count;
use super::edit::RegionEdit;

/// What can be done with regions.
#[derive(Debug, Clone, Subcommand)]
pub enum RegionCommand {
    /// List the regions that a service can be deployed to
    Catalogue {
        /// Only regions with this in their name; capitals and blanks do not count [default: all]
        filter: Option<String>,
    },
    /// List the regions of a service: what is wanted there, and what is ready
    List,
    /// Add a region to a service
    #[command(after_help = "\
Examples:
  meridian region add eastus --units 2
  meridian region add \"West Europe\" --units 3 --zones 1,2,3 --wait")]
    Add(AddArgs),
    /// Change the units or the zones of a service's region
    #[command(after_help = "\
Examples:
  meridian region scale eastus --units 4
  meridian region scale eastus --units 4 --zones none")]
    Scale(ScaleArgs),
    /// Remove a region from a service; its units drain and stop
    Remove {
        /// The region, as `westeurope` or "West Europe"
        region: String,
    },
    /// Make a region the primary one
    Promote {
        /// The region, as `westeurope` or "West Europe"
        region: String,
    },
    /// Serve callers in a region
    Enable {
        /// The region, as `westeurope` or "West Europe"
        region: String,
    },
    /// Serve no callers in a region, and keep its units
    Disable {
        /// The region, as `westeurope` or "West Europe"
        region: String,
    },
    /// Make several edits in one save: all of them happen, or none
    #[command(after_help = "\
Examples:
  meridian region set westeurope=3 eastus=2 -southeastasia
  meridian region set \"West Europe=3\" --expect-revision 17 --dry-run")]
    Set {
        /// REGION=UNITS adds or scales a region, -REGION removes one
        #[arg(required = true, value_name = "REGION=UNITS|-REGION")]
        edits: Vec<RegionEdit>,
    },
    /// Add a region of your own to the catalogue, or move one
    Define(DefineArgs),
}

/// `meridian region add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// The region, as `westeurope` or "West Europe"
    pub region: String,
    /// The units wanted there
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::parse, allow_negative_numbers = true)]
    pub units: u32,
    /// The zones to spread them over, each 1 to 9, such as 1,2,3 [default: none]
    #[arg(long, value_name = "ZONES", value_parser = parse_zones)]
    pub zones: Option<ZoneList>,
}

/// `meridian region scale`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("what changes").required(true).multiple(true).args(["units", "zones"])))]
pub struct ScaleArgs {
    /// The region, as `westeurope` or "West Europe"
    pub region: String,
    /// The units wanted there [default: as they are]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub units: Option<u32>,
    /// The zones to spread them over, such as 1,2,3, or none [default: as they are]
    #[arg(long, value_name = "ZONES", value_parser = parse_zones)]
    pub zones: Option<ZoneList>,
}

/// Zones as they were typed. An alias would make `clap` read one value per number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneList(pub Vec<u32>);

/// `meridian region define`.
#[derive(Debug, Clone, Args)]
pub struct DefineArgs {
    /// Its short name: lower-case letters, digits and hyphens
    pub name: String,
    /// The name that people read
    #[arg(long, value_name = "TEXT")]
    pub display_name: String,
    /// Degrees north of the equator
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub latitude: f64,
    /// Degrees east of Greenwich
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub longitude: f64,
}

/// The text is not a list of zones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use numbers separated by commas, such as 1,2,3, or none")]
struct NotZones;

fn parse_zones(text: &str) -> Result<ZoneList, NotZones> {
    if text == "none" {
        return Ok(ZoneList(Vec::new()));
    }
    let zones: Result<_, _> = text.split(',').map(str::parse).collect();
    zones.map(ZoneList).map_err(|_| NotZones)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::{Cli, ClientCommand, Command, GlobalArgs};

    fn region(line: &[&str]) -> (GlobalArgs, RegionCommand) {
        let words = ["meridian"].iter().chain(line).map(OsString::from);
        let cli = Cli::from_arguments(words).unwrap_or_else(|_| panic!("{line:?}"));
        match cli.command {
            Command::Client(ClientCommand::Region(command)) => (cli.global, command),
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn region_set_takes_removals_and_the_flags_around_them() {
        for line in [
            &["region", "set", "a=1", "-b", "--yes", "-o", "json"][..],
            &["region", "set", "--yes", "a=1", "-ojson", "-b"],
            &["--yes", "-o", "json", "region", "set", "a=1", "-b"],
            &["region", "--yes", "set", "-o=json", "a=1", "--", "-b"],
        ] {
            let (global, command) = region(line);
            let RegionCommand::Set { edits } = command else { panic!("{line:?}: {command:?}") };
            assert_eq!(
                edits,
                [
                    RegionEdit::Set { region: "a".to_owned(), units: 1 },
                    RegionEdit::Remove { region: "b".to_owned() }
                ],
                "{line:?}"
            );
            assert!(global.yes, "{line:?}");
            assert_eq!(global.output, crate::cli::Format::Json, "{line:?}");
        }
    }

    #[test]
    fn regions_may_be_written_as_people_write_them() {
        let (_, command) = region(&["region", "set", "West Europe=3", "-East US"]);
        let RegionCommand::Set { edits } = command else { panic!("{command:?}") };
        assert_eq!(edits[1], RegionEdit::Remove { region: "East US".to_owned() });
    }

    #[test]
    fn zones_are_numbers_or_none() {
        assert_eq!(parse_zones("1,2,3"), Ok(ZoneList(vec![1, 2, 3])));
        assert_eq!(parse_zones("none"), Ok(ZoneList(vec![])));
        assert_eq!(parse_zones("1,x"), Err(NotZones));
        let (_, command) = region(&["region", "add", "a", "--units", "3", "--zones", "1,2,3"]);
        let RegionCommand::Add(args) = command else { panic!("{command:?}") };
        assert_eq!((args.units, args.zones), (3, Some(ZoneList(vec![1, 2, 3]))));
    }

    #[test]
    fn scaling_needs_something_to_change() {
        let words = ["meridian", "region", "scale", "eastus"].map(OsString::from);
        assert!(Cli::from_arguments(words.into_iter()).is_err());
        let (_, command) = region(&["region", "scale", "eastus", "--zones", "none"]);
        let RegionCommand::Scale(args) = command else { panic!("{command:?}") };
        assert_eq!((args.units, args.zones), (None, Some(ZoneList(vec![]))));
    }

    #[test]
    fn a_region_may_lie_south_and_west() {
        let line = ["region", "define", "x", "--display-name", "X", "--latitude", "-33.5"];
        let (_, command) = region(&[&line[..], &["--longitude", "-70.25"]].concat());
        let RegionCommand::Define(args) = command else { panic!("{command:?}") };
        assert_eq!((args.latitude, args.longitude), (-33.5, -70.25));
    }
}
