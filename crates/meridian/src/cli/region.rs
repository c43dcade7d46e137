//! `meridian region`.

use clap::{ArgGroup, Args, Subcommand};
use meridian_domain::limits::{MAX_PRIORITY, MAX_WEIGHT};

use super::count::{self, UnitCount};
use super::edit::RegionEdit;
use super::options::{
    ChangeOptions, ConfirmOption, Options, ReadOptions, ServiceChangeOptions, ServiceReadOptions,
};

/// Subcommands of `meridian region`.
#[derive(Debug, Clone, Subcommand)]
pub enum RegionCommand {
    /// List all regions that a service can use
    #[command(alias = "catalogue")]
    Catalog(CatalogArgs),
    /// List the regions of a service with their desired and ready units
    #[command(visible_alias = "ls")]
    List(ServiceReadOptions),
    /// Add a region to a service
    #[command(after_help = "\
Examples:
  meridian region add eastus --units 2
  meridian region add \"West Europe\" --units 3 --zones 1,2,3 --wait")]
    Add(AddArgs),
    /// Change the units, zones or preference of a region of a service
    #[command(after_help = "\
Examples:
  meridian region scale eastus --units 4
  meridian region scale eastus --units +1
  meridian region scale eastus --units 4 --zones none
  meridian region scale eastus --weight 0")]
    Scale(ScaleArgs),
    /// Remove a region from a service; its units drain and stop
    #[command(visible_alias = "rm", alias = "delete")]
    Remove(ConfirmedRegionArgs),
    /// Make a region the primary region of a service
    Promote(RegionArgs),
    /// Enable the gateway in a region
    Enable(RegionArgs),
    /// Disable the gateway in a region; its units keep running
    Disable(ConfirmedRegionArgs),
    /// Edit several regions in one change, all or nothing
    #[command(after_help = "\
Examples:
  meridian region set westeurope=3 eastus=+1 -southeastasia
  meridian region set \"West Europe=3\" --expect-revision 17 --dry-run")]
    Set(SetArgs),
    /// Add a custom region to the catalog, or update one
    Define(DefineArgs),
}

impl RegionCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Catalog(args) => Options::from(&args.read),
            Self::List(options) => options.into(),
            Self::Add(args) => Options::from(&args.options),
            Self::Scale(args) => Options::from(&args.options),
            Self::Promote(args) | Self::Enable(args) => Options::from(&args.options),
            Self::Remove(args) | Self::Disable(args) => {
                Options::from(&args.options).with_confirm(&args.confirm)
            }
            Self::Set(args) => Options::from(&args.options).with_confirm(&args.confirm),
            Self::Define(args) => Options::from(&args.change),
        }
    }
}

/// `meridian region catalog`.
#[derive(Debug, Clone, Args)]
pub struct CatalogArgs {
    /// Part of a name; case and spaces are ignored [default: all regions]
    pub filter: Option<String>,
    /// Options of a read.
    #[command(flatten)]
    pub read: ReadOptions,
}

/// A command about one region of a service.
#[derive(Debug, Clone, Args)]
pub struct RegionArgs {
    /// Region, such as westeurope or "West Europe"
    pub region: String,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// A command about one region of a service that asks for confirmation.
#[derive(Debug, Clone, Args)]
pub struct ConfirmedRegionArgs {
    /// Region, such as westeurope or "West Europe"
    pub region: String,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// `meridian region add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// Region, such as westeurope or "West Europe"
    pub region: String,
    /// Number of units
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::parse, allow_negative_numbers = true)]
    pub units: u32,
    /// Zones to spread the units over, each 1 to 9, such as 1,2,3 [default: none]
    #[arg(long, value_name = "ZONES", value_parser = parse_zones)]
    pub zones: Option<ZoneList>,
    /// Preference.
    #[command(flatten)]
    pub preference: PreferenceArgs,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// Preference of clients for a region.
#[derive(Debug, Clone, Default, Args)]
pub struct PreferenceArgs {
    /// Priority for `service update --routing priority`: 1, the highest, to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_PRIORITY.into()))]
    pub priority: Option<u16>,
    /// Weight for `service update --routing weighted`, 0 to 1000; 0 for no clients while another
    /// region serves
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=MAX_WEIGHT.into()))]
    pub weight: Option<u16>,
}

/// `meridian region scale`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "meridian region scale [OPTIONS] <REGION>")]
#[command(group(ArgGroup::new("changes").required(true).multiple(true).args(["units", "zones", "priority", "weight"])))]
pub struct ScaleArgs {
    /// Region, such as westeurope or "West Europe"
    pub region: String,
    /// Number of units, or +N or -N relative to the current number [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse_units, allow_negative_numbers = true)]
    pub units: Option<UnitCount>,
    /// Zones to spread the units over, such as 1,2,3, or none [default: unchanged]
    #[arg(long, value_name = "ZONES", value_parser = parse_zones)]
    pub zones: Option<ZoneList>,
    /// Preference.
    #[command(flatten)]
    pub preference: PreferenceArgs,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// `meridian region set`.
#[derive(Debug, Clone, Args)]
pub struct SetArgs {
    /// REGION=UNITS adds or scales a region, REGION=+N or REGION=-N scales it relative to its
    /// current units, -REGION removes it
    #[arg(required = true, value_name = "EDIT")]
    pub edits: Vec<RegionEdit>,
    /// Preference of the regions that are not removed.
    #[command(flatten)]
    pub preference: PreferenceArgs,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// List of zones. A separate type, because `clap` would parse a bare `Vec` as one value per zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneList(pub Vec<u32>);

/// `meridian region define`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "\
meridian region define [OPTIONS] --display-name <TEXT>
           --latitude <DEGREES> --longitude <DEGREES> <NAME>")]
pub struct DefineArgs {
    /// Short name: lowercase letters, digits and hyphens
    pub name: String,
    /// Display name
    #[arg(long, value_name = "TEXT")]
    pub display_name: String,
    /// Degrees north of the equator
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub latitude: f64,
    /// Degrees east of Greenwich
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub longitude: f64,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The text is not a list of zones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use zone numbers separated by commas, such as 1,2,3, or none")]
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
    use super::*;
    use crate::cli::{ClientCommand, Format, parse};

    fn region(line: &[&str]) -> (Options, RegionCommand) {
        match parse::words(line) {
            ClientCommand::Region(command) => (command.options(), command),
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn region_set_accepts_removals_and_options_in_any_order() {
        for line in [
            &["region", "set", "a=1", "-b", "--yes", "-o", "json"][..],
            &["region", "set", "--yes", "a=1", "-ojson", "-b"],
            &["--yes", "-o", "json", "region", "set", "a=1", "-b"],
            &["region", "--yes", "set", "-o=json", "a=1", "--", "-b"],
            &["regions", "set", "a=1", "-b", "--yes", "-o", "json"],
        ] {
            let (options, command) = region(line);
            let RegionCommand::Set(args) = command else { panic!("{line:?}: {command:?}") };
            assert_eq!(
                args.edits,
                [
                    RegionEdit::Set { region: "a".to_owned(), units: UnitCount::Exact(1) },
                    RegionEdit::Remove { region: "b".to_owned() }
                ],
                "{line:?}"
            );
            assert!(options.yes, "{line:?}");
            assert_eq!(options.output, Format::Json, "{line:?}");
        }
    }

    #[test]
    fn a_region_may_be_given_by_its_display_name() {
        let (_, command) = region(&["region", "set", "West Europe=3", "-East US"]);
        let RegionCommand::Set(args) = command else { panic!("{command:?}") };
        assert_eq!(args.edits[1], RegionEdit::Remove { region: "East US".to_owned() });
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
    fn scaling_requires_units_or_zones() {
        parse::fails("region scale eastus");
        let (_, command) = region(&["region", "scale", "eastus", "--zones", "none"]);
        let RegionCommand::Scale(args) = command else { panic!("{command:?}") };
        assert_eq!((args.units, args.zones), (None, Some(ZoneList(vec![]))));
    }

    #[test]
    fn a_signed_number_of_units_is_relative() {
        for (line, delta) in [
            (&["region", "scale", "eastus", "--units", "+1"][..], 1),
            (&["region", "scale", "eastus", "--units=+1"], 1),
            (&["region", "scale", "eastus", "--units", "-1"], -1),
            (&["region", "scale", "--units", "-2", "eastus"], -2),
        ] {
            let (_, command) = region(line);
            let RegionCommand::Scale(args) = command else { panic!("{line:?}: {command:?}") };
            assert_eq!(args.units, Some(UnitCount::Relative(delta)), "{line:?}");
        }
    }

    #[test]
    fn coordinates_may_be_negative() {
        let line = ["region", "define", "x", "--display-name", "X", "--latitude", "-33.5"];
        let (_, command) = region(&[&line[..], &["--longitude", "-70.25"]].concat());
        let RegionCommand::Define(args) = command else { panic!("{command:?}") };
        assert_eq!((args.latitude, args.longitude), (-33.5, -70.25));
    }
}
