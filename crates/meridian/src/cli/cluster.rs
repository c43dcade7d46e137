//! `meridian cluster` and `meridian agent drain`.

use std::time::Duration;

use clap::{Args, Subcommand};
use meridian_domain::Address;

use super::count;
use super::duration;
use super::options::{
    ChangeOptions, ClientOptions, ConfirmOption, Options, ReadOptions, WaitOptions,
};

/// Subcommands of `meridian cluster`.
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterCommand {
    /// List the members of the Raft group
    #[command(aliases = ["list", "ls", "member"])]
    Members(ReadOptions),
    /// Invite an agent that waits for a cluster, and wait until it is a member
    #[command(after_help = "\
Examples:
  meridian cluster join 127.0.1.4:7401
  meridian cluster join 10.0.0.4:7401 --wait --wait-timeout 2m")]
    Join(JoinArgs),
    /// Tell the members where an agent is that moved and that they do not find
    #[command(after_help = "\
An agent that restarts with another peer address tells the others itself. Use
this if it reaches none of them, for example because they moved too. The
contacted agent first identifies the agent there. No quorum is needed.

Examples:
  meridian cluster readdress eastus 10.0.0.4:7401")]
    Readdress(ReaddressArgs),
    /// Remove an agent permanently; its units move to others of its region, or stop
    #[command(visible_alias = "rm", alias = "delete")]
    Remove(RemoveAgentArgs),
    /// Transfer leadership to another voter
    TransferLeader(TransferLeaderArgs),
    /// Build a snapshot on the first reachable agent, and purge its log up to it
    Snapshot(ClientOptions),
    /// Show or change the limits of the cluster
    #[command(subcommand, alias = "limit")]
    Limits(LimitsCommand),
    /// Delete events permanently, up to a revision
    TrimHistory(TrimHistoryArgs),
}

impl ClusterCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Members(read) => read.into(),
            Self::Join(args) => Options {
                wait: args.wait,
                wait_timeout: args.wait_timeout,
                ..Options::from(&args.client)
            },
            Self::Remove(args) => {
                Options::from(&args.change).with_wait(&args.wait).with_confirm(&args.confirm)
            }
            Self::Readdress(args) => Options::from(&args.client),
            Self::TransferLeader(args) => Options::from(&args.client),
            Self::Snapshot(client) => client.into(),
            Self::Limits(LimitsCommand::Show(read)) => read.into(),
            Self::Limits(LimitsCommand::Set(args)) => Options::from(&args.change),
            Self::TrimHistory(args) => Options::from(&args.change).with_confirm(&args.confirm),
        }
    }
}

/// `meridian cluster join`.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// Peer address of the waiting agent (its peer_advertise), usually with port 7401
    #[arg(value_name = "HOST:PORT", value_parser = peer_address)]
    pub peer_address: String,
    /// Also wait until the agent has its vote, and its units are ready
    #[arg(long)]
    pub wait: bool,
    /// Maximum time to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    pub wait_timeout: Duration,
    /// Agents and output format.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// `meridian cluster readdress`.
#[derive(Debug, Clone, Args)]
pub struct ReaddressArgs {
    /// Agent that moved
    pub name: String,
    /// Its peer address (its peer_advertise), usually with port 7401
    #[arg(value_name = "HOST:PORT", value_parser = peer_address)]
    pub peer_address: String,
    /// Agents and output format.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// `meridian cluster remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveAgentArgs {
    /// Agent, or its member id of 16 hexadecimal digits
    pub name: String,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `meridian cluster transfer-leader`.
#[derive(Debug, Clone, Args)]
pub struct TransferLeaderArgs {
    /// Agent to become the leader [default: the most up-to-date voter]
    pub name: Option<String>,
    /// Agents and output format.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// `meridian cluster trim-history`.
#[derive(Debug, Clone, Args)]
pub struct TrimHistoryArgs {
    /// Last revision to delete; rounded down to the end of a segment of 4,096 events
    #[arg(long, value_name = "REVISION", value_parser = count::parse_revision, allow_negative_numbers = true)]
    pub through: u64,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Subcommands of `meridian cluster limits`.
#[derive(Debug, Clone, Subcommand)]
pub enum LimitsCommand {
    /// Show the limits
    #[command(aliases = ["list", "ls"])]
    Show(ReadOptions),
    /// Change the given limits
    Set(LimitsSetArgs),
}

/// `meridian cluster limits set`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "meridian cluster limits set [OPTIONS]")]
pub struct LimitsSetArgs {
    /// The limits.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Limits to change.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct LimitArgs {
    /// Maximum units of a region, developer tier, 1 to 1000 [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub developer_units: Option<u32>,
    /// Maximum units of a region, basic tier, 1 to 1000 [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub basic_units: Option<u32>,
    /// Maximum units of a region, standard tier, 1 to 1000 [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub standard_units: Option<u32>,
    /// Maximum units of a region, premium tier, 1 to 1000 [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub premium_units: Option<u32>,
    /// Maximum number of voters: 1, 3 or 5 [default: unchanged]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub voters: Option<u32>,
}

/// `meridian agent drain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  meridian agent drain eastus-1 --wait --yes
  meridian agent drain eastus-1 --undo")]
pub struct DrainArgs {
    /// Agent
    pub name: String,
    /// Undo a drain: allow units and a vote again
    #[arg(long)]
    pub undo: bool,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl DrainArgs {
    pub(super) fn options(&self) -> Options {
        Options::from(&self.change).with_wait(&self.wait).with_confirm(&self.confirm)
    }
}

/// The text is not a peer address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use HOST:PORT, such as 10.1.2.3:7401; 7401 is the default peer port")]
struct NotAPeerAddress;

fn peer_address(text: &str) -> Result<String, NotAPeerAddress> {
    text.parse::<Address>().map(String::from).map_err(|_| NotAPeerAddress)
}

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    #[test]
    fn an_address_without_a_port_is_refused_with_the_default_port() {
        let (cause, next) = parse::fails("cluster join 127.0.4.2");
        assert!(cause.contains("such as 10.1.2.3:7401"), "{cause}");
        assert_eq!(next, "see `meridian cluster join --help`");
    }
}
