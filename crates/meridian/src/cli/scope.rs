//! Which of the global flags each command takes. A flag without meaning is refused, not ignored:
//! whoever adds `--dry-run` or `--expect-revision` relies on it.

use super::{
    ApiCommand, ClientCommand, ClusterCommand, GlobalArgs, LimitsCommand, RegionCommand,
    ServiceCommand, UnitCommand,
};

/// A flag that only some commands take. The others, such as `--timeout`, change no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Service,
    Stale,
    Reason,
    DryRun,
    RequestId,
    ExpectRevision,
    Wait,
}

/// A flag was given to a command that does not know what to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{flag} has no meaning for this command")]
pub struct FlagWithoutMeaning {
    /// The flag.
    pub flag: &'static str,
}

impl Flag {
    const READ: &[Self] = &[Self::Stale];
    const READ_OF_SERVICE: &[Self] = &[Self::Stale, Self::Service];
    const CHANGE: &[Self] = &[Self::Reason, Self::DryRun, Self::RequestId];
    const CHANGE_AND_WAIT: &[Self] = &[Self::Reason, Self::DryRun, Self::RequestId, Self::Wait];
    const CHANGE_OF_NAMED_SERVICE: &[Self] =
        &[Self::Reason, Self::DryRun, Self::RequestId, Self::Wait, Self::ExpectRevision];
    const CHANGE_OF_UNITS: &[Self] =
        &[Self::Reason, Self::DryRun, Self::RequestId, Self::Wait, Self::Service];
    const CHANGE_OF_SERVICE: &[Self] = &[
        Self::Reason,
        Self::DryRun,
        Self::RequestId,
        Self::Wait,
        Self::ExpectRevision,
        Self::Service,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Service => "--service",
            Self::Stale => "--stale",
            Self::Reason => "--reason",
            Self::DryRun => "--dry-run",
            Self::RequestId => "--request-id",
            Self::ExpectRevision => "--expect-revision",
            Self::Wait => "--wait",
        }
    }
}

impl GlobalArgs {
    /// Refuses a flag that has no meaning for `command`.
    ///
    /// # Errors
    /// The first such flag.
    pub fn check_scope(&self, command: &ClientCommand) -> Result<(), FlagWithoutMeaning> {
        let given = [
            (Flag::Service, self.service.is_some()),
            (Flag::Stale, self.stale),
            (Flag::Reason, self.reason.is_some()),
            (Flag::DryRun, self.dry_run),
            (Flag::RequestId, self.request_id.is_some()),
            (Flag::ExpectRevision, self.expect_revision.is_some()),
            (Flag::Wait, self.wait),
        ];
        let accepted = accepted(command);
        match given.into_iter().find(|(flag, given)| *given && !accepted.contains(flag)) {
            Some((flag, _)) => Err(FlagWithoutMeaning { flag: flag.name() }),
            None => Ok(()),
        }
    }
}

fn accepted(command: &ClientCommand) -> &'static [Flag] {
    match command {
        ClientCommand::Service(command) => match command {
            ServiceCommand::List => Flag::READ,
            ServiceCommand::Show { .. } => Flag::READ_OF_SERVICE,
            ServiceCommand::Create(_) => Flag::CHANGE_AND_WAIT,
            ServiceCommand::Update(_) | ServiceCommand::Delete { .. } => {
                Flag::CHANGE_OF_NAMED_SERVICE
            }
        },
        ClientCommand::Region(command) => match command {
            RegionCommand::Catalogue { .. } => Flag::READ,
            RegionCommand::List => Flag::READ_OF_SERVICE,
            RegionCommand::Define(_) => Flag::CHANGE,
            RegionCommand::Add(_)
            | RegionCommand::Scale(_)
            | RegionCommand::Remove { .. }
            | RegionCommand::Promote { .. }
            | RegionCommand::Enable { .. }
            | RegionCommand::Disable { .. }
            | RegionCommand::Set { .. } => Flag::CHANGE_OF_SERVICE,
        },
        ClientCommand::Api(command) => match command {
            ApiCommand::List | ApiCommand::Show { .. } => Flag::READ_OF_SERVICE,
            ApiCommand::Publish(_) | ApiCommand::Remove { .. } => Flag::CHANGE_OF_SERVICE,
        },
        ClientCommand::Unit(command) => match command {
            UnitCommand::List => Flag::READ_OF_SERVICE,
            // A roll changes nothing that was saved, so no save can be in conflict with it.
            UnitCommand::Roll(_) => Flag::CHANGE_OF_UNITS,
        },
        ClientCommand::Events(_) | ClientCommand::Status => Flag::READ,
        ClientCommand::Cluster(command) => match command {
            ClusterCommand::Members | ClusterCommand::Limits(LimitsCommand::Show) => Flag::READ,
            ClusterCommand::Remove { .. } => Flag::CHANGE_AND_WAIT,
            ClusterCommand::Limits(LimitsCommand::Set(_)) | ClusterCommand::TrimHistory { .. } => {
                Flag::CHANGE
            }
            ClusterCommand::Join { .. } => &[Flag::Wait],
            ClusterCommand::TransferLeader { .. } | ClusterCommand::Snapshot => &[],
        },
        ClientCommand::AgentDrain(_) => Flag::CHANGE_AND_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn refused(line: &str) -> Option<String> {
        let words = std::iter::once("meridian").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Command::Client(command) = cli.command else { panic!("{line}: not a client command") };
        cli.global.check_scope(&command).err().map(|error| error.flag.to_owned())
    }

    #[test]
    fn a_flag_without_meaning_is_refused() {
        for (line, flag) in [
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
            assert_eq!(refused(line).as_deref(), Some(flag), "{line}");
        }
    }

    #[test]
    fn flags_with_meaning_are_taken() {
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
            assert_eq!(refused(line), None, "{line}");
        }
    }
}
