//! Many clients at once, while the leader dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meridian_proto::v1;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::wait::{PATIENCE, until};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::support::{Three, client, done, events, request_id, same_log, same_state, scaling};

const CHANGES: usize = 1_000;
/// After how many acknowledged changes the leader is killed.
const KILLS: [usize; 2] = [300, 650];
/// For one attempt at one agent.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Regions without an agent, one for each of the clients.
const REGIONS: [&str; 16] = [
    "japaneast",
    "japanwest",
    "uksouth",
    "ukwest",
    "westus",
    "westus2",
    "westus3",
    "centralus",
    "brazilsouth",
    "francecentral",
    "norwayeast",
    "polandcentral",
    "qatarcentral",
    "koreacentral",
    "italynorth",
    "southindia",
];

/// A change that was acknowledged.
struct Change {
    id: String,
    region: &'static str,
    units: u32,
    revision: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_changes_by_sixteen_clients_each_happens_once_though_the_leader_dies_twice() {
    let three = Three::start().await;
    let setup = REGIONS.map(|region| format!("{region}=12")).join(" ");
    let base = done(&three.agents[0], &format!("region set {setup}")).await["revision"].as_u64();
    let base = base.expect("has a revision");

    let began = Instant::now();
    let (next, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = REGIONS
        .into_iter()
        .enumerate()
        .map(|(number, region)| {
            let agents = three.agents.iter().map(client).collect();
            tokio::spawn(work(number, region, agents, next.clone(), acknowledged.clone()))
        })
        .collect();
    for kill_at in KILLS {
        reached(&acknowledged, kill_at).await;
        let leader = three.leader().await;
        leader.kill().expect("dies");
        reached(&acknowledged, kill_at + 50).await;
        leader.start().expect("starts");
    }
    let mut changes = Vec::new();
    for client in clients {
        changes.extend(client.await.expect("no client fails"));
    }
    println!("{CHANGES} changes took {:?}", began.elapsed());
    assert_eq!(changes.len(), CHANGES);

    let log = same_log(&three.agents).await;
    meridian_testkit::wait::until_ok("one state", async || {
        same_state(&three.agents[0], &three.agents).await
    })
    .await;
    each_happened_once(&changes, &log, base);
    reuse_is_refused(&three, &changes[0]).await;
    assert_eq!(same_log(&three.agents).await, log);
}

/// Asks for changes of one region, beginning at another agent each time, until there are enough.
async fn work(
    number: usize,
    region: &'static str,
    agents: Vec<ServicesClient<Channel>>,
    next: Arc<AtomicUsize>,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for turn in 0.. {
        if next.fetch_add(1, Ordering::Relaxed) >= CHANGES {
            break;
        }
        // Each gives another number than the one before, so that each makes an event.
        let (id, units) = (request_id(), 1 + turn % 11);
        let message = scaling(&id, region, units);
        let answer = insist(&agents, number + turn as usize, message).await;
        changes.push(Change { id, region, units, revision: answer.revision });
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    changes
}

/// Asks one agent after another, with the same request id, until one acknowledges.
async fn insist(
    agents: &[ServicesClient<Channel>],
    first: usize,
    message: v1::ChangeServiceRequest,
) -> v1::ChangeResponse {
    let began = Instant::now();
    for turn in first.. {
        let mut request = Request::new(message.clone());
        request.set_timeout(ATTEMPT);
        let status = match agents[turn % agents.len()].clone().change_service(request).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => status,
        };
        let refused = [Code::FailedPrecondition, Code::InvalidArgument, Code::Aborted];
        assert!(!refused.contains(&status.code()), "{status:?}");
        assert!(began.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("there is always another turn")
}

async fn reached(acknowledged: &AtomicUsize, count: usize) {
    until("changes to be acknowledged", async || {
        (acknowledged.load(Ordering::Relaxed) >= count).then_some(())
    })
    .await;
}

/// Every acknowledged change is in the log exactly once, as it was acknowledged, and nothing else
/// is that somebody asked for.
fn each_happened_once(changes: &[Change], log: &str, base: u64) {
    let mut expected = BTreeMap::new();
    for Change { id, region, units, revision } in changes {
        assert!(expected.insert(id.clone(), (*region, *units, *revision)).is_none());
    }
    let asked = |event: &serde_json::Value| Some(event["requestId"].as_str()?.to_owned());
    for event in events(log) {
        let Some(id) = asked(&event).filter(|_| event["revision"].as_u64() > Some(base)) else {
            continue;
        };
        let (region, units, revision) = expected.remove(&id).expect("was asked for, and once");
        assert_eq!(event["type"], "UnitsScaled");
        assert_eq!(
            (&event["data"]["region"], &event["data"]["units"]),
            (&region.into(), &units.into())
        );
        assert_eq!(event["revision"], revision, "{event}");
    }
    assert!(expected.is_empty(), "were acknowledged and did not happen: {expected:?}");
}

async fn reuse_is_refused(three: &Three, change: &Change) {
    for agent in &three.agents {
        let same = scaling(&change.id, change.region, change.units);
        let again = insist(&[client(agent)], 0, same).await;
        assert_eq!(again.revision, change.revision);
        let edit = format!("{}={}", change.region, change.units + 1);
        let reused = agent.run(&["region", "set", &edit, "--request-id", &change.id]).await;
        let reused = reused.expect("runs");
        assert_eq!(reused.code, Some(1), "{reused:?}");
        assert!(reused.said.contains(&change.id), "{reused:?}");
    }
}
