//! Changes that violate a rule: a clear message and exit code, and no side effects.

use anyhow::Context;
use meridian_testkit::process::Agent;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, execute, same_state, wait_until_converged};

const LONG: &str = "a-name-that-is-longer-than-fifty-characters-can-ever-be";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_violates_a_rule_is_rejected_without_effect() {
    let three = Three::start().await;
    let contacted = &three.agents[0];
    execute(contacted, "region set eastus=1").await;
    execute(contacted, "service create small --primary westeurope --tier standard").await;
    wait_until_services_converged(&three).await;
    let stale = revision_of(contacted, "contoso").await - 1;
    let expecting =
        format!("--service contoso region scale eastus --units 2 --expect-revision {stale}");
    let before = state(&three).await;
    for (line, code, words) in [
        (
            "--service contoso region add westeurop",
            1,
            "did you mean westeurope, westus or westus2?",
        ),
        ("--service contoso region scale eastus --units 13", 1, "13 units exceed"),
        ("--service small region add eastus", 1, "standard"),
        ("--service contoso region remove westeurope --yes", 1, "is the primary region of contoso"),
        ("--service contoso region add eastus", 1, "contoso already has region eastus"),
        ("--service contoso region set eastus=13 -westeurope uksuth=1 --yes", 1, "uksouth"),
        (&*expecting, 3, "contoso was changed after revision"),
    ] {
        assert_rejected(&three, line, code, words).await;
    }
    // A rejection that depends on the state is recorded under its request id, so the state hash
    // changes; but no event, service or region does.
    assert_eq!(state(&three).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_command_is_rejected_before_anything_is_proposed() {
    let three = Three::start().await;
    execute(&three.agents[0], "region set eastus=1").await;
    wait_until_converged(&three.agents).await;
    let before =
        until_ok("one state", async || same_state(&three.agents[0], &three.agents).await).await;
    for (line, code, words) in [
        (&*format!("service create {LONG} --primary eastus"), 2, "at most 50 characters"),
        ("region add eastus --units 0", 2, "use a whole number of 1 or more"),
        ("region scale eastus", 2, "--units"),
        ("region scale eastus --units many", 2, "many"),
        ("region lst", 2, "list"),
        ("region add eastus --request-id 1", 2, "--request-id"),
        ("region list --expect-revision 4", 2, "has no option --expect-revision"),
        ("region remove eastus", 2, "there is no terminal to confirm it"),
        ("region set -eastus", 2, "there is no terminal to confirm it"),
        ("region remove westeurope", 1, "is the primary region of contoso"),
        ("region remove mars", 1, "region mars not found"),
        ("service delete contoso", 2, "there is no terminal to confirm it"),
        ("cluster remove eastus", 2, "there is no terminal to confirm it"),
        ("agent drain eastus", 2, "there is no terminal to confirm it"),
    ] {
        assert_rejected(&three, line, code, words).await;
    }
    let after =
        until_ok("one state", async || same_state(&three.agents[0], &three.agents).await).await;
    assert_eq!(after, before);
}

/// Runs a command line on every agent, and checks its exit code and message.
async fn assert_rejected(three: &Three, line: &str, code: i32, words: &str) {
    let arguments: Vec<_> = line.split_whitespace().collect();
    for agent in &three.agents {
        let rejected = agent.run(&arguments).await.expect("the command runs");
        assert_eq!(rejected.code, Some(code), "{line}: {rejected:?}");
        assert!(rejected.stderr.contains(words), "{line}: {}", rejected.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_has_no_effect_and_an_outdated_expected_revision_is_rejected() {
    let three = Three::start().await;
    let contacted = &three.agents[1];
    let before = state(&three).await;
    let preview = execute(contacted, "region add eastus --units 2 --dry-run").await;
    assert_eq!(preview["events"][0]["type"], "RegionAdded", "{preview}");
    assert_eq!(state(&three).await, before);
    let revision = revision_of(contacted, "contoso").await;
    execute(contacted, &format!("region add eastus --expect-revision {revision}")).await;
    wait_until_converged(&three.agents).await;
    // Events of units do not conflict with the changes of operators.
    let revision = revision_of(contacted, "contoso").await;
    execute(contacted, &format!("region scale eastus --units 2 --expect-revision {revision}"))
        .await;
    let outdated = format!("region scale eastus --units 1 --expect-revision {revision}");
    let outdated: Vec<_> = outdated.split_whitespace().collect();
    let rejected = contacted.run(&outdated).await.expect("the command runs");
    assert_eq!(rejected.code, Some(3), "{rejected:?}");
    assert!(
        rejected.stdout.contains("UnitsScaled"),
        "the events since the expected revision: {rejected:?}"
    );
}

/// Returns the revision, the services and the regions, which a rejected change must not modify.
async fn state(three: &Three) -> (u64, String) {
    let contacted = &three.agents[0];
    let (revision, _) =
        until_ok("one state", async || same_state(contacted, &three.agents).await).await;
    let services = execute(contacted, "service list").await;
    let regions = execute(contacted, "region list --service contoso").await;
    (revision, format!("{services}{regions}"))
}

/// Waits until both services are in their desired state.
async fn wait_until_services_converged(three: &Three) {
    until_ok("both services to converge", async || {
        for service in ["contoso", "small"] {
            let rows = three.agents[0].json(&["region", "list", "--service", service]).await?;
            let rows = rows.as_array().context("a list of locations")?;
            anyhow::ensure!(rows.iter().all(|row| row["status"] == "ready"), "{rows:?}");
        }
        Ok(())
    })
    .await;
}

async fn revision_of(contacted: &Agent, service: &str) -> u64 {
    let shown = execute(contacted, &format!("service show {service}")).await;
    shown["revision"].as_u64().expect("the service has a revision")
}
