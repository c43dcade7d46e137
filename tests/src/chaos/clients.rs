//! What clients ask for while faults are injected: changes of services, most of them where no agent
//! lives, and reads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_testkit::history::{Answer, Recorder};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::calls::{Ask, Caller, context};
use super::cluster::Cluster;

/// Services that clients change, where no agent lives: what happens there is an event, and no process.
const SERVICES: usize = 3;
/// Their regions: the primary one, and one that comes and goes.
const AWAY: [&str; 2] = ["brazilsouth", "koreacentral"];
/// The service that runs.
const LIVE: &str = "contoso";
/// How often a client asks for one change: longer than most faults last.
const ATTEMPTS: usize = 8;
/// Attempts at the creation of the services.
const PATIENT: usize = 100;

/// Creates the services: the one that runs, everywhere.
pub async fn prepare(cluster: &Arc<Cluster>, recorder: &Recorder) -> anyhow::Result<()> {
    let mut caller = Caller::new(cluster, recorder);
    let mut asks = vec![create(LIVE, cluster.members[0].region)];
    asks.extend((0..SERVICES).map(|number| create(&away(number), AWAY[0])));
    for member in &cluster.members {
        asks.push(place(member.region, 1));
    }
    for ask in asks {
        let answer = caller.change(0, &ask, PATIENT).await?;
        ensure!(matches!(answer, Answer::Accepted { .. }), "{ask:?} is answered by {answer:?}");
    }
    Ok(())
}

/// A client of that number, until it is told to stop.
pub async fn run(
    number: u64,
    seed: u64,
    cluster: Arc<Cluster>,
    recorder: Recorder,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
    let mut caller = Caller::new(&cluster, &recorder);
    let mut known = Vec::new();
    while !stop.is_cancelled() {
        let member = random.random_range(0..cluster.members.len());
        match random.random_range(0..10) {
            0..6 => {
                let ask = change(&mut random, &cluster, &known);
                caller.change(member, &ask, ATTEMPTS).await?;
            }
            kind => {
                if let Some(services) = caller.read(member, kind < 8).await? {
                    known = services;
                }
            }
        }
        sleep(Duration::from_millis(random.random_range(10..80))).await;
    }
    Ok(())
}

fn change(random: &mut StdRng, cluster: &Cluster, known: &[v1::Service]) -> Ask {
    let service = away(random.random_range(0..SERVICES));
    let units = random.random_range(1..4);
    let [primary, second] = AWAY;
    match random.random_range(0..20) {
        // Two clients that read the same revision: one of them is refused.
        0..3 => {
            let known = known.iter().find(|it| it.name == service).map(|it| it.revision);
            edit(&service, Edit::Scale(scale(primary, units)), known)
        }
        // Refused where it is there, or is not.
        3..6 => {
            let add = v1::AddRegion { region: second.to_owned(), units, zones: Vec::new() };
            edit(&service, Edit::Add(add), None)
        }
        6..9 => edit(&service, Edit::Remove(second.to_owned()), None),
        // What runs. The primary region stays.
        9 => {
            let region = cluster.members[random.random_range(0..cluster.members.len())].region;
            place(region, random.random_range(1..3))
        }
        10 if random.random_bool(0.2) => {
            let region = cluster.members[random.random_range(1..cluster.members.len())].region;
            displace(region)
        }
        _ => edit(&service, Edit::Scale(scale(primary, units)), None),
    }
}

/// A change that makes nothing but an event.
pub fn harmless(units: u32) -> Ask {
    edit(&away(0), Edit::Scale(scale(AWAY[0], units)), None)
}

/// A change after which the service that runs has so many units in a region.
pub fn place(region: &str, units: u32) -> Ask {
    edit(LIVE, Edit::Set(set(region, units)), None)
}

/// A change after which it has none there. Refused for the primary region, the first member's.
pub fn displace(region: &str) -> Ask {
    edit(LIVE, Edit::Remove(region.to_owned()), None)
}

fn away(number: usize) -> String {
    format!("away-{number}")
}

fn create(service: &str, primary: &str) -> Ask {
    Ask::Create(v1::CreateServiceRequest {
        context: context(),
        service: service.to_owned(),
        tier: "premium".to_owned(),
        primary: primary.to_owned(),
        port: None,
    })
}

fn edit(service: &str, edit: Edit, expected: Option<u64>) -> Ask {
    Ask::Change(v1::ChangeServiceRequest {
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
