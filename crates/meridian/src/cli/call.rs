//! `meridian call`.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use meridian_domain::ServiceName;

use super::duration;
use super::options::{Options, ReadOptions};

/// `meridian call`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The name of the service is resolved by the name servers of the agents, as often
as a client would: once its time to live has passed, and after each failure.
Each call has its own connection. It fails without a response within 2 s, and
with a status of 500 or more. Exits with 1 if a call failed.

Examples:
  meridian call contoso/echo
  meridian call contoso/echo --near eastus --every 200ms")]
pub struct CallArgs {
    /// Service and path, such as contoso/echo
    #[arg(value_name = "SERVICE/PATH")]
    pub destination: Destination,
    /// Ask the name servers of this region first, as its clients do
    #[arg(long, value_name = "REGION")]
    pub near: Option<String>,
    /// Call at this interval, such as 200ms, until Ctrl-C or --count
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub every: Option<Duration>,
    /// Number of calls [default: 1; with --every until Ctrl-C], one per second without --every
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Options of a read.
    #[command(flatten)]
    pub read: ReadOptions,
}

impl CallArgs {
    pub(super) fn options(&self) -> Options {
        Options::from(&self.read)
    }
}

/// What to call: a path of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The service.
    pub service: ServiceName,
    /// The path, with its leading slash.
    pub path: String,
}

/// The text is not a service with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use SERVICE/PATH, such as contoso/echo")]
pub struct NotADestination;

impl FromStr for Destination {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, NotADestination> {
        let (service, path) = text.split_once('/').unwrap_or((text, ""));
        let service = ServiceName::new(service).map_err(|_| NotADestination)?;
        let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        let path = path.bytes().all(is_visible).then(|| format!("/{path}"));
        Ok(Self { service, path: path.ok_or(NotADestination)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_service_with_a_path() {
        for (text, service, path) in [
            ("contoso/echo", "contoso", "/echo"),
            ("contoso", "contoso", "/"),
            ("a/b?c=d", "a", "/b?c=d"),
        ] {
            let parsed: Destination = text.parse().expect("is a destination");
            assert_eq!((parsed.service.as_str(), parsed.path.as_str()), (service, path));
        }
        for bad in ["", "/echo", "http://contoso/echo", "contoso/a b", "contoso/a#b", "Contoso/a"] {
            assert_eq!(bad.parse::<Destination>(), Err(NotADestination), "{bad}");
        }
    }
}
