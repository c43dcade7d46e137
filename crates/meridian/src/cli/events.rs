//! `meridian events`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;
use meridian_domain::EventType;
use meridian_domain::nearest::{did_you_mean, nearest};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::count;
use super::duration;
use super::options::{Options, ReadOptions};

const EXAMPLES: &str = "\
Examples:
  meridian events --limit 20             the newest 20 events
  meridian events --since 10m --service contoso
  meridian events --type UnitFailed,UnitReady --since 2026-11-30T08:00:00Z
  meridian events --from 120 --follow    from revision 120, then as they happen
  meridian events -o json | head -n 1    one JSON object per line

--timeout limits the time without a response, not the duration of the command.
--follow reconnects to another agent when one fails; Ctrl-C ends it.";

/// `meridian events`.
#[derive(Debug, Clone, Args)]
#[command(after_help = after_help())]
pub struct EventsArgs {
    /// Continue with new events as they happen
    #[arg(long, short)]
    pub follow: bool,
    /// Only the newest N of the selected events [default: all]
    #[arg(long, short = 'n', value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// First revision to read [default: the oldest]
    #[arg(long, value_name = "REVISION", value_parser = count::parse_revision, allow_negative_numbers = true)]
    pub from: Option<u64>,
    /// Only events since this time, such as 2026-11-30T08:00:00Z, or this long ago, such as 10m
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Only events of this service, its units included
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only events of these types, such as RegionAdded; repeat or separate with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_type)]
    pub types: Vec<String>,
    /// Options of a read.
    #[command(flatten)]
    pub read: ReadOptions,
}

impl EventsArgs {
    pub(super) fn options(&self) -> Options {
        Options { service: self.service.clone(), ..Options::from(&self.read) }
    }
}

/// The text is not the type of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such type of event{}", did_you_mean(nearest))]
struct NotAType {
    nearest: Vec<String>,
}

/// Parses the type of an event; case is ignored.
fn parse_type(text: &str) -> Result<String, NotAType> {
    let mut known = EventType::ALL.iter().map(|known| known.as_str());
    match known.clone().find(|name| name.eq_ignore_ascii_case(text)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(NotAType { nearest: nearest(text, &mut known).into_iter().take(1).collect() }),
    }
}

/// Examples, and the types of events in columns.
fn after_help() -> String {
    let rows = EventType::ALL.chunks(4).map(|row| {
        let cells: String = row.iter().map(|name| format!("  {name:<19}")).collect();
        format!("\n{}", cells.trim_end())
    });
    format!("{EXAMPLES}\n\nTypes:{}", rows.collect::<String>())
}

/// Start of a period that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// A point in time.
    Time(SystemTime),
    /// This long ago.
    Ago(Duration),
}

/// The text is neither a time nor a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a duration such as 10m, 2h or 7d, or a time such as 2026-11-30T08:00:00Z")]
pub struct NotSince;

impl Since {
    /// The point in time, if it is `now`.
    pub fn instant(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Time(time) => time,
            Self::Ago(duration) => now.checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

impl FromStr for Since {
    type Err = NotSince;

    fn from_str(text: &str) -> Result<Self, NotSince> {
        if let Some(duration) = duration::parse_any(text) {
            return Ok(Self::Ago(duration));
        }
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotSince)?;
        Ok(Self::Time(time.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    #[test]
    fn a_period_starts_at_a_time_or_before_a_duration() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago: Since = "10m".parse().expect("is a duration");
        assert_eq!(ago.instant(now), now - Duration::from_secs(600));
        let time: Since = "1970-01-01T01:00:00+01:00".parse().expect("is a time");
        assert_eq!(time.instant(now), SystemTime::UNIX_EPOCH);
        assert_eq!("7d".parse(), Ok(Since::Ago(Duration::from_secs(7 * 86_400))));
        for bad in ["", "yesterday", "2026-11-30", "10 m", "-5m"] {
            assert_eq!(bad.parse::<Since>(), Err(NotSince), "{bad}");
        }
        let (cause, _) = parse::fails("events --since yesterday");
        assert!(cause.contains("use a duration such as 10m"), "{cause}");
    }

    #[test]
    fn a_type_is_that_of_an_event_in_any_case() {
        assert_eq!(parse_type("regionadded"), Ok("RegionAdded".to_owned()));
        let (cause, _) = parse::fails("events --type RegionAded");
        assert!(cause.ends_with("did you mean RegionAdded?"), "{cause}");
    }
}
