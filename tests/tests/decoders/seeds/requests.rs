//! Requests, control frames and configurations.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as Kind;
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use prost::Message;

use super::{Seed, seed};

pub fn seeds() -> Vec<Seed> {
    let mut seeds = requests();
    let request =
        v1::UnitRequest { generation: 300, command: Some(Command::Describe(v1::DescribeUnit {})) };
    let identity =
        v1::UnitIdentity { service: "contoso".to_owned(), slot: 2, ..Default::default() };
    let response = v1::UnitResponse { response: Some(Response::Identity(identity)) };
    let configure = v1::ConfigureUnit { configuration: Some(configuration()) };
    let configure = v1::UnitRequest { generation: 3, command: Some(Command::Configure(configure)) };
    for (name, side, frame) in [
        ("describe", 0, request.encode_length_delimited_to_vec()),
        ("configure", 0, configure.encode_length_delimited_to_vec()),
        ("identity", 1, response.encode_length_delimited_to_vec()),
    ] {
        seeds.push(seed("control_frames", name, side, frame));
    }
    seeds.push(Seed {
        target: "gateway_configuration",
        name: "two-apis".to_owned(),
        bytes: configuration().encode_to_vec(),
    });
    seeds
}

fn configuration() -> v1::GatewayConfiguration {
    let api = |name: &str, backend: &str| v1::GatewayApi {
        name: name.to_owned(),
        path: format!("/{name}"),
        backend: backend.to_owned(),
        connect_timeout_ms: 400,
        response_timeout_ms: 500,
        idle_timeout_ms: 600,
    };
    v1::GatewayConfiguration {
        revision: 9,
        enabled: true,
        apis: vec![
            api("orders", "https://orders.internal:8443/v2"),
            api("stock", "http://[::1]:9"),
        ],
        limits: Some(v1::GatewayLimits { header_timeout_ms: 300, ..Default::default() }),
        access_log: 0,
        redirect: "eastus.contoso.regional.gateways.example.net:8080".to_owned(),
    }
}

fn requests() -> Vec<Seed> {
    let context = Some(v1::ChangeContext {
        request_id: "01932f5e-8b1a-7c3d-9e4f-0123456789ab".to_owned(),
        actor: "ada@example".to_owned(),
        reason: "more load".to_owned(),
        ..Default::default()
    });
    let service = "contoso".to_owned();
    let create = v1::CreateServiceRequest {
        context: context.clone(),
        service: service.clone(),
        tier: "premium".to_owned(),
        primary: "West Europe".to_owned(),
        port: Some(8080),
        when_disabled: Some("redirect".to_owned()),
    };
    let change = v1::ChangeServiceRequest {
        context: context.clone(),
        service: service.clone(),
        expected_revision: Some(7),
        edits: edits().into_iter().map(|edit| v1::Edit { edit: Some(edit) }).collect(),
    };
    let delete = v1::DeleteServiceRequest {
        context: context.clone(),
        service: service.clone(),
        expected_revision: None,
    };
    let roll =
        v1::RollUnitsRequest { context: context.clone(), service, region: "eastus".to_owned() };
    let agent = "we-1".to_owned();
    let drain =
        v1::DrainAgentRequest { context: context.clone(), agent: agent.clone(), undo: false };
    let remove = v1::RemoveAgentRequest { context: context.clone(), agent };
    let limits = v1::Limits {
        developer_units: 1,
        basic_units: 2,
        standard_units: 4,
        premium_units: 12,
        voters: 5,
    };
    let limits = v1::SetLimitsRequest { context: context.clone(), limits: Some(limits) };
    let region = v1::DefineRegionRequest {
        context: context.clone(),
        name: "lab".to_owned(),
        display_name: "Laboratory".to_owned(),
        latitude: 52.5,
        longitude: -4.25,
    };
    let trim = v1::TrimHistoryRequest { context, through: 4096 };
    let all = [
        ("create-service", create.encode_to_vec()),
        ("change-service", change.encode_to_vec()),
        ("delete-service", delete.encode_to_vec()),
        ("roll-units", roll.encode_to_vec()),
        ("drain-agent", drain.encode_to_vec()),
        ("remove-agent", remove.encode_to_vec()),
        ("set-limits", limits.encode_to_vec()),
        ("define-region", region.encode_to_vec()),
        ("trim-history", trim.encode_to_vec()),
        ("register-agent", registration().encode_to_vec()),
        ("api", api().encode_to_vec()),
    ];
    (0..).zip(all).map(|(kind, (name, bytes))| seed("requests", name, kind, bytes)).collect()
}

fn edits() -> Vec<Kind> {
    let region = || "eastus".to_owned();
    vec![
        Kind::Add(v1::AddRegion { region: region(), units: 2, zones: vec![1, 2] }),
        Kind::Scale(v1::ScaleRegion {
            region: region(),
            units: Some(3),
            zones: Some(v1::Zones { zones: vec![3] }),
        }),
        Kind::Set(v1::SetRegion { region: region(), units: 4 }),
        Kind::Remove(region()),
        Kind::Promote(region()),
        Kind::Enable(region()),
        Kind::Disable(region()),
        Kind::Tier("basic".to_owned()),
        Kind::PublishApi(api()),
        Kind::RemoveApi("stock".to_owned()),
        Kind::Port(8081),
        Kind::Routing("priority".to_owned()),
        Kind::WhenDisabled("refuse".to_owned()),
    ]
}

fn api() -> v1::Api {
    v1::Api {
        name: "orders".to_owned(),
        path: "/orders".to_owned(),
        backend: "https://orders.internal:8443/v2".to_owned(),
        regional_backends: vec![v1::RegionalBackend {
            region: "eastus".to_owned(),
            backend: "http://[::1]:93".to_owned(),
        }],
        connect_timeout_ms: Some(1),
        response_timeout_ms: Some(2),
        idle_timeout_ms: None,
    }
}

fn registration() -> v1::RegisterAgentRequest {
    v1::RegisterAgentRequest {
        name: "we-1".to_owned(),
        node: "0123456789abcdef".to_owned(),
        region: "westeurope".to_owned(),
        zone: Some(2),
        witness: false,
        client_address: "10.0.0.1:7400".to_owned(),
        peer_address: "[2001:db8::1]:7401".to_owned(),
        gateway_host: "gateway.example.net".to_owned(),
        supports: 1,
        cluster_id: "01932f5e-8b1a-7c3d-9e4f-0123456789ab".to_owned(),
        epoch: 1,
    }
}
