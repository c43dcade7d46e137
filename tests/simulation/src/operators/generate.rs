//! Random commands of operators.

use std::sync::Arc;

use meridian_domain::api::Timeouts;
use meridian_domain::{
    Api, ApiName, ApiPath, BackendUrl, Command, Edit, RegionName, ServiceName, State, Tier,
    WhenDisabled,
};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use crate::agent::Agent;

/// Number of services that operators change.
const SERVICES: u32 = 6;

/// Returns a random command that is usually valid in `state`.
pub(super) fn command(
    rng: &mut SmallRng,
    regions: &[RegionName],
    agents: &[Arc<Agent>],
    state: &State,
) -> Command {
    let service = service(rng);
    let region = regions.choose(rng).expect("there is at least one region").clone();
    let Some(known) = state.services.get(&service) else {
        return Command::CreateService {
            service,
            tier: Tier::Premium,
            primary: region,
            port: None,
            when_disabled: when_disabled(rng),
        };
    };
    match rng.random_range(0..100) {
        0..75 => {
            let expected = rng.random_bool(0.3).then_some(known.configuration);
            let count = rng.random_range(1..=2);
            let edits = (0..count).map(|_| edit(rng, regions)).collect();
            Command::ChangeService { service, expected, edits }
        }
        75..82 => Command::DeleteService { service, expected: None },
        82..88 => Command::RollUnits { service, region: None },
        88..94 => Command::DrainAgent { agent: agent(rng, agents) },
        _ => Command::UndrainAgent { agent: agent(rng, agents) },
    }
}

fn service(rng: &mut SmallRng) -> ServiceName {
    let name = format!("service-{}", rng.random_range(0..SERVICES));
    ServiceName::new(name).expect("a valid name")
}

fn when_disabled(rng: &mut SmallRng) -> WhenDisabled {
    *WhenDisabled::ALL.choose(rng).expect("there is at least one value")
}

fn agent(rng: &mut SmallRng, agents: &[Arc<Agent>]) -> meridian_domain::AgentName {
    let agent = agents.iter().choose(rng).expect("there is at least one agent");
    agent.description.name.clone()
}

fn edit(rng: &mut SmallRng, regions: &[RegionName]) -> Edit {
    let region = regions.choose(rng).expect("there is at least one region").clone();
    match rng.random_range(0..11) {
        0..5 => Edit::Set { region, units: rng.random_range(1..=4) },
        5 => Edit::Remove { region },
        6 => Edit::Promote { region },
        7 => Edit::Disable { region },
        8 => Edit::Enable { region },
        9 => Edit::WhenDisabled(when_disabled(rng)),
        _ => Edit::PublishApi(Api {
            name: ApiName::new("orders").expect("a valid name"),
            path: ApiPath::new("/orders").expect("a valid path"),
            backend: BackendUrl::new(&format!("http://backend-{}", rng.random_range(0..9)))
                .expect("a valid URL"),
            regional: Default::default(),
            timeouts: Timeouts::default(),
        }),
    }
}
