//! Two of three agents are killed or frozen.

use std::time::Duration;

use anyhow::ensure;
use meridian_testkit::process::run;
use meridian_testkit::wait::until_ok;

use crate::support::{
    Three, events, execute, log_of, request_id, same_log, serving_unit, wait_until_converged,
};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_changes_fail_in_time_and_the_gateway_serves_through_a_restart() {
    let three = Three::start().await;
    let last = three.agents[0].clone();
    let others = three.others(&last);
    execute(&last, "region set westeurope=2 eastus=1").await;
    wait_until_converged(&three.agents).await;
    let units = last.units().expect("/proc is readable");
    // The remaining agent is the leader, and may have proposed the change before it notices the
    // lost quorum.
    three.make_leader(&last).await;

    for other in &others {
        other.kill().expect("the agent is killed");
    }
    let id = request_id();
    let change = ["region", "scale", "westeurope", "--units", "3", "--request-id", &id];
    let attempt = [&change[..], &["--timeout", "2s"]].concat();
    let mut codes = Vec::new();
    for _ in 0..2 {
        let failed = last.run(&attempt).await.expect("the command runs");
        assert!(matches!(failed.code, Some(4 | 5)), "{failed:?}");
        assert!(failed.elapsed < Duration::from_secs(3), "{failed:?}");
        assert!(failed.code == Some(4) || failed.stderr.contains(&id), "{failed:?}");
        codes.push(failed.code);
        if codes.len() == 1 {
            // The agent said why before anybody asked, once for each change.
            for line in
                ["no quorum: a majority of the voters does not respond", "an agent is unreachable"]
            {
                until_ok("the loss of the quorum to be logged", async || {
                    ensure!(last.log().contains(line), "{line}");
                    Ok(())
                })
                .await;
            }
            assert_eq!(last.log().matches("no quorum: a majority").count(), 1, "{}", last.log());
        }
        serving_unit(&last).await.expect("the remaining gateway serves");
        last.kill().expect("the agent is killed");
        serving_unit(&last).await.expect("the units serve without the agent");
        last.start().expect("the agent starts");
        until_ok("the agent to restart", async || last.json(&["status", "--timeout", "1s"]).await)
            .await;
        assert_eq!(last.units().expect("/proc is readable"), units);
    }
    assert!(last.log().contains("no contact with a leader"), "{}", last.log());
    println!("exit codes without a quorum: {codes:?}");

    for other in &others {
        other.start().expect("the agent starts");
    }
    let since = until_ok("a quorum", async || {
        last.json(&["region", "list"]).await?;
        log_of(&last).await
    })
    .await;
    if codes.iter().all(|code| *code == Some(4)) {
        assert!(
            !since.contains(&id),
            "exit code 4 means that the change was not submitted: {since}"
        );
    }
    let first =
        until_ok("the repeated request to be accepted", async || last.json(&change).await).await;
    let again = last.json(&change).await.expect("the repeated request succeeds");
    assert_eq!((&first["revision"], &first["base"]), (&again["revision"], &again["base"]));
    wait_until_converged(&three.agents).await;
    let log = events(&same_log(&three.agents).await);
    let effects = log.iter().filter(|event| event["type"] == "UnitsScaled");
    assert_eq!(effects.filter(|event| event["requestId"] == *id).count(), 1);
    let now = last.units().expect("/proc is readable");
    assert!(now.len() == 3 && units.iter().all(|unit| now.contains(unit)), "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_leader_cannot_commit_is_unknown_and_applied_once_when_retried() {
    let three = Three::start().await;
    let leader = three.agents[0].clone();
    let others = three.others(&leader);
    three.make_leader(&leader).await;
    let frozen: Vec<_> = others
        .iter()
        .map(|other| other.process().expect("/proc is readable").expect("the agent is running"))
        .inspect(|process| process.freeze())
        .collect();

    let id = request_id();
    let change = ["region", "add", "eastus", "--service", "contoso", "--request-id", &id];
    let unknown =
        leader.run(&[&change[..], &["--timeout", "2s"]].concat()).await.expect("the command runs");
    assert_eq!(unknown.code, Some(5), "{unknown:?}");
    assert!(unknown.elapsed < Duration::from_secs(3), "{unknown:?}");
    let message = format!("error: the outcome of request {id} is unknown");
    assert!(unknown.stderr.contains(&message), "{unknown:?}");
    let (_, again) = unknown
        .stderr
        .split_once("the change happens at most once: ")
        .expect("the retry command is printed");
    let words: Vec<_> = again.split_whitespace().skip(1).collect();
    assert!(words.contains(&id.as_str()), "{again}");

    for process in frozen {
        process.thaw();
    }
    until_ok("the printed command to succeed", async || run(&words).await?.success()).await;
    wait_until_converged(&three.agents).await;
    let log = events(&same_log(&three.agents).await);
    let effects = log.iter().filter(|event| event["type"] == "RegionAdded");
    assert_eq!(effects.filter(|event| event["requestId"] == *id).count(), 1);
}
