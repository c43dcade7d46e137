//! Random commands: mostly ones that may be accepted, about a small number of objects so that they
//! interact.

use meridian_domain::limits::Limits;
use meridian_domain::reachability::{Gateways, LossVotes, ProberGroup};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{
    agent, agent_name, api, change, cluster, create, region, service, set, zone, zones,
};

/// A command, or a template for one that depends on the state that it is applied to.
#[derive(Debug, Clone)]
pub enum Step {
    Do(Box<Command>),
    /// A report of an agent about its units. Cycles through `statuses`; `None` leaves a unit out.
    Report {
        agent: AgentName,
        generation: u64,
        behind: u64,
        /// Status of each unit, and whether it asks to be replaced.
        statuses: Vec<Option<(UnitStatus, bool)>>,
    },
    /// A change that expects the current revision of the service, or an older one.
    Expecting {
        service: ServiceName,
        behind: u64,
        edits: Vec<Edit>,
    },
}

impl Step {
    pub fn command(&self, state: &State, sequence: u64) -> Command {
        match self {
            Self::Do(command) => (**command).clone(),
            Self::Report { agent, generation, behind, statuses } => {
                let rows = state.units_on(agent).zip(statuses.iter().cycle());
                let row = |(unit, status): (&Unit, &Option<(UnitStatus, bool)>)| {
                    let (unit, incarnation) = (unit.id.clone(), unit.incarnation);
                    let (status, replace) = status.clone()?;
                    Some(ReportedUnit { unit, incarnation, status, replace })
                };
                Command::Report(Report {
                    agent: agent.clone(),
                    generation: Generation(*generation),
                    sequence: Sequence(sequence),
                    after: Incarnation(0),
                    observed: Revision(state.header.revision.0.saturating_sub(*behind)),
                    units: rows.filter_map(row).collect(),
                })
            }
            Self::Expecting { service, behind, edits } => {
                let current = state.services.get(service).map_or(0, |known| known.revision.0);
                Command::ChangeService {
                    service: service.clone(),
                    expected: Some(Revision(current.saturating_sub(*behind))),
                    edits: edits.clone(),
                }
            }
        }
    }
}

fn any_region() -> impl Strategy<Value = RegionName> {
    let often = prop_oneof![4 => Just("westeurope"), 4 => Just("eastus"), 2 => Just("lab")];
    prop_oneof![9 => often, 1 => select(vec!["southeastasia", "nowhere"])].prop_map(region)
}

fn any_service() -> impl Strategy<Value = ServiceName> {
    prop_oneof![4 => Just("contoso"), 1 => Just("fabrikam")].prop_map(service)
}

fn any_tier() -> impl Strategy<Value = Tier> {
    prop_oneof![3 => Just(Tier::Premium), 1 => select(Tier::ALL.to_vec())]
}

fn any_zones() -> impl Strategy<Value = Zones> {
    select(vec![vec![], vec![1], vec![1, 2], vec![1, 2, 3]]).prop_map(|over| zones(&over))
}

fn any_agent() -> impl Strategy<Value = AgentName> {
    (1..=AGENTS).prop_map(|number| agent_name(&format!("a{number}")))
}

/// Number of agents.
const AGENTS: u64 = 6;

/// Returns the description of agent `number`. The last agent is in another region.
pub fn describe(number: u64) -> AgentDescription {
    let place = if number == AGENTS { "eastus" } else { "westeurope" };
    let zone = u8::try_from(number % 4).ok().filter(|number| *number > 0).map(zone);
    AgentDescription { zone, ..agent(&format!("a{number}"), number, place) }
}

fn description() -> impl Strategy<Value = AgentDescription> {
    let one_in = |one_in: f64| prop::bool::weighted(1.0 / one_in);
    (1..=AGENTS, one_in(20.0), one_in(20.0), one_in(5.0)).prop_map(
        |(number, is_new, witness, moved)| {
            let known = describe(number);
            AgentDescription {
                node: NodeId(if is_new { number + AGENTS } else { number }),
                witness,
                gateway_host: if moved { "gw.example.net".to_owned() } else { known.gateway_host },
                ..known
            }
        },
    )
}

fn any_units() -> impl Strategy<Value = u16> {
    prop_oneof![4 => select(vec![6_u16, 12]), 8 => 1..6_u16, 1 => select(vec![0_u16, 13])]
}

fn edit() -> impl Strategy<Value = Edit> {
    let add = (any_region(), any_units(), any_zones())
        .prop_map(|(region, units, zones)| Edit::Add { region, units, zones });
    let spread = (any_region(), prop::option::of(any_units()), any_zones())
        .prop_map(|(region, units, zones)| Edit::Scale { region, units, zones: Some(zones) });
    let scale = (any_region(), any_units()).prop_map(|(region, units)| {
        let units = Some(units);
        Edit::Scale { region, units, zones: None }
    });
    prop_oneof![
        1 => add,
        2 => spread,
        2 => scale,
        4 => (any_region(), any_units()).prop_map(|(region, units)| Edit::Set { region, units }),
        1 => any_region().prop_map(|region| Edit::Remove { region }),
        1 => any_region().prop_map(|region| Edit::Promote { region }),
        1 => any_region().prop_map(|region| Edit::Enable { region }),
        1 => any_region().prop_map(|region| Edit::Disable { region }),
        1 => (any_region(), prop::option::of(0..3_u16)).prop_map(|(region, priority)| {
            Edit::Prefer { region, priority, weight: Some(50) }
        }),
        1 => select(RoutingPolicy::ALL).prop_map(Edit::Routing),
        1 => select(WhenDisabled::ALL).prop_map(Edit::WhenDisabled),
        1 => any_tier().prop_map(Edit::Tier),
        1 => (8078..8090_u16).prop_map(Edit::Port),
        2 => (any_api(), select(vec!["/", "/a", "/a/b"])).prop_map(|(name, path)| {
            Edit::PublishApi(api(name, path, "http://orders.internal"))
        }),
        1 => any_api().prop_map(|name| Edit::RemoveApi { api: api(name, "/", "http://a").name }),
    ]
}

fn any_network() -> impl Strategy<Value = Network> {
    select(vec!["10.1.0.0/16", "10.1.2.0/24", "2001:db8::/32"])
        .prop_map(|text| text.parse().expect("valid network"))
}

fn any_gateways() -> impl Strategy<Value = Gateways> {
    prop_oneof![Just(Gateways::All), any_service().prop_map(Gateways::Of)]
}

fn any_api() -> impl Strategy<Value = &'static str> {
    select(vec!["orders", "stock"])
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 1..3)
}

fn any_generation() -> impl Strategy<Value = u64> {
    prop_oneof![20 => Just(1_u64), 1 => Just(2)]
}

fn status() -> impl Strategy<Value = Option<(UnitStatus, bool)>> {
    let replace = prop_oneof![9 => Just(false), 1 => Just(true)];
    (reported_status(), replace).prop_map(|(status, replace)| Some((status?, replace)))
}

fn reported_status() -> impl Strategy<Value = Option<UnitStatus>> {
    let refused = |refuses: bool, pid: u32| {
        let (configuration, cause) = (Revision(pid.into()), "host not found".to_owned());
        refuses.then_some(RefusedConfiguration { configuration, cause })
    };
    prop_oneof![
        Just(None),
        Just(Some(UnitStatus::Busy)),
        (1..3_u32, any::<bool>()).prop_map(move |(pid, refuses)| Some(UnitStatus::Ready {
            pid: Some(pid),
            configuration: Revision(pid.into()),
            refused: refused(refuses, pid),
        })),
        (1..3_u32).prop_map(|restarts| {
            let cause = "it exited".to_owned();
            Some(UnitStatus::Failed { restarts, next_try: Timestamp(1), cause })
        }),
    ]
}

fn cluster_command() -> impl Strategy<Value = Command> {
    let limits = (6..14_u16, 1..7_u8).prop_map(|(premium_units, voters)| Limits {
        premium_units,
        voters,
        ..Limits::default()
    });
    prop_oneof![
        limits.prop_map(|limits| Command::SetLimits { limits }),
        (0..95_i32).prop_map(|degrees| Command::DefineRegion {
            region: Region {
                name: region("lab"),
                display_name: "Lab".to_owned(),
                latitude_microdegrees: degrees * 1_000_000,
                longitude_microdegrees: 0,
            }
        }),
        (0..3_u32).prop_map(|version| Command::RaiseDataVersion { version: DataVersion(version) }),
        (0..9_000_u64).prop_map(|through| Command::TrimHistory { through: Revision(through) }),
        (0..3_u64).prop_map(|epoch| Command::RecordRecovery { epoch: Epoch(epoch) }),
        (0..9_u8, any_agent()).prop_map(|(ttl_seconds, agent)| Command::SetDns {
            settings: DnsSettings {
                ttl_seconds,
                name_servers: vec![agent],
                ..DnsSettings::default()
            }
        }),
        (any_network(), any_region(), any::<bool>()).prop_map(|(network, region, removes)| {
            let remove = if removes { vec![network] } else { Vec::new() };
            Command::ChangeNetworks { assign: vec![(network, region)], remove }
        }),
        any_network().prop_map(|network| Command::ChangeNetworks {
            assign: Vec::new(),
            remove: vec![network],
        }),
        (any_region(), any_region(), 0..200_000_u32).prop_map(|(from, to, micros)| {
            Command::RecordRoundTrips { from, measured: vec![(to, micros)] }
        }),
        (any_agent(), any_gateways(), any_generation()).prop_map(
            |(agent, gateways, generation)| {
                Command::LoseGateways(LossVotes {
                    unreachable_from: (1..4)
                        .map(|it| ProberGroup::Agent(describe(it).name))
                        .collect(),
                    generation: Generation(generation),
                    relapses: 0,
                    agent,
                    gateways,
                })
            }
        ),
        (any_agent(), any_gateways())
            .prop_map(|(agent, gateways)| Command::FindGateways { agent, gateways }),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let port = prop::option::of(8078..8084_u16);
    let create = (any_service(), any_tier(), any_region(), port, select(WhenDisabled::ALL))
        .prop_map(|(service, tier, primary, port, when_disabled)| Command::CreateService {
            service,
            tier,
            primary,
            port,
            when_disabled,
        });
    let change = (any_service(), edits()).prop_map(|(service, edits)| Command::ChangeService {
        service,
        expected: None,
        edits,
    });
    let command = prop_oneof![
        2 => cluster_command(),
        6 => description().prop_map(Command::RegisterAgent),
        3 => any_agent().prop_map(|agent| Command::DrainAgent { agent }),
        4 => any_agent().prop_map(|agent| Command::UndrainAgent { agent }),
        1 => any_agent().prop_map(|agent| Command::RemoveAgent { agent }),
        4 => create,
        12 => change,
        1 => any_service().prop_map(|service| Command::DeleteService { service, expected: None }),
        2 => (any_service(), prop::option::of(any_region()))
            .prop_map(|(service, region)| Command::RollUnits { service, region }),
    ];
    let report = (any_agent(), any_generation(), 0..9_u64, prop::collection::vec(status(), 1..5))
        .prop_map(|(agent, generation, behind, statuses)| Step::Report {
            agent,
            generation,
            behind,
            statuses,
        });
    let expecting = (any_service(), 0..2_u64, edits())
        .prop_map(|(service, behind, edits)| Step::Expecting { service, behind, edits });
    prop_oneof![
        8 => command.prop_map(|command| Step::Do(Box::new(command))),
        6 => report,
        1 => expecting,
    ]
}

/// Returns the first steps of every sequence: three agents in one region, and a service in two
/// regions.
pub fn setup() -> Vec<Step> {
    let mut commands = vec![Command::BootstrapCluster { cluster: cluster(1), agents: vec![] }];
    commands.extend((1..4).map(describe).map(Command::RegisterAgent));
    commands.push(create("contoso", Tier::Premium, "westeurope"));
    commands.push(change([set("westeurope", 6), set("eastus", 2)]));
    commands.into_iter().map(|command| Step::Do(Box::new(command))).collect()
}
