//! Many concurrent clients, while the leader is killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meridian_proto::v1;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::wait::{TIMEOUT, until};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::support::{Three, client, events, execute, request_id, same_log, same_state, scaling};

const CHANGES: usize = 1_000;
/// Numbers of acknowledged changes after which the leader is killed.
const KILLS: [usize; 2] = [300, 650];
/// Timeout of an attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Regions without an agent, one per client.
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

/// An acknowledged change.
struct Change {
    id: String,
    region: &'static str,
    units: u32,
    revision: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_by_sixteen_clients_are_each_applied_once_while_the_leader_is_killed_twice()
 {
    let three = Three::start().await;
    let setup = REGIONS.map(|region| format!("{region}=12")).join(" ");
    let base = execute(&three.agents[0], &format!("region set {setup}")).await["revision"].as_u64();
    let base = base.expect("the output has a revision");

    let began = Instant::now();
    let (next, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = REGIONS
        .into_iter()
        .enumerate()
        .map(|(number, region)| {
            let agents = three.agents.iter().map(client).collect();
            tokio::spawn(run_client(number, region, agents, next.clone(), acknowledged.clone()))
        })
        .collect();
    for kill_at in KILLS {
        wait_for_changes(&acknowledged, kill_at).await;
        let leader = three.leader().await;
        leader.kill().expect("the agent is killed");
        wait_for_changes(&acknowledged, kill_at + 50).await;
        leader.start().expect("the agent starts");
    }
    let mut changes = Vec::new();
    for client in clients {
        changes.extend(client.await.expect("the client task does not panic"));
    }
    println!("{CHANGES} changes took {:?}", began.elapsed());
    assert_eq!(changes.len(), CHANGES);

    let log = same_log(&three.agents).await;
    meridian_testkit::wait::until_ok("one state", async || {
        same_state(&three.agents[0], &three.agents).await
    })
    .await;
    assert_applied_once(&changes, &log, base);
    assert_reuse_is_rejected(&three, &changes[0]).await;
    assert_eq!(same_log(&three.agents).await, log);
}

/// Submits changes of one region, to another agent first each time, until there are enough.
async fn run_client(
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
        // Alternate the number, so that each change causes an event.
        let (id, units) = (request_id(), 1 + turn % 11);
        let message = scaling(&id, region, units);
        let response = change_with_retries(&agents, number + turn as usize, message).await;
        changes.push(Change { id, region, units, revision: response.revision });
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    changes
}

/// Submits a change to one agent after another, with the same request id, until one acknowledges
/// it.
async fn change_with_retries(
    agents: &[ServicesClient<Channel>],
    first: usize,
    message: v1::ChangeServiceRequest,
) -> v1::ChangeResponse {
    let began = Instant::now();
    for turn in first.. {
        let mut request = Request::new(message.clone());
        request.set_timeout(ATTEMPT_TIMEOUT);
        let status = match agents[turn % agents.len()].clone().change_service(request).await {
            Ok(response) => return response.into_inner(),
            Err(status) => status,
        };
        let rejections = [Code::FailedPrecondition, Code::InvalidArgument, Code::Aborted];
        assert!(!rejections.contains(&status.code()), "{status:?}");
        assert!(began.elapsed() < TIMEOUT, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop is infinite")
}

async fn wait_for_changes(acknowledged: &AtomicUsize, count: usize) {
    until("changes to be acknowledged", async || {
        (acknowledged.load(Ordering::Relaxed) >= count).then_some(())
    })
    .await;
}

/// Checks that every acknowledged change is in the log exactly once, as acknowledged, and that the
/// log has no other requested change.
fn assert_applied_once(changes: &[Change], log: &str, base: u64) {
    let mut expected = BTreeMap::new();
    for Change { id, region, units, revision } in changes {
        assert!(expected.insert(id.clone(), (*region, *units, *revision)).is_none());
    }
    let request_id_of = |event: &serde_json::Value| Some(event["requestId"].as_str()?.to_owned());
    for event in events(log) {
        let Some(id) = request_id_of(&event).filter(|_| event["revision"].as_u64() > Some(base))
        else {
            continue;
        };
        let (region, units, revision) =
            expected.remove(&id).expect("the request was sent, and is logged once");
        assert_eq!(event["type"], "UnitsScaled");
        assert_eq!(
            (&event["data"]["region"], &event["data"]["units"]),
            (&region.into(), &units.into())
        );
        assert_eq!(event["revision"], revision, "{event}");
    }
    assert!(expected.is_empty(), "acknowledged but not in the log: {expected:?}");
}

async fn assert_reuse_is_rejected(three: &Three, change: &Change) {
    for agent in &three.agents {
        let same = scaling(&change.id, change.region, change.units);
        let again = change_with_retries(&[client(agent)], 0, same).await;
        assert_eq!(again.revision, change.revision);
        let edit = format!("{}={}", change.region, change.units + 1);
        let reused = agent.run(&["region", "set", &edit, "--request-id", &change.id]).await;
        let reused = reused.expect("the command runs");
        assert_eq!(reused.code, Some(1), "{reused:?}");
        assert!(reused.stderr.contains(&change.id), "{reused:?}");
    }
}
