//! Lists.

use meridian_domain::Command;
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{Generation, Incarnation, Sequence, Timestamp};
use meridian_ports::Read;
use meridian_proto::v1;
use meridian_proto::v1::LocationStatus;
use meridian_proto::v1::edit::Edit;
use tonic::{Code, Status};

use crate::fake::agent_name;
use crate::harness::{World, add, fields, rejections, scale};

const DEGRADED: v1::Severity = v1::Severity::Degraded;
const STALE: i32 = v1::Consistency::Stale as i32;

async fn locations(world: &mut World) -> Vec<v1::Location> {
    list(world, "").await.expect("is listed").locations
}

async fn list(world: &mut World, service: &str) -> Result<v1::ListLocationsResponse, Status> {
    let request = v1::ListLocationsRequest { consistency: 0, service: service.to_owned() };
    world.services.list_locations(request).await.map(tonic::Response::into_inner)
}

fn statuses(locations: &[v1::Location]) -> Vec<(&str, LocationStatus)> {
    locations.iter().map(|location| (location.region.as_str(), location.status())).collect()
}

#[tokio::test]
async fn services_are_listed_with_their_revision() {
    let mut world = World::with_contoso().await;
    let request = v1::ListServicesRequest::default();
    let list = world.services.list_services(request).await.expect("is listed").into_inner();
    let [contoso] = list.services.as_slice() else { panic!("there is one: {list:?}") };
    assert_eq!((contoso.name.as_str(), contoso.tier.as_str()), ("contoso", "premium"));
    assert_eq!((contoso.primary.as_str(), contoso.units, contoso.port), ("westeurope", 3, 8080));
    assert_eq!(contoso.regions, ["westeurope", "eastus"]);
    assert_eq!((contoso.routing.as_str(), contoso.when_disabled.as_str()), ("nearest", "refuse"));
    let point = list.read_point.expect("has one");
    assert_eq!(point.revision, world.fake.revision());
    assert!(contoso.revision < point.revision && point.leader_contact.is_some());
}

#[tokio::test]
async fn a_location_has_the_first_status_that_applies() {
    let mut world = World::with_contoso().await;
    let ready = locations(&mut world).await;
    let expected = [("westeurope", LocationStatus::Ready), ("eastus", LocationStatus::Ready)];
    assert_eq!(statuses(&ready), expected);
    assert!(ready[0].primary && !ready[1].primary);
    assert_eq!((ready[1].units, ready[1].ready_units), (2, 2));
    assert_eq!(ready[1].display_name, "East US");
    assert_eq!(ready[1].gateway_url, "http://127.0.1.2:8080");

    let edits = vec![add("japaneast", 1), add("southeastasia", 1), scale("eastus", 4)];
    world.edit(edits).await.expect("is changed");
    world.edit(vec![Edit::Disable("westeurope".to_owned())]).await.expect("is changed");
    let listed = locations(&mut world).await;
    let expected = [
        ("westeurope", LocationStatus::DrainingClients),
        ("eastus", LocationStatus::Converging),
        ("japaneast", LocationStatus::NoAgent),
        ("southeastasia", LocationStatus::Converging),
    ];
    assert_eq!(statuses(&listed), expected);
    assert_eq!((listed[1].ready_units, listed[1].units), (2, 4));
    assert_eq!(listed[2].gateway_url, "");

    world.fake.settle();
    world.fake.set(|script| script.silent = vec![2]);
    let listed = locations(&mut world).await;
    assert_eq!(listed[0].status(), LocationStatus::Disabled);
    assert_eq!(listed[1].status(), LocationStatus::Unmanaged);
    assert_eq!(listed[3].status(), LocationStatus::Ready);
}

#[tokio::test]
async fn a_removed_location_is_listed_until_its_units_are_gone() {
    let mut world = World::with_contoso().await;
    world.edit(vec![Edit::Remove("eastus".to_owned())]).await.expect("is removed");
    let draining = locations(&mut world).await;
    let expected = [("westeurope", LocationStatus::Ready), ("eastus", LocationStatus::Removing)];
    assert_eq!(statuses(&draining), expected);
    world.fake.settle();
    assert_eq!(statuses(&locations(&mut world).await), expected[..1]);
}

#[tokio::test]
async fn a_stale_list_without_a_leader_shows_the_contacted_agents_own_view() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| {
        script.leaderless = true;
        script.silent = vec![1, 2, 3];
        script.read = Some(meridian_ports::ReadError::Removed);
    });
    let request = v1::ListLocationsRequest { consistency: STALE, service: String::new() };
    let list = world.services.list_locations(request.clone()).await.expect("is listed");
    let list = list.into_inner();
    assert!(list.locations.iter().all(|location| location.status() == LocationStatus::Ready));
    let observer = v1::Observer { agent: "a".to_owned(), leader: false };
    assert_eq!(list.observer, Some(observer));

    // The leader may only be slow: this node heard from it 20 ms ago.
    world.fake.set(|script| script.mute = vec!["b".to_owned()]);
    let list = world.services.list_locations(request.clone()).await.expect("is listed");
    let expected = [("westeurope", LocationStatus::Ready), ("eastus", LocationStatus::Ready)];
    assert_eq!(statuses(&list.into_inner().locations), expected);

    world.fake.set(|script| script.leader_silence = Some(std::time::Duration::from_secs(60)));
    let list = world.services.list_locations(request).await.expect("is listed").into_inner();
    let expected =
        [("westeurope", LocationStatus::Ready), ("eastus", LocationStatus::AgentUnreachable)];
    assert_eq!(statuses(&list.locations), expected);
}

#[tokio::test]
async fn units_of_an_unreachable_agent_are_unknown_and_do_not_count_as_ready() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.silent = vec![2]);
    let silence = v1::Silence {
        duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        at_least: false,
    };
    let listed = locations(&mut world).await;
    assert_eq!((listed[0].ready_units, listed[0].unknown_units), (1, 0));
    let eastus = &listed[1];
    assert_eq!((eastus.ready_units, eastus.units, eastus.unknown_units), (0, 2, 2));
    assert!(!eastus.converged);
    assert_eq!(eastus.blocked_reason, "agent b unreachable for 60 s");
    let [unreachable] = eastus.unreachable_agents.as_slice() else { panic!("{eastus:?}") };
    assert_eq!((unreachable.agent.as_str(), unreachable.silence), ("b", Some(silence)));

    let request = v1::ListUnitsRequest::default();
    let list = world.services.list_units(request).await.expect("is listed").into_inner();
    assert_eq!(list.observer, Some(v1::Observer { agent: "a".to_owned(), leader: true }));
    for unit in list.units {
        let (state, pid, unknown_for) = match unit.agent.as_str() {
            "b" => ("unknown", None, Some(silence)),
            _ => ("ready", Some(4711), None),
        };
        assert_eq!((unit.state.as_str(), unit.pid, unit.unknown_for), (state, pid, unknown_for));
        assert_eq!(unit.reported_state, "ready");
    }
}

#[tokio::test]
async fn silence_since_the_election_of_the_leader_is_a_lower_bound() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.unheard = vec![2]);
    let listed = locations(&mut world).await;
    assert_eq!(listed[1].blocked_reason, "agent b unreachable for at least 60 s");
    assert!(listed[1].unreachable_agents[0].silence.expect("is known").at_least);
}

#[tokio::test]
async fn the_only_service_does_not_have_to_be_named() {
    let mut world = World::new().await;
    assert_eq!(fields(&list(&mut world, "").await.expect_err("there is none")), ["service"]);
    world.create("contoso").await.expect("is created");
    assert_eq!(list(&mut world, "").await.expect("is listed").service, "contoso");
    world.create("fabrikam").await.expect("is created");
    let status = list(&mut world, "").await.expect_err("there are two");
    assert_eq!(fields(&status), ["service"]);
    assert!(status.message().contains("contoso, fabrikam"), "{}", status.message());
    let status = list(&mut world, "contosso").await.expect_err("there is none");
    assert_eq!(
        (status.code(), rejections(&status).as_slice()),
        (Code::NotFound, &["SERVICE_UNKNOWN".to_owned()][..])
    );
    assert!(status.message().contains("contoso"), "{}", status.message());
}

#[tokio::test]
async fn units_are_listed_with_their_agent_state_and_address() {
    let mut world = World::with_contoso().await;
    let request = v1::ListUnitsRequest::default();
    let units = world.services.list_units(request.clone()).await.expect("is listed").into_inner();
    let unit = units.units.iter().find(|unit| unit.unit == "contoso/westeurope/1").expect("is one");
    assert_eq!((unit.service.as_str(), unit.region.as_str()), ("contoso", "westeurope"));
    assert_eq!((unit.agent.as_str(), unit.state.as_str(), unit.pid), ("a", "ready", Some(4711)));
    assert_eq!(unit.address, "127.0.1.1:8080");

    let (observed, row) = {
        let state = world.fake.state();
        let unit = state.units_on(&agent_name("a")).next().cloned().expect("has one");
        let cause = "exit code 1".to_owned();
        let status = UnitStatus::Failed { restarts: 2, next_try: Timestamp(5), cause };
        let row =
            ReportedUnit { unit: unit.id, incarnation: unit.incarnation, status, replace: false };
        (state.header.revision, row)
    };
    let (generation, sequence) = (Generation(2), Sequence(1));
    let agent = agent_name("a");
    let after = Incarnation(0);
    let report = Report { agent, generation, sequence, after, observed, units: vec![row] };
    world.fake.happen(Command::Report(report));
    let units = world.services.list_units(request).await.expect("is listed").into_inner().units;
    let unit = units.iter().find(|unit| unit.agent == "a").expect("is one");
    assert_eq!((unit.state.as_str(), unit.restarts, unit.pid), ("failed", 2, None));
    assert_eq!(unit.cause, "exit code 1");
    let why = "contoso/westeurope/1 on a: exit code 1";
    assert_eq!(locations(&mut world).await[0].blocked_reason, why);
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await.expect("is returned");
    let [warning] = status.get_ref().warnings.as_slice() else { panic!("{status:?}") };
    assert_eq!(warning.message, format!("contoso in westeurope: 0 of 1 units ready; {why}"));
    assert_eq!((warning.reason.as_str(), warning.severity()), ("UNITS_MISSING", DEGRADED));
    assert_eq!(warning.subject, "services/contoso/regions/westeurope");
    assert_eq!(warning.next_step, "fix the cause, see `meridian unit list --service contoso`");

    let unknown = v1::ListUnitsRequest { consistency: 0, service: "fabrikam".to_owned() };
    let status = world.services.list_units(unknown).await.expect_err("there is none");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_location_reports_a_zone_without_an_agent() {
    let mut world = World::with_contoso().await;
    let zones = |zones| Some(v1::Zones { zones });
    let ahead = v1::AddRegion { region: "japaneast".to_owned(), units: 2, zones: vec![1, 2] };
    world.edit(vec![Edit::Add(ahead)]).await.expect("has no agent yet");
    for (node, zone) in [("d1", 1), ("d2", 2)] {
        let host = format!("127.0.2.{zone}");
        let agent = v1::RegisterAgentRequest {
            name: node.to_owned(),
            node: format!("{zone:016x}").replace('0', "d"),
            region: "japaneast".to_owned(),
            zone: Some(zone),
            witness: false,
            client_address: format!("{host}:7400"),
            peer_address: format!("{host}:7401"),
            gateway_host: host,
            supports: 1,
            cluster_id: String::new(),
            epoch: 0,
        };
        world.cluster.register_agent(agent).await.expect("is registered");
    }
    assert_eq!(locations(&mut world).await[2].blocked_reason, "");
    let context = crate::harness::context();
    let gone = v1::RemoveAgentRequest { context, agent: "d2".to_owned() };
    world.cluster.remove_agent(gone).await.expect("is removed");
    assert_eq!(locations(&mut world).await[2].blocked_reason, "no agent in zone 2 takes units");
    let elsewhere =
        v1::ScaleRegion { region: "japaneast".to_owned(), units: None, zones: zones(vec![1, 3]) };
    let status = world.edit(vec![Edit::Scale(elsewhere)]).await.expect_err("has no agent");
    assert_eq!(rejections(&status), ["ZONE_WITHOUT_AGENT"]);
    assert!(status.message().contains("zone 3"), "{}", status.message());
}

#[tokio::test]
async fn the_catalog_includes_regions_defined_by_operators() {
    let mut world = World::new().await;
    let request = v1::DefineRegionRequest {
        context: crate::harness::context(),
        name: "northpole".to_owned(),
        display_name: "North Pole".to_owned(),
        latitude: 89.999_999,
        longitude: -0.5,
    };
    world.cluster.define_region(request).await.expect("is defined");
    let list = world.services.list_catalog(v1::ListCatalogRequest {}).await;
    let regions = list.expect("is listed").into_inner().regions;
    assert_eq!(regions.len(), 60);
    assert!(regions.is_sorted_by_key(|region| region.name.clone()));
    let named = |name| regions.iter().find(|region| region.name == name).expect("is there");
    let pole = named("northpole");
    assert!(pole.custom && !named("eastus").custom);
    assert_eq!((pole.latitude, pole.longitude), (89.999_999, -0.5));
    assert_eq!((pole.agents, named("eastus").agents), (0, 1));
}
