//! Moving on from one endpoint to the next, and what is said when there is none left.

use crate::fake::{self, Agent, Reply, no_leader};
use crate::run::run;

const ADD: [&str; 6] = ["region", "add", "eastus", "--service", "contoso", "--timeout=1s"];

#[tokio::test]
async fn an_agent_that_cannot_take_a_change_leaves_it_to_the_next_with_the_same_id() {
    let (first, second) = (Agent::start([no_leader()]).await, Agent::start([Reply::Done]).await);
    let endpoints = [first.endpoint.clone(), format!("http://{}", second.endpoint)];
    run(&endpoints, &ADD).await.exits(0);
    assert_eq!(first.request_ids(), second.request_ids());
    assert_eq!(first.request_ids().len(), 1);
}

#[tokio::test]
async fn an_agent_that_hangs_leaves_time_for_the_next_with_the_same_id() {
    let (first, second) = (Agent::start([Reply::Hang]).await, Agent::start([Reply::Done]).await);
    let endpoints = [fake::nobody(), first.endpoint.clone(), second.endpoint.clone()];
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
async fn an_agent_that_comes_back_in_time_is_asked_again_with_the_same_id() {
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
async fn nobody_there_is_exit_code_4_at_once() {
    let endpoints = [fake::nobody(), fake::nobody()];
    let begun = std::time::Instant::now();
    let run = run(&endpoints, &["region", "add", "a", "--service=s", "--timeout=1m"]).await;
    run.exits(4);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    assert!(run.err.contains(&format!("{}: connection refused", endpoints[1])), "{run:?}");
    assert!(run.err.contains("nothing was proposed"), "{run:?}");
}

#[tokio::test]
async fn no_majority_is_exit_code_4() {
    let agent = Agent::start([no_leader()]).await;
    // A second round is only begun while there is time for its attempts.
    let line = ["region", "add", "eastus", "--service", "contoso", "--timeout=4s"];
    let run = run(&[fake::nobody(), agent.endpoint.clone()], &line).await;
    run.exits(4);
    assert!(run.err.contains("no leader was found"), "{run:?}");
    assert!(run.err.contains("nothing was proposed"), "{run:?}");
    let ids = agent.request_ids();
    assert!(ids.len() > 1 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_change_that_hangs_everywhere_is_exit_code_5_with_the_command_that_asks_again() {
    let agent = Agent::start([Reply::Hang]).await;
    let run = run(&[fake::nobody(), agent.endpoint.clone()], &ADD).await;
    run.exits(5);
    let id = &agent.request_ids()[0];
    let again = format!("meridian --request-id {id} region add eastus --service contoso");
    assert!(run.err.contains(&format!("the outcome of request {id} is unknown")), "{run:?}");
    assert!(run.err.contains(&again), "{run:?}");
}

#[tokio::test]
async fn a_certain_no_is_not_put_at_risk_by_an_attempt_that_is_too_short() {
    let agent = Agent::start([no_leader(), Reply::Hang]).await;
    let line = ["region", "add", "eastus", "--service", "contoso", "--timeout=450ms"];
    let run = run(&agent.endpoints(), &line).await;
    run.exits(4);
    assert_eq!(agent.request_ids().len(), 1, "{run:?}");
}

#[tokio::test]
async fn an_outcome_stays_unknown_if_the_others_only_say_that_they_cannot() {
    for lost in [fake::closing().await, fake::stopped().await] {
        let agent = Agent::start([no_leader()]).await;
        run(&[lost, agent.endpoint.clone()], &ADD).await.exits(5);
        assert!(!agent.request_ids().is_empty());
    }
}

#[tokio::test]
async fn what_a_proxy_says_is_not_what_an_agent_says() {
    let proxy = Reply::Fail(tonic::Status::unavailable("upstream reset"));
    let agent = Agent::start([proxy]).await;
    run(&agent.endpoints(), &ADD).await.exits(5);
}

#[tokio::test]
async fn a_port_that_is_not_for_clients_is_named_as_that_and_the_next_is_asked() {
    let other = Agent::start([Reply::Fail(tonic::Status::unimplemented(""))]).await;
    let lonely = run(&other.endpoints(), &ADD).await;
    lonely.exits(4);
    assert!(
        lonely.err.contains(&format!(
            "{}: does not answer as the client port of an agent (7400 by default)",
            other.endpoint
        )),
        "{lonely:?}"
    );
    let agent = Agent::start([Reply::Done]).await;
    run(&[other.endpoint.clone(), agent.endpoint.clone()], &ADD).await.exits(0);
    assert_eq!(agent.request_ids().len(), 1);
}

#[tokio::test]
async fn a_read_that_nobody_answers_is_exit_code_4() {
    let endpoints = [fake::stopped().await, fake::closing().await];
    run(&endpoints, &["service", "list", "--timeout=1s"]).await.exits(4);
}

#[tokio::test]
async fn what_has_no_request_id_is_never_asked_for_twice() {
    let (first, second) = (Agent::start([Reply::Hang]).await, Agent::start([Reply::Done]).await);
    let endpoints = [fake::nobody(), first.endpoint.clone(), second.endpoint.clone()];
    run(&endpoints, &["cluster", "transfer-leader", "--timeout=1s"]).await.exits(5);
    assert_eq!(second.changes().len(), 0);
}

#[tokio::test]
async fn the_time_out_holds_for_all_calls_of_a_command_together() {
    let agent = Agent::start([Reply::Hang]).await;
    let begun = std::time::Instant::now();
    let endpoints = [fake::stopped().await, agent.endpoint.clone()];
    run(&endpoints, &["region", "add", "eastus", "--timeout=3s"]).await.exits(5);
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
}
