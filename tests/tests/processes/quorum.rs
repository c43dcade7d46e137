//! Two of three agents are dead, or frozen.

use std::time::Duration;

use meridian_testkit::process::run;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, answering, done, events, log_of, request_id, same_log, settled};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_changes_are_refused_in_time_and_the_gateway_serves_through_a_restart() {
    let three = Three::start().await;
    let last = three.agents[0].clone();
    let others = three.others(&last);
    done(&last, "region set westeurope=2 eastus=1").await;
    settled(&three.agents).await;
    let units = last.units().expect("can be listed");
    // The one that is left leads, and may have begun on the change when it learns that it is alone.
    three.enthrone(&last).await;

    for other in &others {
        other.kill().expect("dies");
    }
    let id = request_id();
    let change = ["region", "scale", "westeurope", "--units", "3", "--request-id", &id];
    let asking = [&change[..], &["--timeout", "2s"]].concat();
    let mut codes = Vec::new();
    for _ in 0..2 {
        let refused = last.run(&asking).await.expect("runs");
        assert!(matches!(refused.code, Some(4 | 5)), "{refused:?}");
        assert!(refused.took < Duration::from_secs(3), "{refused:?}");
        assert!(refused.code == Some(4) || refused.said.contains(&id), "{refused:?}");
        codes.push(refused.code);
        answering(&last).await.expect("the remaining gateway serves");
        last.kill().expect("dies");
        answering(&last).await.expect("the units need no agent");
        last.start().expect("starts");
        until_ok("the agent to be back", async || last.json(&["status", "--timeout", "1s"]).await)
            .await;
        assert_eq!(last.units().expect("can be listed"), units);
    }
    println!("exit codes without a majority: {codes:?}");

    for other in &others {
        other.start().expect("starts");
    }
    let since = until_ok("a majority", async || {
        last.json(&["region", "list"]).await?;
        log_of(&last).await
    })
    .await;
    if codes.iter().all(|code| *code == Some(4)) {
        assert!(!since.contains(&id), "exit code 4 says that nothing was proposed: {since}");
    }
    let first =
        until_ok("the repeated request to be taken", async || last.json(&change).await).await;
    let again = last.json(&change).await.expect("is answered again");
    assert_eq!((&first["revision"], &first["base"]), (&again["revision"], &again["base"]));
    settled(&three.agents).await;
    let log = events(&same_log(&three.agents).await);
    let effects = log.iter().filter(|event| event["type"] == "UnitsScaled");
    assert_eq!(effects.filter(|event| event["requestId"] == *id).count(), 1);
    let now = last.units().expect("can be listed");
    assert!(now.len() == 3 && units.iter().all(|unit| now.contains(unit)), "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_leader_cannot_commit_is_unknown_and_happens_once_when_asked_for_again() {
    let three = Three::start().await;
    let leader = three.agents[0].clone();
    let others = three.others(&leader);
    three.enthrone(&leader).await;
    let frozen: Vec<_> = others
        .iter()
        .map(|other| other.process().expect("can be found").expect("runs"))
        .inspect(|process| process.freeze())
        .collect();

    let id = request_id();
    let change = ["region", "add", "eastus", "--service", "contoso", "--request-id", &id];
    let asked = leader.run(&[&change[..], &["--timeout", "2s"]].concat()).await.expect("runs");
    assert_eq!(asked.code, Some(5), "{asked:?}");
    assert!(asked.took < Duration::from_secs(3), "{asked:?}");
    let said = format!("error: the outcome of request {id} is unknown");
    assert!(asked.said.contains(&said), "{asked:?}");
    let (_, again) = asked.said.split_once("ask again, it happens once: ").expect("says how");
    let words: Vec<_> = again.split_whitespace().skip(1).collect();
    assert!(words.contains(&id.as_str()), "{again}");

    for process in frozen {
        process.thaw();
    }
    until_ok("the printed command to be taken", async || run(&words).await?.done()).await;
    settled(&three.agents).await;
    let log = events(&same_log(&three.agents).await);
    let effects = log.iter().filter(|event| event["type"] == "RegionAdded");
    assert_eq!(effects.filter(|event| event["requestId"] == *id).count(), 1);
}
