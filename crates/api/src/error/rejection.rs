//! gRPC codes and subjects of rejections.

use std::collections::BTreeSet;

use meridian_domain::Rejection;
use tonic::Code;

/// Returns the code of a rejected command: that of its rejections if they all have the same one.
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
        | Rejection::NetworkUnknown { .. }
        | Rejection::RegionAbsent { .. } => Code::NotFound,
        Rejection::AlreadyBootstrapped { .. }
        | Rejection::RegionInCatalog { .. }
        | Rejection::AgentNameTaken { .. }
        | Rejection::NodeTaken { .. }
        | Rejection::ServiceExists { .. }
        | Rejection::RegionExists { .. } => Code::AlreadyExists,
        Rejection::NotBootstrapped
        | Rejection::DataVersionNotNewer { .. }
        | Rejection::DataVersionUnsupported { .. }
        | Rejection::DataVersionUnknown { .. }
        | Rejection::LimitOutOfRange { .. }
        | Rejection::VotersEven { .. }
        | Rejection::LimitBelowUse { .. }
        | Rejection::CoordinatesOutOfRange { .. }
        | Rejection::DisplayNameLength { .. }
        | Rejection::DisplayNameControl { .. }
        | Rejection::TooMany { .. }
        | Rejection::TrimBeyondEnd { .. }
        | Rejection::ImmutableAgentField { .. }
        | Rejection::InvalidGatewayHost { .. }
        | Rejection::LastAgent { .. }
        | Rejection::NoEdits
        | Rejection::TooManyEdits { .. }
        | Rejection::DuplicateEdit { .. }
        | Rejection::DuplicateRegionEdit { .. }
        | Rejection::DuplicateApiEdit { .. }
        | Rejection::PrimaryRemoved { .. }
        | Rejection::NoUnits { .. }
        | Rejection::TooManyUnits { .. }
        | Rejection::UnevenZones { .. }
        | Rejection::SeveralRegions { .. }
        | Rejection::TooManyLocations { .. }
        | Rejection::PortReserved { .. }
        | Rejection::PortTaken { .. }
        | Rejection::NoFreePort
        | Rejection::StaleReport { .. }
        | Rejection::ReportTooLong { .. }
        | Rejection::PathTaken { .. }
        | Rejection::BackendIsGateway { .. }
        | Rejection::TimeoutOutOfRange { .. }
        | Rejection::TooManyApis { .. }
        | Rejection::TooManyBackends { .. }
        | Rejection::AgentFull { .. }
        | Rejection::ZoneWithoutAgent { .. }
        | Rejection::PortStillUsed { .. }
        | Rejection::PortOfAgent { .. }
        | Rejection::ServiceNameReserved { .. }
        | Rejection::PreferenceOutOfRange { .. }
        | Rejection::DnsSettingOutOfRange { .. }
        | Rejection::GatewayHostInZone { .. }
        | Rejection::DuplicateNetwork { .. }
        | Rejection::NoMajority { .. }
        | Rejection::StaleVotes { .. }
        | Rejection::AndMore { .. } => Code::FailedPrecondition,
    }
}

/// Returns a message with all rejections.
pub(super) fn summary(rejections: &[Rejection]) -> String {
    match rejections {
        [only] => only.to_string(),
        _ => {
            let each = rejections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            format!("{} rules reject the change: {each}", count(rejections))
        }
    }
}

/// Returns the number of rejections, including those that are left out and only counted.
pub(super) fn count(rejections: &[Rejection]) -> usize {
    let more = |rejection: &Rejection| {
        if let Rejection::AndMore { count } = rejection { *count as usize } else { 1 }
    };
    rejections.iter().map(more).sum()
}

/// Returns the subject of the rejection as a path; empty for the cluster as a whole.
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
        | Rejection::PortTaken { service, .. }
        | Rejection::ServiceNameReserved { service }
        | Rejection::PortStillUsed { service, .. } => format!("services/{service}"),
        Rejection::RegionInCatalog { region }
        | Rejection::CoordinatesOutOfRange { region }
        | Rejection::DisplayNameLength { region }
        | Rejection::DisplayNameControl { region }
        | Rejection::DuplicateRegionEdit { region }
        | Rejection::RegionUnknown { region, .. }
        | Rejection::NoUnits { region }
        | Rejection::TooManyUnits { region, .. }
        | Rejection::UnevenZones { region, .. }
        | Rejection::PreferenceOutOfRange { region, .. }
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
        | Rejection::AgentFull { agent, .. }
        | Rejection::GatewayHostInZone { agent, .. }
        | Rejection::NoMajority { agent, .. }
        | Rejection::StaleVotes { agent }
        | Rejection::PortOfAgent { agent, .. } => format!("agents/{agent}"),
        Rejection::ApiUnknown { service, api, .. } => format!("services/{service}/apis/{api}"),
        Rejection::PathTaken { api, .. }
        | Rejection::BackendIsGateway { api, .. }
        | Rejection::TimeoutOutOfRange { api, .. }
        | Rejection::DuplicateApiEdit { api }
        | Rejection::TooManyBackends { api, .. } => format!("apis/{api}"),
        Rejection::LimitOutOfRange { limit, .. } => format!("limits/{limit}"),
        Rejection::DnsSettingOutOfRange { setting, .. } => format!("dns/{setting}"),
        Rejection::DuplicateNetwork { network } | Rejection::NetworkUnknown { network } => {
            format!("networks/{network}")
        }
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
