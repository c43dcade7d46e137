//! `meridian recover`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use meridian_domain::Reason;

use super::dev::AgentEndpoint;
use super::options::{ConfirmOption, Format};

/// `meridian recover`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  meridian recover --data-dir /var/lib/meridian
  meridian recover --data-dir /var/lib/meridian \\
    --readdress eastus-1=10.9.2.4:7401 --readdress westeurope-1=10.9.1.4:7401
  meridian recover --data-dir /var/lib/meridian --force-new-cluster \\
    --reason 'both other machines burned'

The agent of the data directory must be stopped. Without other options, the
command only shows what the directory has. docs/operating.md has the steps of
each recovery.")]
pub struct RecoverArgs {
    /// Data directory of a stopped agent
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,

    /// New peer address of a member; repeat or separate with commas. The membership stays
    #[arg(long, value_name = "NAME=HOST:PORT", value_delimiter = ',')]
    pub readdress: Vec<AgentEndpoint>,

    /// Make this agent the only voter: a majority of the disks is lost for good
    #[arg(long, requires = "reason")]
    pub force_new_cluster: bool,

    /// Reason recorded in the event log, up to 256 characters
    #[arg(long, value_name = "TEXT", requires = "force_new_cluster")]
    pub reason: Option<Reason>,

    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,

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

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    #[test]
    fn a_new_cluster_needs_a_reason() {
        let (cause, _) = parse::fails("recover --data-dir d --force-new-cluster");
        assert!(cause.contains("--reason"), "{cause}");
        let (cause, _) = parse::fails("recover --data-dir d --reason x");
        assert!(cause.contains("--force-new-cluster"), "{cause}");
        parse::fails("recover");
        let (cause, _) = parse::fails("recover --data-dir d --readdress eastus-1");
        assert!(cause.contains("NAME=HOST:PORT"), "{cause}");
    }
}
