//! The client load while faults are injected: reads, and changes of services, mostly in regions
//! without agents.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_testkit::history::{Outcome, Recorder};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::operations::{Client, Mutation, context};

/// Number of services in regions without agents. Changes of these are events and start no process.
const SERVICES: usize = 3;
/// Their regions: the primary one, and one that is added and removed.
const ABSENT_REGIONS: [&str; 2] = ["brazilsouth", "koreacentral"];
/// The service with running units.
pub const RUNNING_SERVICE: &str = "contoso";
/// Fraction of the changes with the request id of a client whose clock is ahead.
const AHEAD: f64 = 0.02;
/// Maximum attempts per change: enough to outlast most faults.
const ATTEMPTS: usize = 8;
/// Maximum attempts to create the services.
const SETUP_ATTEMPTS: usize = 100;

/// Creates the services, and adds all members' regions to the running one.
pub async fn prepare(cluster: &Arc<Cluster>, recorder: &Recorder) -> anyhow::Result<()> {
    let mut client = Client::new(cluster, recorder);
    let mut mutations = vec![create(RUNNING_SERVICE, cluster.members[0].region)];
    mutations.extend((0..SERVICES).map(|number| create(&absent(number), ABSENT_REGIONS[0])));
    for member in &cluster.members {
        mutations.push(set_units(member.region, 1));
    }
    for mutation in mutations {
        let outcome = client.change(0, &mutation, SETUP_ATTEMPTS).await?;
        ensure!(matches!(outcome, Outcome::Accepted { .. }), "{mutation:?} failed: {outcome:?}");
    }
    Ok(())
}

/// Runs the client with the given number until `stop` is cancelled.
pub async fn run(
    number: u64,
    seed: u64,
    cluster: Arc<Cluster>,
    recorder: Recorder,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
    let mut client = Client::new(&cluster, &recorder);
    let mut known = Vec::new();
    while !stop.is_cancelled() {
        let member = random.random_range(0..cluster.members.len());
        match random.random_range(0..10) {
            0..6 => {
                let mutation = change(&mut random, &cluster, &known);
                match random.random_bool(AHEAD) {
                    // Refused, so not retried.
                    true => drop(client.attempt(member, &mutation.with_future_id()).await?),
                    false => drop(client.change(member, &mutation, ATTEMPTS).await?),
                }
            }
            kind => {
                if let Some(services) = client.read(member, kind < 8).await? {
                    known = services;
                }
            }
        }
        sleep(Duration::from_millis(random.random_range(10..80))).await;
    }
    Ok(())
}

fn change(random: &mut StdRng, cluster: &Cluster, known: &[v1::Service]) -> Mutation {
    let service = absent(random.random_range(0..SERVICES));
    let units = random.random_range(1..4);
    let [primary, second] = ABSENT_REGIONS;
    match random.random_range(0..20) {
        // Conditional on the last revision read: of two concurrent edits, one is rejected.
        0..3 => {
            let known = known.iter().find(|it| it.name == service).map(|it| it.revision);
            edit(&service, Edit::Scale(scale(primary, units)), known)
        }
        // Rejected if the region is already present, or absent.
        3..6 => {
            let add = v1::AddRegion { region: second.to_owned(), units, zones: Vec::new() };
            edit(&service, Edit::Add(add), None)
        }
        6..9 => edit(&service, Edit::Remove(second.to_owned()), None),
        // The service with running units. Its primary region stays.
        9 => {
            let region = cluster.members[random.random_range(0..cluster.members.len())].region;
            set_units(region, random.random_range(1..3))
        }
        10 if random.random_bool(0.2) => {
            let region = cluster.members[random.random_range(1..cluster.members.len())].region;
            remove_region(region)
        }
        _ => edit(&service, Edit::Scale(scale(primary, units)), None),
    }
}

/// Returns a change that causes an event but starts no process.
pub fn event_only_change(units: u32) -> Mutation {
    edit(&absent(0), Edit::Scale(scale(ABSENT_REGIONS[0], units)), None)
}

/// Returns a change that sets the units of the running service in a region.
pub fn set_units(region: &str, units: u32) -> Mutation {
    edit(RUNNING_SERVICE, Edit::Set(set(region, units)), None)
}

/// Returns a change that removes a region of the running service. Rejected for the first member's
/// region, which is the primary.
pub fn remove_region(region: &str) -> Mutation {
    edit(RUNNING_SERVICE, Edit::Remove(region.to_owned()), None)
}

/// Returns a change that replaces all units of the running service in a region.
pub fn roll(region: &str) -> Mutation {
    let (service, region) = (RUNNING_SERVICE.to_owned(), region.to_owned());
    Mutation::Roll(v1::RollUnitsRequest { context: context(), service, region })
}

/// Returns a change that deletes a service.
pub fn delete(service: &str) -> Mutation {
    let service = service.to_owned();
    let expected_revision = None;
    Mutation::Delete(v1::DeleteServiceRequest { context: context(), service, expected_revision })
}

fn absent(number: usize) -> String {
    format!("absent-{number}")
}

/// Returns a change that creates a service.
pub fn create(service: &str, primary: &str) -> Mutation {
    Mutation::Create(v1::CreateServiceRequest {
        context: context(),
        service: service.to_owned(),
        tier: "premium".to_owned(),
        primary: primary.to_owned(),
        port: None,
        when_disabled: None,
    })
}

fn edit(service: &str, edit: Edit, expected: Option<u64>) -> Mutation {
    Mutation::Change(v1::ChangeServiceRequest {
        context: context(),
        service: service.to_owned(),
        expected_revision: expected,
        edits: vec![v1::Edit { edit: Some(edit) }],
    })
}

fn set(region: &str, units: u32) -> v1::SetRegion {
    v1::SetRegion { region: region.to_owned(), units }
}

fn scale(region: &str, units: u32) -> v1::ScaleRegion {
    v1::ScaleRegion { region: region.to_owned(), units: Some(units), zones: None }
}
