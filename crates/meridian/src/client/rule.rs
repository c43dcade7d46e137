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
    NotFounded,
    AlreadyFounded,
    DataVersionNotNewer,
    DataVersionUnsupported,
    LimitOutOfRange,
    VotersEven,
    LimitBelowUse,
    RegionInCatalogue,
    NotOnTheGlobe,
    DisplayNameLength,
    TooMany,
    TrimBeyondEnd,
    AgentUnknown,
    AgentNameTaken,
    NodeTaken,
    AgentChanged,
    NotAHost,
    LastAgent,
    ServiceUnknown,
    ServiceExists,
    Conflict,
    NoEdits,
    EditedTwice,
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
    GivenTwice,
    ReportTooLong,
    TooManyLocations,
    AndMore,
    ApiUnknown,
    PathTaken,
    BackendIsGateway,
    TimeoutOutOfRange,
    ApiEditedTwice,
    TooManyApis,
    TooManyBackends,
    AgentFull,
    ZoneWithoutAgent,
    /// No voter can take over leadership.
    #[serde(alias = "NO_TRANSFER_TARGET")]
    NoHeir,
    /// The agent is not a voter.
    NotAVoter,
    /// Another agent refused.
    PeerRefused,
    /// The invited address is not a waiting agent.
    NotInvited,
    /// The request id belongs to another change.
    RequestReused,
    /// The request id is older than the remembered ones: the change may have happened.
    RequestExpired,
}

impl Rule {
    /// The first rule that a status names; none if it is unknown here.
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
    pub fn next_step(self) -> &'static str {
        match self {
            Self::RegionUnknown => "`meridian region catalogue` lists the regions",
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
            Self::NoHeir | Self::NotAVoter | Self::PeerRefused => {
                "`meridian cluster members` shows which members vote and respond"
            }
            Self::NotInvited => {
                "check the address (default port 7401), and that a new agent waits there"
            }
            Self::PortTaken | Self::PortReserved => "choose another --port, or omit it",
            Self::NoFreePort => "choose a --port, or delete a service",
            Self::LastAgent => "join another agent first",
            Self::LimitBelowUse => "scale the region down first, or use a higher limit",
            Self::RegionInCatalogue => "choose another name",
            Self::RequestReused => "omit --request-id to make a new change",
            Self::RequestExpired => {
                "check `meridian events` for its effect; omit --request-id to make a new change"
            }
            Self::NotFounded
            | Self::AlreadyFounded
            | Self::DataVersionNotNewer
            | Self::DataVersionUnsupported
            | Self::DataVersionUnknown
            | Self::LimitOutOfRange
            | Self::VotersEven
            | Self::NotOnTheGlobe
            | Self::DisplayNameLength
            | Self::DisplayNameControl
            | Self::TooMany
            | Self::TrimBeyondEnd
            | Self::AgentNameTaken
            | Self::NodeTaken
            | Self::AgentChanged
            | Self::NotAHost
            | Self::Conflict
            | Self::NoEdits
            | Self::EditedTwice
            | Self::StaleReport
            | Self::TooManyEdits
            | Self::GivenTwice
            | Self::ReportTooLong
            | Self::TooManyLocations
            | Self::AndMore
            | Self::TimeoutOutOfRange
            | Self::ApiEditedTwice
            | Self::TooManyBackends => FIX_AND_RETRY,
        }
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::Rejection;

    use super::*;
    use crate::cli::variants;

    /// `RegionExists` as `REGION_EXISTS`.
    fn wire_name(variant: &str) -> String {
        let mut name = String::new();
        for letter in variant.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn no_rejection_of_the_domain_is_missing() {
        for variant in variants::<Rejection>() {
            assert!(Rule::parse(&wire_name(variant)).is_some(), "{variant}");
        }
        assert_eq!(Rule::parse("REQUEST_EXPIRED"), Some(Rule::RequestExpired));
        assert_eq!(Rule::parse("REFUSED"), None);
    }
}
