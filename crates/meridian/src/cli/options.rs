//! Option groups of the client commands. Each command flattens the groups that it takes, so its
//! help lists no others and `clap` refuses any other.

use std::time::Duration;

use clap::{Args, ValueEnum};
use meridian_domain::RequestId;

use super::{count, duration};

/// Environment variable with the endpoints, separated by commas.
pub const ENDPOINTS_VARIABLE: &str = "MERIDIAN_ENDPOINTS";

/// Endpoints of the first agents of `meridian dev`.
pub const DEFAULT_ENDPOINTS: [&str; 3] = ["127.0.1.1:7400", "127.0.1.2:7400", "127.0.1.3:7400"];

/// Default of `--wait-timeout`, as in its definition.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Format of the data on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people: sentences, and tables of at most 80 columns
    #[default]
    Table,
    /// Tables with all columns and exact times
    Wide,
    /// JSON with stable keys, for programs
    Json,
}

/// Options of every client command: which agents to use, and how to print.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientOptions {
    /// Agent to connect to; repeat or separate with commas for failover
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = ENDPOINTS_VARIABLE,
        hide_env_values = true,
        value_delimiter = ',',
        default_values = DEFAULT_ENDPOINTS,
        hide_default_value = true
    )]
    pub endpoints: Vec<String>,

    /// Timeout for all requests together, such as 500ms or 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,

    /// Output format: table, wide or json
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    pub output: Format,
}

/// Options of a command that only reads.
#[derive(Debug, Clone, Args)]
pub struct ReadOptions {
    /// Allow a stale read from the contacted agent; needs no quorum
    #[arg(long)]
    pub stale: bool,

    /// Agents and output format.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Selects the service of a command.
#[derive(Debug, Clone, Args)]
pub struct ServiceOption {
    /// Service [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Options of a command that reads one service.
#[derive(Debug, Clone, Args)]
pub struct ServiceReadOptions {
    /// The service.
    #[command(flatten)]
    pub service: ServiceOption,
    /// Consistency, agents and output format.
    #[command(flatten)]
    pub read: ReadOptions,
}

/// Confirmation of a destructive command.
#[derive(Debug, Clone, Args)]
pub struct ConfirmOption {
    /// Skip confirmation [default: ask on a terminal, refuse elsewhere]
    #[arg(long)]
    pub yes: bool,
}

/// Options of every change.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change options")]
pub struct ChangeOptions {
    /// Print what the change would do, without making it
    #[arg(long, conflicts_with = "request_id")]
    pub dry_run: bool,

    /// Reason recorded in the event log, up to 256 characters
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Retry an earlier request: it happens at most once
    #[arg(long, value_name = "UUIDv7")]
    pub request_id: Option<RequestId>,

    /// Agents and output format.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Waiting for the effect of a change.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change options")]
pub struct WaitOptions {
    /// Wait until what the change touched has converged
    #[arg(long)]
    pub wait: bool,

    /// Maximum time to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    pub wait_timeout: Duration,
}

/// Optimistic concurrency control of a change to a service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change options")]
pub struct ExpectOption {
    /// Fail if the service is not at this revision [default: no check]
    #[arg(
        long,
        value_name = "REVISION",
        value_parser = count::parse_revision,
        allow_negative_numbers = true
    )]
    pub expect_revision: Option<u64>,
}

/// Options of a change to one service.
#[derive(Debug, Clone, Args)]
pub struct ServiceChangeOptions {
    /// The service.
    #[command(flatten)]
    pub service: ServiceOption,
    /// Its expected revision.
    #[command(flatten)]
    pub expect: ExpectOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Options in effect for one client command. Those that the command does not take have their
/// defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Endpoints, as given.
    pub endpoints: Vec<String>,
    /// Timeout of all requests together.
    pub timeout: Duration,
    /// Output format.
    pub output: Format,
    /// Service named by `--service`.
    pub service: Option<String>,
    /// Set to allow stale reads.
    pub stale: bool,
    /// Set to skip confirmation.
    pub yes: bool,
    /// Reason for the event log.
    pub reason: Option<String>,
    /// Expected revision of the service.
    pub expect_revision: Option<u64>,
    /// Set to change nothing.
    pub dry_run: bool,
    /// Request id of an earlier attempt.
    pub request_id: Option<RequestId>,
    /// Set to wait for the effect of a change.
    pub wait: bool,
    /// Maximum time to wait.
    pub wait_timeout: Duration,
}

impl From<&ClientOptions> for Options {
    fn from(given: &ClientOptions) -> Self {
        Self {
            endpoints: given.endpoints.clone(),
            timeout: given.timeout,
            output: given.output,
            wait_timeout: WAIT_TIMEOUT,
            ..Self::default()
        }
    }
}

impl From<&ReadOptions> for Options {
    fn from(given: &ReadOptions) -> Self {
        Self { stale: given.stale, ..Self::from(&given.client) }
    }
}

impl From<&ServiceReadOptions> for Options {
    fn from(given: &ServiceReadOptions) -> Self {
        Self { service: given.service.service.clone(), ..Self::from(&given.read) }
    }
}

impl From<&ChangeOptions> for Options {
    fn from(given: &ChangeOptions) -> Self {
        Self {
            dry_run: given.dry_run,
            reason: given.reason.clone(),
            request_id: given.request_id,
            ..Self::from(&given.client)
        }
    }
}

impl From<&ServiceChangeOptions> for Options {
    fn from(given: &ServiceChangeOptions) -> Self {
        let options = Self::from(&given.change).with_wait(&given.wait).with_expect(&given.expect);
        Self { service: given.service.service.clone(), ..options }
    }
}

impl Options {
    /// Adds the options of waiting.
    pub(super) fn with_wait(self, given: &WaitOptions) -> Self {
        Self { wait: given.wait, wait_timeout: given.wait_timeout, ..self }
    }

    /// Adds the expected revision.
    pub(super) fn with_expect(self, given: &ExpectOption) -> Self {
        Self { expect_revision: given.expect_revision, ..self }
    }

    /// Adds the confirmation.
    pub(super) fn with_confirm(self, given: &ConfirmOption) -> Self {
        Self { yes: given.yes, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    #[test]
    fn options_are_accepted_before_and_after_the_command() {
        for line in [
            "--endpoint a:1 --timeout 2s -o json --service s --yes --reason r region remove eastus",
            "region --endpoint a:1 --timeout 2s -o json --service s --yes --reason r remove eastus",
            "region remove eastus --endpoint a:1 --timeout 2s -o json --service s --yes --reason r",
            "region remove --endpoint a:1 -ojson --timeout=2 eastus --service=s --yes --reason=r",
        ] {
            let options = parse::options(line);
            assert_eq!(options.endpoints, ["a:1"], "{line}");
            assert_eq!(options.timeout, Duration::from_secs(2), "{line}");
            assert_eq!(options.output, Format::Json, "{line}");
            assert_eq!(options.service.as_deref(), Some("s"), "{line}");
            assert_eq!(options.reason.as_deref(), Some("r"), "{line}");
            assert!(options.yes, "{line}");
        }
    }

    #[test]
    fn options_that_are_not_given_have_their_defaults() {
        for line in ["status", "region add a", "cluster snapshot"] {
            let options = parse::options(line);
            assert_eq!(options.timeout, Duration::from_secs(5), "{line}");
            assert_eq!(options.wait_timeout, WAIT_TIMEOUT, "{line}");
            assert_eq!(options.output, Format::Table, "{line}");
            assert_eq!(options.service, None, "{line}");
            assert!(!options.stale && !options.yes && !options.wait && !options.dry_run, "{line}");
        }
    }

    #[test]
    fn endpoints_are_repeated_or_separated_by_commas() {
        for line in ["status --endpoint a:1 --endpoint b:2", "status --endpoint a:1,b:2"] {
            assert_eq!(parse::options(line).endpoints, ["a:1", "b:2"], "{line}");
        }
    }

    #[test]
    fn invalid_values_are_refused() {
        for line in [
            "status --timeout 0",
            "status -o xml",
            "region remove a --request-id 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "region remove a --dry-run --request-id 01932f5e-8b1a-7c3d-9e4f-0123456789ab",
            "region remove a --expect-revision -1",
        ] {
            parse::fails(line);
        }
    }

    #[test]
    fn an_option_that_the_command_does_not_take_is_refused() {
        for (line, option) in [
            ("--dry-run cluster transfer-leader", "--dry-run"),
            ("service list --expect-revision 3", "--expect-revision"),
            ("cluster remove a --expect-revision 3", "--expect-revision"),
            ("status --reason x", "--reason"),
            ("region add eastus --stale", "--stale"),
            ("cluster members --service a", "--service"),
            ("unit roll --expect-revision 3", "--expect-revision"),
            ("api list --reason x", "--reason"),
            ("api remove a --stale", "--stale"),
            ("region define mars --display-name M --latitude 1 --longitude 1 --wait", "--wait"),
        ] {
            let (cause, _) = parse::fails(line);
            assert!(cause.ends_with(&format!("has no option {option}")), "{line}: {cause}");
        }
    }

    #[test]
    fn options_that_the_command_takes_are_accepted() {
        for line in [
            "region add eastus --service a --reason x --expect-revision 3 --wait --yes",
            "service delete a --expect-revision 3 --dry-run",
            "region list --service a --stale",
            "service show --service a --stale",
            "events --stale --yes",
            "api show a --service b --stale",
            "api publish a --path /a --backend http://a --service b --expect-revision 3 --wait",
            "api remove a --service b --reason x --dry-run --yes",
            "unit roll --service a --region b --reason x --wait",
            "unit list --service a",
        ] {
            parse::options(line);
        }
    }
}
