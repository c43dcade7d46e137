//! Changes that break a rule: a clear word, an exit code, and nothing else.

use anyhow::Context;
use meridian_testkit::process::Agent;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, done, same_state, settled};

const LONG: &str = "a-name-that-is-longer-than-fifty-characters-can-ever-be";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_is_refused_by_name_and_changes_nothing() {
    let three = Three::start().await;
    let asked = &three.agents[0];
    done(asked, "region set eastus=1").await;
    done(asked, "service create small --primary westeurope --tier standard").await;
    settled_services(&three).await;
    let stale = revision_of(asked, "contoso").await - 1;
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
        refused(&three, line, code, words).await;
    }
    // A rule looks at the state, so its answer is remembered there under the request id; but there
    // is no event, no other service and no other region.
    assert_eq!(state(&three).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_before_anything_is_proposed() {
    let three = Three::start().await;
    done(&three.agents[0], "region set eastus=1").await;
    settled(&three.agents).await;
    let before =
        until_ok("one state", async || same_state(&three.agents[0], &three.agents).await).await;
    for (line, code, words) in [
        (&*format!("service create {LONG} --primary eastus"), 2, "at most 50 characters"),
        ("region add eastus --units 0", 2, "use a whole number from 1 up"),
        ("region scale eastus", 2, "--units"),
        ("region scale eastus --units many", 2, "many"),
        ("region lst", 2, "list"),
        ("region add eastus --request-id 1", 2, "--request-id"),
        ("region list --expect-revision 4", 2, "--expect-revision has no meaning"),
        ("region remove eastus", 2, "there is no terminal to ask on"),
        ("region set -eastus", 2, "there is no terminal to ask on"),
        ("region remove westeurope", 1, "is the primary region of contoso"),
        ("region remove mars", 1, "region mars not found"),
        ("service delete contoso", 2, "there is no terminal to ask on"),
        ("cluster remove eastus", 2, "there is no terminal to ask on"),
        ("agent drain eastus", 2, "there is no terminal to ask on"),
    ] {
        refused(&three, line, code, words).await;
    }
    let after =
        until_ok("one state", async || same_state(&three.agents[0], &three.agents).await).await;
    assert_eq!(after, before);
}

/// Types a line at every agent, and sees it refused with that exit code and those words.
async fn refused(three: &Three, line: &str, code: i32, words: &str) {
    let typed: Vec<_> = line.split_whitespace().collect();
    for agent in &three.agents {
        let refused = agent.run(&typed).await.expect("runs");
        assert_eq!(refused.code, Some(code), "{line}: {refused:?}");
        assert!(refused.said.contains(words), "{line}: {}", refused.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_an_expected_revision_do_what_they_say() {
    let three = Three::start().await;
    let asked = &three.agents[1];
    let before = state(&three).await;
    let preview = done(asked, "region add eastus --units 2 --dry-run").await;
    assert_eq!(preview["events"][0]["type"], "RegionAdded", "{preview}");
    assert_eq!(state(&three).await, before);
    let revision = revision_of(asked, "contoso").await;
    done(asked, &format!("region add eastus --expect-revision {revision}")).await;
    settled(&three.agents).await;
    // Units became ready since: that is no conflict with what an operator saved.
    let revision = revision_of(asked, "contoso").await;
    done(asked, &format!("region scale eastus --units 2 --expect-revision {revision}")).await;
    let late = format!("region scale eastus --units 1 --expect-revision {revision}");
    let late: Vec<_> = late.split_whitespace().collect();
    let refused = asked.run(&late).await.expect("runs");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.data.contains("UnitsScaled"), "what came in between: {refused:?}");
}

/// The revision, the regions and the services: all that a refused change must leave as it is.
async fn state(three: &Three) -> (u64, String) {
    let asked = &three.agents[0];
    let (revision, _) =
        until_ok("one state", async || same_state(asked, &three.agents).await).await;
    let services = done(asked, "service list").await;
    let regions = done(asked, "region list --service contoso").await;
    (revision, format!("{services}{regions}"))
}

/// Returns once both services are as wanted, and nothing moves by itself any more.
async fn settled_services(three: &Three) {
    until_ok("both services to converge", async || {
        for service in ["contoso", "small"] {
            let rows = three.agents[0].json(&["region", "list", "--service", service]).await?;
            let rows = rows.as_array().context("are rows")?;
            anyhow::ensure!(rows.iter().all(|row| row["status"] == "ready"), "{rows:?}");
        }
        Ok(())
    })
    .await;
}

async fn revision_of(asked: &Agent, service: &str) -> u64 {
    let shown = done(asked, &format!("service show {service}")).await;
    shown["revision"].as_u64().expect("has a revision")
}
