//! What a fault is called, what it is about, and which code it has.

use std::collections::BTreeSet;

use meridian_domain::Fault;
use tonic::Code;

/// The code of a refusal: that of all its faults where they are of one kind.
pub(super) fn code(faults: &[Fault]) -> Code {
    let named = faults.iter().filter(|fault| !matches!(fault, Fault::AndMore { .. }));
    let codes: BTreeSet<i32> = named.map(|fault| code_of(fault).into()).collect();
    let aborted = i32::from(Code::Aborted);
    match codes.first() {
        _ if codes.contains(&aborted) => Code::Aborted,
        Some(only) if codes.len() == 1 => Code::from(*only),
        _ => Code::FailedPrecondition,
    }
}

fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::Conflict { .. } => Code::Aborted,
        Fault::AgentUnknown { .. }
        | Fault::ServiceUnknown { .. }
        | Fault::ApiUnknown { .. }
        | Fault::RegionUnknown { .. }
        | Fault::RegionAbsent { .. } => Code::NotFound,
        Fault::AlreadyFounded { .. }
        | Fault::RegionInCatalogue { .. }
        | Fault::AgentNameTaken { .. }
        | Fault::NodeTaken { .. }
        | Fault::ServiceExists { .. }
        | Fault::RegionExists { .. } => Code::AlreadyExists,
        _ => Code::FailedPrecondition,
    }
}

/// One sentence over all faults.
pub(super) fn summary(faults: &[Fault]) -> String {
    match faults {
        [only] => only.to_string(),
        _ => {
            let each = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            format!("{} rules refuse the change: {each}", count(faults))
        }
    }
}

/// How many faults there are, those that a refusal only counts included.
pub(super) fn count(faults: &[Fault]) -> usize {
    let each = faults.iter().map(|fault| match fault {
        Fault::AndMore { count } => *count as usize,
        _ => 1,
    });
    each.sum()
}

/// The type of the fault's violation: its name as programs see it.
pub(super) fn type_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::NotFounded => "NOT_FOUNDED",
        Fault::AlreadyFounded { .. } => "ALREADY_FOUNDED",
        Fault::DataVersionNotNewer { .. } => "DATA_VERSION_NOT_NEWER",
        Fault::DataVersionUnsupported { .. } => "DATA_VERSION_UNSUPPORTED",
        Fault::LimitOutOfRange { .. } => "LIMIT_OUT_OF_RANGE",
        Fault::VotersEven { .. } => "VOTERS_EVEN",
        Fault::LimitBelowUse { .. } => "LIMIT_BELOW_USE",
        Fault::RegionInCatalogue { .. } => "REGION_IN_CATALOGUE",
        Fault::NotOnTheGlobe { .. } => "NOT_ON_THE_GLOBE",
        Fault::DisplayNameLength { .. } => "DISPLAY_NAME_LENGTH",
        Fault::TooMany { .. } => "TOO_MANY",
        Fault::TrimBeyondEnd { .. } => "TRIM_BEYOND_END",
        Fault::AgentUnknown { .. } => "AGENT_UNKNOWN",
        Fault::AgentNameTaken { .. } => "AGENT_NAME_TAKEN",
        Fault::NodeTaken { .. } => "NODE_TAKEN",
        Fault::AgentChanged { .. } => "AGENT_CHANGED",
        Fault::NotAHost { .. } => "NOT_A_HOST",
        Fault::LastAgent { .. } => "LAST_AGENT",
        Fault::ServiceUnknown { .. } => "SERVICE_UNKNOWN",
        Fault::ServiceExists { .. } => "SERVICE_EXISTS",
        Fault::Conflict { .. } => "CONFLICT",
        Fault::NoEdits => "NO_EDITS",
        Fault::EditedTwice { .. } => "EDITED_TWICE",
        Fault::RegionUnknown { .. } => "REGION_UNKNOWN",
        Fault::RegionExists { .. } => "REGION_EXISTS",
        Fault::RegionAbsent { .. } => "REGION_ABSENT",
        Fault::PrimaryRemoved { .. } => "PRIMARY_REMOVED",
        Fault::NoUnits { .. } => "NO_UNITS",
        Fault::TooManyUnits { .. } => "TOO_MANY_UNITS",
        Fault::UnevenZones { .. } => "UNEVEN_ZONES",
        Fault::SeveralRegions { .. } => "SEVERAL_REGIONS",
        Fault::PortReserved { .. } => "PORT_RESERVED",
        Fault::PortTaken { .. } => "PORT_TAKEN",
        Fault::NoFreePort => "NO_FREE_PORT",
        Fault::StaleReport { .. } => "STALE_REPORT",
        Fault::DataVersionUnknown { .. } => "DATA_VERSION_UNKNOWN",
        Fault::DisplayNameControl { .. } => "DISPLAY_NAME_CONTROL",
        Fault::TooManyEdits { .. } => "TOO_MANY_EDITS",
        Fault::GivenTwice { .. } => "GIVEN_TWICE",
        Fault::ReportTooLong { .. } => "REPORT_TOO_LONG",
        Fault::TooManyLocations { .. } => "TOO_MANY_LOCATIONS",
        Fault::AndMore { .. } => "AND_MORE",
        Fault::ApiUnknown { .. } => "API_UNKNOWN",
        Fault::PathTaken { .. } => "PATH_TAKEN",
        Fault::BackendIsGateway { .. } => "BACKEND_IS_GATEWAY",
        Fault::TimeoutOutOfRange { .. } => "TIMEOUT_OUT_OF_RANGE",
        Fault::ApiEditedTwice { .. } => "API_EDITED_TWICE",
        Fault::TooManyApis { .. } => "TOO_MANY_APIS",
        Fault::TooManyBackends { .. } => "TOO_MANY_BACKENDS",
        Fault::AgentFull { .. } => "AGENT_FULL",
        Fault::ZoneWithoutAgent { .. } => "ZONE_WITHOUT_AGENT",
    }
}

/// What the fault is about, as a path; empty for the cluster as a whole.
pub(super) fn subject(fault: &Fault) -> String {
    match fault {
        Fault::LimitBelowUse { service, region, .. }
        | Fault::RegionExists { service, region }
        | Fault::RegionAbsent { service, region }
        | Fault::PrimaryRemoved { service, region } => {
            format!("services/{service}/regions/{region}")
        }
        Fault::ServiceUnknown { service, .. }
        | Fault::ServiceExists { service }
        | Fault::Conflict { service, .. }
        | Fault::SeveralRegions { service, .. }
        | Fault::TooManyLocations { service, .. }
        | Fault::TooManyApis { service, .. }
        | Fault::PortTaken { service, .. } => format!("services/{service}"),
        Fault::RegionInCatalogue { region }
        | Fault::NotOnTheGlobe { region }
        | Fault::DisplayNameLength { region }
        | Fault::DisplayNameControl { region }
        | Fault::EditedTwice { region }
        | Fault::RegionUnknown { region, .. }
        | Fault::NoUnits { region }
        | Fault::TooManyUnits { region, .. }
        | Fault::UnevenZones { region, .. }
        | Fault::ZoneWithoutAgent { region, .. } => format!("regions/{region}"),
        Fault::DataVersionUnsupported { agent, .. }
        | Fault::AgentUnknown { agent, .. }
        | Fault::AgentNameTaken { agent, .. }
        | Fault::NodeTaken { agent, .. }
        | Fault::AgentChanged { agent, .. }
        | Fault::NotAHost { agent, .. }
        | Fault::LastAgent { agent }
        | Fault::StaleReport { agent }
        | Fault::ReportTooLong { agent, .. }
        | Fault::AgentFull { agent, .. } => format!("agents/{agent}"),
        Fault::ApiUnknown { service, api, .. } => format!("services/{service}/apis/{api}"),
        Fault::PathTaken { api, .. }
        | Fault::BackendIsGateway { api, .. }
        | Fault::TimeoutOutOfRange { api, .. }
        | Fault::ApiEditedTwice { api }
        | Fault::TooManyBackends { api, .. } => format!("apis/{api}"),
        Fault::LimitOutOfRange { limit, .. } => format!("limits/{limit}"),
        Fault::VotersEven { .. } => "limits/voters".to_owned(),
        Fault::PortReserved { port } => format!("ports/{port}"),
        Fault::NotFounded
        | Fault::AlreadyFounded { .. }
        | Fault::DataVersionNotNewer { .. }
        | Fault::DataVersionUnknown { .. }
        | Fault::TooManyEdits { .. }
        | Fault::GivenTwice { .. }
        | Fault::TooMany { .. }
        | Fault::TrimBeyondEnd { .. }
        | Fault::NoEdits
        | Fault::NoFreePort
        | Fault::AndMore { .. } => String::new(),
    }
}
