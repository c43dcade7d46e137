//! `meridian cluster` and `meridian agent drain`.

use clap::{Args, Subcommand};
use meridian_domain::Address;

use super::count;

/// What can be done with the cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterCommand {
    /// List the members of the Raft group
    Members,
    /// Invite an agent that waits without a cluster, and wait until it is a member
    #[command(after_help = "\
Examples:
  meridian cluster join 127.0.1.4:7401
  meridian cluster join 10.0.0.4:7401 --wait --wait-timeout 2m    # until it votes, if it is to")]
    Join {
        /// Where the waiting agent listens to other agents: its peer_advertise, with the port 7401
        /// unless that is configured otherwise
        #[arg(value_name = "HOST:PORT", value_parser = peer_address)]
        peer_address: String,
    },
    /// Forget an agent for good; its units are placed on others of its region, or stop
    Remove {
        /// The agent's name, or its member id of 16 hexadecimal digits
        name: String,
    },
    /// Hand leadership to another voter
    TransferLeader {
        /// The agent to lead [default: the most up to date voter]
        name: Option<String>,
    },
    /// Build a snapshot on the first agent that can be reached, and purge its log up to it
    Snapshot,
    /// The limits that hold in the whole cluster
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Forget the events up to a revision, for good
    TrimHistory {
        /// The last revision to forget; rounded down to the end of a segment of 4,096 events
        #[arg(long, value_name = "REVISION", value_parser = count::parse_revision, allow_negative_numbers = true)]
        through: u64,
    },
}

/// What can be done with the limits.
#[derive(Debug, Clone, Subcommand)]
pub enum LimitsCommand {
    /// Show the limits
    Show,
    /// Change limits; those not named stay as they are
    Set(LimitsSetArgs),
}

/// `meridian cluster limits set`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct LimitsSetArgs {
    /// Most units of a location in the developer tier, 1 to 1000 [default: as it is]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub developer_units: Option<u32>,
    /// Most units of a location in the basic tier, 1 to 1000 [default: as it is]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub basic_units: Option<u32>,
    /// Most units of a location in the standard tier, 1 to 1000 [default: as it is]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub standard_units: Option<u32>,
    /// Most units of a location in the premium tier, 1 to 1000 [default: as it is]
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    pub premium_units: Option<u32>,
    /// Most voters: 1, 3 or 5 [default: as it is]
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
    /// The agent
    pub name: String,
    /// Let a drained agent have units and a vote again
    #[arg(long)]
    pub undo: bool,
}

/// The text is not the address of an agent's port for other agents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use HOST:PORT, such as 10.1.2.3:7401; 7401 is the port for other agents by default")]
struct NotAPeerAddress;

fn peer_address(text: &str) -> Result<String, NotAPeerAddress> {
    text.parse::<Address>().map(String::from).map_err(|_| NotAPeerAddress)
}

#[cfg(test)]
mod tests {
    use crate::cli::usage;

    #[test]
    fn an_address_without_its_port_is_refused_with_the_port_that_agents_have() {
        let (cause, next) = usage::lines(&["cluster", "join", "127.0.4.2"]);
        assert!(cause.contains("such as 10.1.2.3:7401"), "{cause}");
        assert_eq!(next, "see `meridian cluster join --help`");
    }
}
