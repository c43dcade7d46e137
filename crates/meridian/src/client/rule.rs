//! The rules of a cluster as they travel in error details, with the next step for each.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use tonic::Status;
use tonic_types::StatusExt;

use super::grpc_status;

/// Next step where the message itself says how to fix the command.
pub const FIX_AND_RETRY: &str = "fix the command and retry; nothing was changed";

/// Reason for a rejection: a violated rule, or another one.
///
/// The names on the wire are those of the variants, in upper case with underscores. A test checks
/// that no rejection of the domain is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rule {
    NotBootstrapped,
    AlreadyBootstrapped,
    DataVersionNotNewer,
    DataVersionUnsupported,
    LimitOutOfRange,
    VotersEven,
    LimitBelowUse,
    RegionInCatalog,
    CoordinatesOutOfRange,
    DisplayNameLength,
    TooMany,
    TrimBeyondEnd,
    AgentUnknown,
    AgentNameTaken,
    NodeTaken,
    ImmutableAgentField,
    InvalidGatewayHost,
    LastAgent,
    ServiceUnknown,
    ServiceExists,
    Conflict,
    NoEdits,
    DuplicateRegionEdit,
    RegionUnknown,
    RegionExists,
    RegionAbsent,
    PrimaryRemoved,
    NoUnits,
    TooManyUnits,
    UnevenZones,
    SeveralRegions,
    PortReserved,
    PortTaken,
    NoFreePort,
    StaleReport,
    DataVersionUnknown,
    DisplayNameControl,
    TooManyEdits,
    DuplicateEdit,
    ReportTooLong,
    TooManyLocations,
    AndMore,
    ApiUnknown,
    PathTaken,
    BackendIsGateway,
    TimeoutOutOfRange,
    DuplicateApiEdit,
    TooManyApis,
    TooManyBackends,
    AgentFull,
    ZoneWithoutAgent,
    PortStillUsed,
    PortOfAgent,
    ServiceNameReserved,
    PreferenceOutOfRange,
    DnsSettingOutOfRange,
    GatewayHostInZone,
    DuplicateNetwork,
    NetworkUnknown,
    NoMajority,
    StaleVotes,
    /// No voter can take over leadership.
    NoTransferTarget,
    /// The agent is not a voter.
    NotAVoter,
    /// Another agent refused.
    PeerRefused,
    /// The invited address is not a waiting agent.
    NotInvited,
    /// The agent was not found at the address.
    NotIdentified,
    /// The request id belongs to another change.
    RequestReused,
    /// The request id is older than the remembered ones: the change may have happened.
    RequestExpired,
    /// The clock of this machine is ahead of the cluster's.
    RequestFromFuture,
}

impl Rule {
    /// The first rule that a status names; `None` if it is unknown here.
    pub fn of(status: &Status) -> Option<Self> {
        Self::names(status).into_iter().next().and_then(|name| Self::parse(&name))
    }

    /// All rules that a status names, except unknown ones.
    pub fn all_of(status: &Status) -> Vec<Self> {
        Self::names(status).iter().filter_map(|name| Self::parse(name)).collect()
    }

    /// The names of the violated rules, or of the reason if there are none.
    fn names(status: &Status) -> Vec<String> {
        let violations = status.get_details_precondition_failure().map(|found| found.violations);
        let rules = violations.into_iter().flatten().map(|violation| violation.r#type);
        let rules: Vec<String> = rules.collect();
        if rules.is_empty() { grpc_status::reason(status).into_iter().collect() } else { rules }
    }

    fn parse(name: &str) -> Option<Self> {
        let name: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// Next step that holds in every state. [`super::hint`] has better ones for edits of a service.
    #[expect(clippy::too_many_lines, reason = "one arm for each rule, so that none is left out")]
    pub fn next_step(self) -> &'static str {
        match self {
            Self::RegionUnknown => "`meridian region catalog` lists the regions",
            Self::RegionExists => "`meridian region scale` changes its units",
            Self::RegionAbsent => "`meridian region list` shows the regions of the service",
            Self::PrimaryRemoved => "promote another region first: `meridian region promote`",
            Self::SeveralRegions => "only the premium tier allows several regions",
            Self::TooManyUnits => "use fewer units; `meridian cluster limits show` has the limits",
            Self::UnevenZones => "use a multiple of the number of zones, or other --zones",
            Self::NoUnits => "`meridian region remove` removes the region",
            Self::ServiceUnknown => "`meridian service list` lists the services",
            Self::ServiceExists => "choose another name, or use `meridian service update`",
            Self::ApiUnknown => "`meridian api list` lists the APIs of the service",
            Self::PathTaken => "choose another --path, or publish under the name of that API",
            Self::BackendIsGateway => "use --backend with the URL of the backend itself",
            Self::TooManyApis => "remove unused APIs with `meridian api remove`",
            Self::AgentFull => "join more agents in that region, or use fewer units",
            Self::ZoneWithoutAgent => {
                "use zones that have agents, omit --zones, or join agents with `zone` set first"
            }
            Self::AgentUnknown => "`meridian status` lists the agents",
            Self::NoTransferTarget | Self::NotAVoter | Self::PeerRefused => {
                "`meridian cluster members` shows which members vote and respond"
            }
            Self::NotInvited => {
                "check the address (default port 7401), and that a new agent waits there"
            }
            Self::NotIdentified => {
                "check the address (default port 7401), and that the agent runs there"
            }
            Self::PortTaken | Self::PortReserved | Self::PortStillUsed | Self::PortOfAgent => {
                "choose another --port, or omit it"
            }
            Self::NetworkUnknown => "`meridian network list` lists the networks",
            Self::NoFreePort => "choose a --port, or delete a service",
            Self::LastAgent => "join another agent first",
            Self::LimitBelowUse => "scale the region down first, or use a higher limit",
            Self::RegionInCatalog | Self::ServiceNameReserved => "choose another name",
            Self::RequestReused => "omit --request-id to make a new change",
            Self::RequestExpired => {
                "check `meridian events` for its effect; omit --request-id to make a new change"
            }
            Self::RequestFromFuture => "set the clock of this machine, then retry",
            Self::NotBootstrapped
            | Self::AlreadyBootstrapped
            | Self::DataVersionNotNewer
            | Self::DataVersionUnsupported
            | Self::DataVersionUnknown
            | Self::LimitOutOfRange
            | Self::VotersEven
            | Self::CoordinatesOutOfRange
            | Self::DisplayNameLength
            | Self::DisplayNameControl
            | Self::TooMany
            | Self::TrimBeyondEnd
            | Self::AgentNameTaken
            | Self::NodeTaken
            | Self::ImmutableAgentField
            | Self::InvalidGatewayHost
            | Self::Conflict
            | Self::NoEdits
            | Self::DuplicateRegionEdit
            | Self::StaleReport
            | Self::TooManyEdits
            | Self::DuplicateEdit
            | Self::ReportTooLong
            | Self::TooManyLocations
            | Self::AndMore
            | Self::TimeoutOutOfRange
            | Self::DuplicateApiEdit
            | Self::PreferenceOutOfRange
            | Self::DnsSettingOutOfRange
            | Self::GatewayHostInZone
            | Self::DuplicateNetwork
            | Self::NoMajority
            | Self::StaleVotes
            | Self::TooManyBackends => FIX_AND_RETRY,
        }
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::Rejection;

    use super::*;

    #[test]
    fn no_rejection_of_the_domain_is_missing() {
        for name in Rejection::TYPE_NAMES {
            assert!(Rule::parse(name).is_some(), "{name}");
        }
        assert_eq!(Rule::parse("REQUEST_EXPIRED"), Some(Rule::RequestExpired));
        assert_eq!(Rule::parse("REQUEST_FROM_FUTURE"), Some(Rule::RequestFromFuture));
        assert_eq!(Rule::parse("REFUSED"), None);
    }
}
