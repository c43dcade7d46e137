//! Failover from one endpoint to the next, and the errors when none is left.

use crate::fake::{self, Agent, Reply, no_leader};
use crate::run::run;

const ADD: [&str; 6] = ["region", "add", "eastus", "--service", "contoso", "--timeout=1s"];

#[tokio::test]
async fn a_change_that_an_agent_cannot_accept_goes_to_the_next_with_the_same_id() {
    let (first, second) = (Agent::start([no_leader()]).await, Agent::start([Reply::Done]).await);
    let endpoints = [first.endpoint.clone(), format!("http://{}", second.endpoint)];
    run(&endpoints, &ADD).await.exits(0);
    assert_eq!(first.request_ids(), second.request_ids());
    assert_eq!(first.request_ids().len(), 1);
}

#[tokio::test]
async fn an_agent_that_hangs_leaves_time_for_the_next_with_the_same_id() {
    let (first, second) = (Agent::start([Reply::Hang]).await, Agent::start([Reply::Done]).await);
    let endpoints = [fake::unreachable(), first.endpoint.clone(), second.endpoint.clone()];
    run(&endpoints, &ADD).await.exits(0);
    assert_eq!(first.request_ids(), second.request_ids());
}

#[tokio::test]
async fn a_stopped_process_leaves_time_for_the_next() {
    let second = Agent::start([Reply::Done]).await;
    run(&[fake::stopped().await, second.endpoint.clone()], &ADD).await.exits(0);
    assert_eq!(second.request_ids().len(), 1);
}

#[tokio::test]
async fn an_agent_that_recovers_in_time_is_retried_with_the_same_id() {
    let agent = Agent::start([Reply::Hang, no_leader(), Reply::Done]).await;
    let endpoints = [agent.endpoint.clone(), agent.endpoint.clone()];
    run(&endpoints, &["--timeout=4s", "region", "add", "eastus", "--service=contoso"])
        .await
        .exits(0);
    let ids = agent.request_ids();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn no_reachable_agent_is_exit_code_4_immediately() {
    let endpoints = [fake::unreachable(), fake::unreachable()];
    let started = std::time::Instant::now();
    let run = run(&endpoints, &["region", "add", "a", "--service=s", "--timeout=1m"]).await;
    run.exits(4);
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
    assert!(run.err.contains(&format!("{}: connection refused", endpoints[1])), "{run:?}");
    assert!(run.err.contains("the change was not submitted"), "{run:?}");
}

#[tokio::test]
async fn no_quorum_is_exit_code_4() {
    let agent = Agent::start([no_leader()]).await;
    // A second round starts only if there is time for its attempts.
    let line = ["region", "add", "eastus", "--service", "contoso", "--timeout=4s"];
    let run = run(&[fake::unreachable(), agent.endpoint.clone()], &line).await;
    run.exits(4);
    assert!(run.err.contains("no leader was found"), "{run:?}");
    assert!(run.err.contains("the change was not submitted"), "{run:?}");
    let ids = agent.request_ids();
    assert!(ids.len() > 1 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_change_that_hangs_everywhere_is_exit_code_5_with_the_command_that_retries() {
    let agent = Agent::start([Reply::Hang]).await;
    let run = run(&[fake::unreachable(), agent.endpoint.clone()], &ADD).await;
    run.exits(5);
    let id = &agent.request_ids()[0];
    let retry = format!("meridian --request-id {id} region add eastus --service contoso");
    assert!(run.err.contains(&format!("the outcome of request {id} is unknown")), "{run:?}");
    assert!(run.err.contains(&retry), "{run:?}");
}

#[tokio::test]
async fn a_certain_outcome_is_not_risked_by_an_attempt_that_is_too_short() {
    let agent = Agent::start([no_leader(), Reply::Hang]).await;
    let line = ["region", "add", "eastus", "--service", "contoso", "--timeout=450ms"];
    let run = run(&agent.endpoints(), &line).await;
    run.exits(4);
    assert_eq!(agent.request_ids().len(), 1, "{run:?}");
}

#[tokio::test]
async fn an_outcome_stays_unknown_if_the_other_agents_are_unavailable() {
    for lost in [fake::closing().await, fake::stopped().await] {
        let agent = Agent::start([no_leader()]).await;
        run(&[lost, agent.endpoint.clone()], &ADD).await.exits(5);
        assert!(!agent.request_ids().is_empty());
    }
}

#[tokio::test]
async fn a_status_of_a_proxy_is_not_a_status_of_an_agent() {
    let proxy = Reply::Fail(tonic::Status::unavailable("upstream reset"));
    let agent = Agent::start([proxy]).await;
    run(&agent.endpoints(), &ADD).await.exits(5);
}

#[tokio::test]
async fn a_server_that_is_not_an_agent_is_reported_and_the_next_endpoint_is_used() {
    let other = Agent::start([Reply::Fail(tonic::Status::unimplemented(""))]).await;
    let alone = run(&other.endpoints(), &ADD).await;
    alone.exits(4);
    assert!(
        alone.err.contains(&format!(
            "{}: not the client port of an agent of this version (7400 by default)",
            other.endpoint
        )),
        "{alone:?}"
    );
    let agent = Agent::start([Reply::Done]).await;
    run(&[other.endpoint.clone(), agent.endpoint.clone()], &ADD).await.exits(0);
    assert_eq!(agent.request_ids().len(), 1);
}

#[tokio::test]
async fn a_read_without_a_response_is_exit_code_4() {
    let endpoints = [fake::stopped().await, fake::closing().await];
    run(&endpoints, &["service", "list", "--timeout=1s"]).await.exits(4);
}

#[tokio::test]
async fn a_request_without_an_id_is_never_sent_twice() {
    let (first, second) = (Agent::start([Reply::Hang]).await, Agent::start([Reply::Done]).await);
    let endpoints = [fake::unreachable(), first.endpoint.clone(), second.endpoint.clone()];
    run(&endpoints, &["cluster", "transfer-leader", "--timeout=1s"]).await.exits(5);
    assert_eq!(second.changes().len(), 0);
}

#[tokio::test]
async fn the_timeout_covers_all_requests_of_a_command() {
    let agent = Agent::start([Reply::Hang]).await;
    let started = std::time::Instant::now();
    let endpoints = [fake::stopped().await, agent.endpoint.clone()];
    run(&endpoints, &["region", "add", "eastus", "--timeout=3s"]).await.exits(5);
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "{:?}", started.elapsed());
}
