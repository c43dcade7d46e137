//! The flags that stand before or after any client command.

use std::time::Duration;

use clap::{Args, ValueEnum};
use meridian_domain::RequestId;

use super::{count, duration};

/// The environment variable that names the endpoints.
pub const ENDPOINTS_VARIABLE: &str = "MERIDIAN_ENDPOINTS";

/// Where `meridian dev` puts the first agents.
pub const DEFAULT_ENDPOINTS: [&str; 3] = ["127.0.1.1:7400", "127.0.1.2:7400", "127.0.1.3:7400"];

/// How data is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    Table,
    /// JSON with stable keys, for programs
    Json,
}

/// Flags of the client commands. Which of them a command takes is in [`super::scope`].
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client options")]
pub struct GlobalArgs {
    /// An agent to ask, with or without http://; may be given several times or with commas. The
    /// next one is asked where one does not answer
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        global = true,
        env = ENDPOINTS_VARIABLE,
        value_delimiter = ',',
        default_values = DEFAULT_ENDPOINTS
    )]
    pub endpoints: Vec<String>,

    /// How long the whole call may take, over all endpoints: 500ms, 5s, 1m
    #[arg(long, value_name = "TIME", global = true, default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,

    /// How data is printed
    #[arg(short, long, value_name = "FORMAT", global = true, default_value = "table")]
    pub output: Format,

    /// The service that the command is about [default: the only one there is; `unit list`: all]
    #[arg(long, value_name = "NAME", global = true)]
    pub service: Option<String>,

    /// Read what the asked agent has, however old; needs no majority [default: read what is
    /// acknowledged]
    #[arg(long, global = true)]
    pub stale: bool,

    /// Do not ask before a command that takes something away [default: ask on a terminal, refuse
    /// elsewhere]
    #[arg(long, global = true)]
    pub yes: bool,

    /// Why, for the event log: at most 256 characters [default: none]
    #[arg(long, value_name = "TEXT", global = true, help_heading = "Change options")]
    pub reason: Option<String>,

    /// Refuse the change if the service was changed after this revision of it [default: do not
    /// check]
    #[arg(
        long,
        value_name = "N",
        global = true,
        value_parser = count::parse_revision,
        allow_negative_numbers = true,
        help_heading = "Change options"
    )]
    pub expect_revision: Option<u64>,

    /// Print what would happen, and change nothing
    #[arg(long, global = true, conflicts_with = "request_id", help_heading = "Change options")]
    pub dry_run: bool,

    /// Ask again for the change with this id; it happens once [default: a new id]
    #[arg(long, value_name = "UUIDv7", global = true, help_heading = "Change options")]
    pub request_id: Option<RequestId>,

    /// Wait until what was changed has converged
    #[arg(long, global = true, help_heading = "Change options")]
    pub wait: bool,

    /// How long to wait, with --wait and in `cluster join`
    #[arg(
        long,
        value_name = "TIME",
        global = true,
        default_value = "60s",
        value_parser = duration::parse,
        help_heading = "Change options"
    )]
    pub wait_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn global(line: &str) -> GlobalArgs {
        let words = std::iter::once("meridian").chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).global
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [
            "--endpoint a:1 --timeout 2s -o json --service s --yes --reason r region remove eastus",
            "region --endpoint a:1 --timeout 2s -o json --service s --yes --reason r remove eastus",
            "region remove eastus --endpoint a:1 --timeout 2s -o json --service s --yes --reason r",
            "region remove --endpoint a:1 -ojson --timeout=2 eastus --service=s --yes --reason=r",
        ] {
            let flags = global(line);
            assert_eq!(flags.endpoints, ["a:1"], "{line}");
            assert_eq!(flags.timeout, Duration::from_secs(2), "{line}");
            assert_eq!(flags.output, Format::Json, "{line}");
            assert_eq!(flags.service.as_deref(), Some("s"), "{line}");
            assert_eq!(flags.reason.as_deref(), Some("r"), "{line}");
            assert!(flags.yes, "{line}");
        }
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let flags = global("status");
        assert_eq!(flags.timeout, Duration::from_secs(5));
        assert_eq!(flags.wait_timeout, Duration::from_secs(60));
        assert_eq!(flags.output, Format::Table);
        assert_eq!(flags.service, None);
        assert!(!flags.stale && !flags.yes && !flags.wait && !flags.dry_run);
    }

    #[test]
    fn endpoints_are_repeated_or_separated_by_commas() {
        for line in ["status --endpoint a:1 --endpoint b:2", "status --endpoint a:1,b:2"] {
            assert_eq!(global(line).endpoints, ["a:1", "b:2"], "{line}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for line in [
            "status --timeout 0",
            "status -o xml",
            "region remove a --request-id 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "region remove a --dry-run --request-id 01932f5e-8b1a-7c3d-9e4f-0123456789ab",
            "region remove a --expect-revision -1",
        ] {
            let words = std::iter::once("meridian").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
