//! A sample of each stored type and variant. All numbers differ, so that swapped fields are
//! detected.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use meridian_domain::api::Timeouts;
use meridian_domain::command::{Command, Edit};
use meridian_domain::limits::Limits;
use meridian_domain::outcome::Outcome;
use meridian_domain::reachability::{Evidence, Gateways, Loss, LossVotes, ProberGroup};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::routing::MeasuredRoundTrip;
use meridian_domain::state::Header;
use meridian_domain::{
    Actor, Address, Agent, AgentDescription, AgentName, Api, ApiName, ApiPath, BackendUrl, Change,
    ClusterId, DataVersion, Digest, DnsSettings, Entry, Epoch, Event, EventRecord, Generation,
    Incarnation, Location, Network, NodeId, Origin, Preference, Reason, RefusedConfiguration,
    Region, RegionName, Rejection, RequestId, Revision, RoutingPolicy, Sequence, Service,
    ServiceName, Tier, Timestamp, Unit, UnitId, UnitPhase, Verdict, WhenDisabled, Zone, Zones,
};
use meridian_storage::disk::addresses::{AddressOverride, AddressOverrides};
use meridian_storage::disk::directory::StoredIdentity;
pub use meridian_storage::disk::entry::Position;
use meridian_storage::disk::entry::{StoredBody, StoredEntry, StoredMember, StoredVote};
use meridian_storage::disk::epoch::{LocalEpoch, Recovery};
use meridian_storage::disk::mark::StoredMark;
use meridian_storage::rows::{StoredLosses, StoredNetwork, StoredRoundTrip};
use uuid::Uuid;

mod events;
mod rejections;
mod routing;

pub use events::events;
pub use rejections::rejections;
use routing::{dns, evidence, network, other_region_name, preference};
pub use routing::{losses, stored_network, stored_round_trip};

fn service_name() -> ServiceName {
    ServiceName::new("contoso").expect("is a name")
}

fn region_name() -> RegionName {
    RegionName::new("westeurope").expect("is a name")
}

fn agent_name() -> AgentName {
    AgentName::new("agent-1").expect("is a name")
}

fn address(text: &str) -> Address {
    Address::new(text).expect("is an address")
}

fn zones() -> Zones {
    [1, 3].into_iter().map(|zone| Zone::try_from(zone).expect("is a zone")).collect()
}

fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
}

fn request() -> RequestId {
    let uuid = Uuid::from_u128(0x0193_2f5e_8b1a_7c3d_9e4f_0123_4567_89ab);
    uuid.try_into().expect("is version 7")
}

fn digest() -> Digest {
    Digest(std::array::from_fn(|at| u8::try_from(at).expect("is small")))
}

fn unit_id() -> UnitId {
    UnitId { service: service_name(), region: region_name(), slot: 5 }
}

fn limits() -> Limits {
    Limits { developer_units: 2, basic_units: 3, standard_units: 5, premium_units: 13, voters: 3 }
}

fn api_name() -> ApiName {
    ApiName::new("orders").expect("is a name")
}

fn other_api() -> ApiName {
    ApiName::new("stock").expect("is a name")
}

fn backend(text: &str) -> BackendUrl {
    BackendUrl::new(text).expect("is a backend")
}

pub fn api() -> Api {
    Api {
        name: api_name(),
        path: ApiPath::new("/orders").expect("is a path"),
        backend: backend("https://orders.internal:8443/v2"),
        regional: BTreeMap::from([(region_name(), backend("http://[::1]:93"))]),
        timeouts: Timeouts { connect_ms: 94, response_ms: 95, idle_ms: 96 },
    }
}

pub fn region() -> Region {
    Region {
        name: region_name(),
        display_name: "West Europe".to_owned(),
        latitude_microdegrees: 52_366_700,
        longitude_microdegrees: -4_900_000,
    }
}

pub fn agent_description() -> AgentDescription {
    AgentDescription {
        name: agent_name(),
        node: NodeId(0x0102_0304_0506_0708),
        region: region_name(),
        zone: Some(Zone::try_from(2).expect("is a zone")),
        witness: true,
        client_address: address("10.0.0.1:7400"),
        peer_address: address("[2001:db8::1]:7401"),
        gateway_host: "gateway.example.net".to_owned(),
        supports: DataVersion(9),
    }
}

pub fn agent() -> Agent {
    Agent {
        description: agent_description(),
        drained: true,
        registered: Revision(21),
        last_report: (Generation(22), Sequence(23)),
    }
}

pub fn service() -> Service {
    let location = Location {
        units: 4,
        zones: zones(),
        gateway_enabled: true,
        rolled: Revision(80),
        preference: preference(),
    };
    Service {
        name: service_name(),
        tier: Tier::Standard,
        primary: region_name(),
        port: 8081,
        routing: RoutingPolicy::Priority,
        when_disabled: WhenDisabled::Redirect,
        locations: BTreeMap::from([(region_name(), location)]),
        revision: Revision(24),
        configuration: Revision(81),
    }
}

pub fn header() -> Header {
    Header {
        cluster: Some(cluster()),
        data_version: DataVersion(1),
        revision: Revision(25),
        time: Timestamp(1_700_000_000_001),
        limits: limits(),
        trimmed: Revision(11),
        epoch: Epoch(86),
        dns: dns(),
    }
}

pub fn unit(phase: UnitPhase) -> Unit {
    Unit { id: unit_id(), incarnation: Incarnation(26), agent: agent_name(), port: 8082, phase }
}

fn refused() -> Option<RefusedConfiguration> {
    let cause = "host not found".to_owned();
    Some(RefusedConfiguration { configuration: Revision(89), cause })
}

pub fn unit_phases() -> Vec<UnitPhase> {
    vec![
        UnitPhase::Starting,
        UnitPhase::Ready { pid: Some(4711), configuration: Revision(82), refused: refused() },
        UnitPhase::Failed {
            restarts: 6,
            next_try: Timestamp(1_700_000_000_002),
            cause: "exit status 1".to_owned(),
        },
        UnitPhase::Draining,
    ]
}

pub fn unit_statuses() -> Vec<UnitStatus> {
    vec![
        UnitStatus::Busy,
        UnitStatus::Ready { pid: Some(4712), configuration: Revision(83), refused: refused() },
        UnitStatus::Failed {
            restarts: 7,
            next_try: Timestamp(1_700_000_000_003),
            cause: "killed by signal 9".to_owned(),
        },
    ]
}

pub fn tiers() -> Vec<Tier> {
    Tier::ALL.to_vec()
}

pub fn origins() -> Vec<Origin> {
    vec![
        Origin::Operator {
            request: request(),
            digest: digest(),
            actor: Actor::new("user@host").expect("is an actor"),
            reason: Some(Reason::new("more traffic").expect("is a reason")),
        },
        Origin::Report { agent: agent_name(), generation: Generation(27), sequence: Sequence(28) },
        Origin::System,
    ]
}

pub fn verdicts() -> Vec<Verdict> {
    vec![Verdict::Accepted, Verdict::Rejected(vec![Rejection::NotBootstrapped, Rejection::NoEdits])]
}

pub fn entry() -> Entry {
    let change = |(origin, verdict)| {
        let service = service_name();
        Change { origin, events: vec![Event::ServiceDeleted { service }], verdict }
    };
    let [accepted, rejected] = verdicts().try_into().expect("there are two");
    let verdicts = [accepted.clone(), rejected, accepted];
    Entry {
        base: Revision(29),
        time: Timestamp(1_700_000_000_004),
        changes: origins().into_iter().zip(verdicts).map(change).collect(),
    }
}

pub fn record(event: Event) -> EventRecord {
    EventRecord {
        revision: Revision(32),
        change: Revision(31),
        change_end: Revision(33),
        time: Timestamp(1_700_000_000_005),
        origin: Origin::System,
        event,
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    Outcome { digest: digest(), verdict, base: Revision(34), revision: Revision(35) }
}

pub fn acceptance() -> Outcome {
    outcome(Verdict::Accepted)
}

pub fn rejection(rejection: Rejection) -> Outcome {
    outcome(Verdict::Rejected(vec![rejection]))
}

pub fn edits() -> Vec<Edit> {
    let region = region_name;
    vec![
        Edit::Add { region: region(), units: 2, zones: zones() },
        Edit::Scale { region: region(), units: Some(3), zones: Some(zones()) },
        Edit::Set { region: region(), units: 4 },
        Edit::Remove { region: region() },
        Edit::Promote { region: region() },
        Edit::Enable { region: region() },
        Edit::Disable { region: region() },
        Edit::Prefer { region: region(), priority: Some(95), weight: Some(96) },
        Edit::Routing(RoutingPolicy::Weighted),
        Edit::WhenDisabled(WhenDisabled::Redirect),
        Edit::Tier(Tier::Basic),
        Edit::Port(8083),
        Edit::PublishApi(api()),
        Edit::RemoveApi { api: api_name() },
    ]
}

pub fn commands() -> Vec<Command> {
    let (agent, service) = (agent_name, service_name);
    let reported = |status| ReportedUnit {
        unit: unit_id(),
        incarnation: Incarnation(36),
        status,
        replace: true,
    };
    vec![
        Command::BootstrapCluster { cluster: cluster(), agents: vec![agent_description()] },
        Command::RaiseDataVersion { version: DataVersion(2) },
        Command::SetLimits { limits: limits() },
        Command::DefineRegion { region: region() },
        Command::TrimHistory { through: Revision(37) },
        Command::RegisterAgent(agent_description()),
        Command::DrainAgent { agent: agent() },
        Command::UndrainAgent { agent: agent() },
        Command::RemoveAgent { agent: agent() },
        Command::CreateService {
            service: service(),
            tier: Tier::Premium,
            primary: region_name(),
            port: Some(8084),
            when_disabled: WhenDisabled::Redirect,
        },
        Command::ChangeService { service: service(), expected: Some(Revision(38)), edits: edits() },
        Command::DeleteService { service: service(), expected: Some(Revision(39)) },
        Command::Report(Report {
            agent: agent(),
            generation: Generation(40),
            sequence: Sequence(41),
            after: Incarnation(41),
            observed: Revision(42),
            units: unit_statuses().into_iter().map(reported).collect(),
        }),
        Command::RollUnits { service: service(), region: Some(region_name()) },
        Command::RecordRecovery { epoch: Epoch(88) },
        Command::SetDns { settings: dns() },
        Command::ChangeNetworks {
            assign: vec![(network(), region_name())],
            remove: vec!["2001:db8::/32".parse().expect("is a network")],
        },
        Command::RecordRoundTrips {
            from: region_name(),
            measured: vec![(other_region_name(), 97_000)],
        },
        Command::LoseGateways(LossVotes {
            agent: agent(),
            generation: Generation(98),
            gateways: Gateways::Of(service()),
            unreachable_from: evidence().unreachable_from,
            relapses: 99,
        }),
        Command::FindGateways { agent: agent(), gateways: Gateways::All },
    ]
}

pub fn raft_bodies() -> Vec<StoredBody> {
    let member = |address: &str| StoredMember { address: address.to_owned() };
    vec![
        StoredBody::Blank,
        StoredBody::Normal(Bytes::from_static(b"an encoded entry")),
        StoredBody::Membership {
            voters: vec![BTreeSet::from([46, 47]), BTreeSet::from([46])],
            members: BTreeMap::from([(46, member("a:7401")), (47, member("b:7401"))]),
        },
    ]
}

pub fn raft_entries() -> Vec<StoredEntry> {
    let entry = |body| StoredEntry { position: position(), body };
    raft_bodies().into_iter().map(entry).collect()
}

pub fn position() -> Position {
    Position { term: 48, node: 0x1112_1314_1516_1718, index: 49 }
}

pub fn raft_vote() -> StoredVote {
    StoredVote { term: 50, node: 51, committed: true }
}

pub fn identity() -> StoredIdentity {
    StoredIdentity { cluster: cluster().0.into_bytes(), node: 52 }
}

pub fn epoch() -> LocalEpoch {
    let recovery = Recovery {
        actor: Actor::new("user@host").expect("is an actor"),
        reason: Reason::new("two disks lost").expect("is a reason"),
        pending: true,
    };
    LocalEpoch { epoch: Epoch(89), recovery: Some(recovery) }
}

pub fn addresses() -> AddressOverrides {
    let address = |text| Address::new(text).expect("is an address");
    let given = AddressOverride { replaces: address("a:1"), address: address("b:2") };
    AddressOverrides { by_node: [(NodeId(90), given)].into() }
}

pub fn mark() -> StoredMark {
    StoredMark {
        sequence: 53,
        owner: identity(),
        vote: Some(raft_vote()),
        durable: Some(position()),
    }
}
