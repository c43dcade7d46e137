//! What a rejection is called, what it is about, and which code it has.

use std::collections::BTreeSet;

use meridian_domain::Rejection;
use tonic::Code;

/// The code of a refusal: that of all its rejections where they are of one kind.
pub(super) fn code(rejections: &[Rejection]) -> Code {
    let named =
        rejections.iter().filter(|rejection| !matches!(rejection, Rejection::AndMore { .. }));
    let codes: BTreeSet<i32> = named.map(|rejection| code_of(rejection).into()).collect();
    let aborted = i32::from(Code::Aborted);
    match codes.first() {
        _ if codes.contains(&aborted) => Code::Aborted,
        Some(only) if codes.len() == 1 => Code::from(*only),
        _ => Code::FailedPrecondition,
    }
}

fn code_of(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::Conflict { .. } => Code::Aborted,
        Rejection::AgentUnknown { .. }
        | Rejection::ServiceUnknown { .. }
        | Rejection::ApiUnknown { .. }
        | Rejection::RegionUnknown { .. }
        | Rejection::RegionAbsent { .. } => Code::NotFound,
        Rejection::AlreadyBootstrapped { .. }
        | Rejection::RegionInCatalog { .. }
        | Rejection::AgentNameTaken { .. }
        | Rejection::NodeTaken { .. }
        | Rejection::ServiceExists { .. }
        | Rejection::RegionExists { .. } => Code::AlreadyExists,
        _ => Code::FailedPrecondition,
    }
}

/// One sentence over all rejections.
pub(super) fn summary(rejections: &[Rejection]) -> String {
    match rejections {
        [only] => only.to_string(),
        _ => {
            let each = rejections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            format!("{} rules refuse the change: {each}", count(rejections))
        }
    }
}

/// How many rejections there are, those that a refusal only counts included.
pub(super) fn count(rejections: &[Rejection]) -> usize {
    let each = rejections.iter().map(|rejection| match rejection {
        Rejection::AndMore { count } => *count as usize,
        _ => 1,
    });
    each.sum()
}

/// The type of the rejection's violation: its name as programs see it.
pub(super) fn type_name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotBootstrapped => "NOT_BOOTSTRAPPED",
        Rejection::AlreadyBootstrapped { .. } => "ALREADY_BOOTSTRAPPED",
        Rejection::DataVersionNotNewer { .. } => "DATA_VERSION_NOT_NEWER",
        Rejection::DataVersionUnsupported { .. } => "DATA_VERSION_UNSUPPORTED",
        Rejection::LimitOutOfRange { .. } => "LIMIT_OUT_OF_RANGE",
        Rejection::VotersEven { .. } => "VOTERS_EVEN",
        Rejection::LimitBelowUse { .. } => "LIMIT_BELOW_USE",
        Rejection::RegionInCatalog { .. } => "REGION_IN_CATALOG",
        Rejection::CoordinatesOutOfRange { .. } => "COORDINATES_OUT_OF_RANGE",
        Rejection::DisplayNameLength { .. } => "DISPLAY_NAME_LENGTH",
        Rejection::TooMany { .. } => "TOO_MANY",
        Rejection::TrimBeyondEnd { .. } => "TRIM_BEYOND_END",
        Rejection::AgentUnknown { .. } => "AGENT_UNKNOWN",
        Rejection::AgentNameTaken { .. } => "AGENT_NAME_TAKEN",
        Rejection::NodeTaken { .. } => "NODE_TAKEN",
        Rejection::ImmutableAgentField { .. } => "IMMUTABLE_AGENT_FIELD",
        Rejection::InvalidGatewayHost { .. } => "INVALID_GATEWAY_HOST",
        Rejection::LastAgent { .. } => "LAST_AGENT",
        Rejection::ServiceUnknown { .. } => "SERVICE_UNKNOWN",
        Rejection::ServiceExists { .. } => "SERVICE_EXISTS",
        Rejection::Conflict { .. } => "CONFLICT",
        Rejection::NoEdits => "NO_EDITS",
        Rejection::DuplicateRegionEdit { .. } => "DUPLICATE_REGION_EDIT",
        Rejection::RegionUnknown { .. } => "REGION_UNKNOWN",
        Rejection::RegionExists { .. } => "REGION_EXISTS",
        Rejection::RegionAbsent { .. } => "REGION_ABSENT",
        Rejection::PrimaryRemoved { .. } => "PRIMARY_REMOVED",
        Rejection::NoUnits { .. } => "NO_UNITS",
        Rejection::TooManyUnits { .. } => "TOO_MANY_UNITS",
        Rejection::UnevenZones { .. } => "UNEVEN_ZONES",
        Rejection::SeveralRegions { .. } => "SEVERAL_REGIONS",
        Rejection::PortReserved { .. } => "PORT_RESERVED",
        Rejection::PortTaken { .. } => "PORT_TAKEN",
        Rejection::NoFreePort => "NO_FREE_PORT",
        Rejection::StaleReport { .. } => "STALE_REPORT",
        Rejection::DataVersionUnknown { .. } => "DATA_VERSION_UNKNOWN",
        Rejection::DisplayNameControl { .. } => "DISPLAY_NAME_CONTROL",
        Rejection::TooManyEdits { .. } => "TOO_MANY_EDITS",
        Rejection::DuplicateEdit { .. } => "DUPLICATE_EDIT",
        Rejection::ReportTooLong { .. } => "REPORT_TOO_LONG",
        Rejection::TooManyLocations { .. } => "TOO_MANY_LOCATIONS",
        Rejection::AndMore { .. } => "AND_MORE",
        Rejection::ApiUnknown { .. } => "API_UNKNOWN",
        Rejection::PathTaken { .. } => "PATH_TAKEN",
        Rejection::BackendIsGateway { .. } => "BACKEND_IS_GATEWAY",
        Rejection::TimeoutOutOfRange { .. } => "TIMEOUT_OUT_OF_RANGE",
        Rejection::DuplicateApiEdit { .. } => "DUPLICATE_API_EDIT",
        Rejection::TooManyApis { .. } => "TOO_MANY_APIS",
        Rejection::TooManyBackends { .. } => "TOO_MANY_BACKENDS",
        Rejection::AgentFull { .. } => "AGENT_FULL",
        Rejection::ZoneWithoutAgent { .. } => "ZONE_WITHOUT_AGENT",
    }
}

/// What the rejection is about, as a path; empty for the cluster as a whole.
pub(super) fn subject(rejection: &Rejection) -> String {
    match rejection {
        Rejection::LimitBelowUse { service, region, .. }
        | Rejection::RegionExists { service, region }
        | Rejection::RegionAbsent { service, region }
        | Rejection::PrimaryRemoved { service, region } => {
            format!("services/{service}/regions/{region}")
        }
        Rejection::ServiceUnknown { service, .. }
        | Rejection::ServiceExists { service }
        | Rejection::Conflict { service, .. }
        | Rejection::SeveralRegions { service, .. }
        | Rejection::TooManyLocations { service, .. }
        | Rejection::TooManyApis { service, .. }
        | Rejection::PortTaken { service, .. } => format!("services/{service}"),
        Rejection::RegionInCatalog { region }
        | Rejection::CoordinatesOutOfRange { region }
        | Rejection::DisplayNameLength { region }
        | Rejection::DisplayNameControl { region }
        | Rejection::DuplicateRegionEdit { region }
        | Rejection::RegionUnknown { region, .. }
        | Rejection::NoUnits { region }
        | Rejection::TooManyUnits { region, .. }
        | Rejection::UnevenZones { region, .. }
        | Rejection::ZoneWithoutAgent { region, .. } => format!("regions/{region}"),
        Rejection::DataVersionUnsupported { agent, .. }
        | Rejection::AgentUnknown { agent, .. }
        | Rejection::AgentNameTaken { agent, .. }
        | Rejection::NodeTaken { agent, .. }
        | Rejection::ImmutableAgentField { agent, .. }
        | Rejection::InvalidGatewayHost { agent, .. }
        | Rejection::LastAgent { agent }
        | Rejection::StaleReport { agent }
        | Rejection::ReportTooLong { agent, .. }
        | Rejection::AgentFull { agent, .. } => format!("agents/{agent}"),
        Rejection::ApiUnknown { service, api, .. } => format!("services/{service}/apis/{api}"),
        Rejection::PathTaken { api, .. }
        | Rejection::BackendIsGateway { api, .. }
        | Rejection::TimeoutOutOfRange { api, .. }
        | Rejection::DuplicateApiEdit { api }
        | Rejection::TooManyBackends { api, .. } => format!("apis/{api}"),
        Rejection::LimitOutOfRange { limit, .. } => format!("limits/{limit}"),
        Rejection::VotersEven { .. } => "limits/voters".to_owned(),
        Rejection::PortReserved { port } => format!("ports/{port}"),
        Rejection::NotBootstrapped
        | Rejection::AlreadyBootstrapped { .. }
        | Rejection::DataVersionNotNewer { .. }
        | Rejection::DataVersionUnknown { .. }
        | Rejection::TooManyEdits { .. }
        | Rejection::DuplicateEdit { .. }
        | Rejection::TooMany { .. }
        | Rejection::TrimBeyondEnd { .. }
        | Rejection::NoEdits
        | Rejection::NoFreePort
        | Rejection::AndMore { .. } => String::new(),
    }
}
