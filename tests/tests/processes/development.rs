//! Tests of `meridian dev`.

use anyhow::ensure;
use meridian_testkit::process::{Dev, Sandbox, binary};
use meridian_testkit::wait::{TIMEOUT, until, until_ok};
use tokio::process::Command;

use crate::support::{REGIONS, Three, execute, location, log_of, wait_until_converged};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_dev_ends_all_processes_and_a_restart_continues() {
    let Three { dev, agents, sandbox } = Three::start().await;
    execute(&agents[0], "region set westeurope=2 eastus=2").await;
    wait_until_converged(&agents).await;
    for agent in &agents {
        assert!(dev.stdout().contains(&agent.endpoint()), "{}", dev.stdout());
    }
    agents[1].kill().expect("the agent is killed");
    let line = dev.restart_command("eastus").await;
    assert!(line.ends_with(&format!("agent --config {}", agents[1].config().display())), "{line}");
    assert!(dev.stderr().contains("agent eastus (process"), "{}", dev.stderr());
    assert_eq!(
        agents[1].units().expect("/proc is readable").len(),
        2,
        "nothing restarts the agent"
    );
    let event = "reported unit contoso/eastus/1 ready";
    until("the events to be printed", async || dev.stdout().contains(event).then_some(())).await;
    let log = log_of(&agents[0]).await.expect("the agent responds");

    let status = dev.stop(&sandbox).await.expect("dev stops");
    assert_eq!(status.code(), Some(0));
    let left = sandbox.processes().expect("/proc is readable");
    assert!(left.is_empty(), "{left:?}");

    let dev = Dev::start(&sandbox, &[]).await.expect("dev starts again");
    wait_until_converged(&agents).await;
    for (region, units) in REGIONS.iter().zip([Some(2), Some(2), None]) {
        let row = location(&agents[2], region).await;
        assert_eq!(row.and_then(|row| row["units"].as_u64()), units, "{region}");
    }
    assert!(log_of(&agents[0]).await.expect("the agent responds").starts_with(&log));
    let status = dev.stop(&sandbox).await.expect("dev stops");
    assert_eq!(status.code(), Some(0));
    assert!(sandbox.processes().expect("/proc is readable").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_region_works() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let dev = Dev::start(&sandbox, &["--regions", "japaneast"]).await.expect("dev starts");
    let agents = [sandbox.agent(1, "japaneast")];
    wait_until_converged(&agents).await;
    execute(&agents[0], "region scale japaneast --units 2").await;
    wait_until_converged(&agents).await;
    let status = execute(&agents[0], "status").await;
    assert!(status["warnings"].to_string().contains("fewer than 3"), "{status}");
    dev.stop(&sandbox).await.expect("dev stops");
    let rejected =
        Dev::run_to_exit(&sandbox, &["--regions", "eastus"]).await.expect("the command runs");
    assert_eq!(rejected.code, Some(2), "{rejected:?}");
    assert!(rejected.stderr.contains("has a cluster with --regions japaneast"), "{rejected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_regions_a_witness_keeps_the_quorum_when_one_is_lost() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let _dev = Dev::start(&sandbox, &["--regions", "eastus,japaneast"]).await.expect("dev starts");
    let agents = [sandbox.agent(1, "eastus"), sandbox.agent(2, "japaneast")];
    let witness = sandbox.agent(3, "witness");
    let all = [agents[0].clone(), agents[1].clone(), witness.clone()];
    execute(&agents[0], "region set japaneast=2 westeurope=1").await;
    wait_until_converged(&all).await;
    let members = execute(&agents[0], "cluster members").await;
    let members = members.as_array().expect("a list of members");
    assert!(members.iter().all(|member| member["voter"] == true), "{members:?}");
    let witnesses = members.iter().filter(|member| member["witness"] == true);
    assert!(witnesses.map(|member| &member["agent"]).eq(["witness"]), "{members:?}");
    // The witness is in a region of the service, but is assigned none of its units.
    assert_eq!(witness.units().expect("/proc is readable"), []);

    agents[0].kill().expect("the agent is killed");
    execute(&agents[1], "region scale japaneast --units 3").await;
    until_ok("the survivor to converge", async || {
        ensure!(agents[1].units()?.len() == 3);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_the_data_directory_under_dev_ends_every_process() {
    let Three { dev, agents, sandbox } = Three::start().await;
    execute(&agents[0], "region set westeurope=2 eastus=2").await;
    wait_until_converged(&agents).await;
    // An agent may just have created a file in a directory that is being removed.
    until_ok("the directory to be removed", async || Ok(std::fs::remove_dir_all(sandbox.data())?))
        .await;
    let (status, messages) = dev.exited().await.expect("dev exits by itself");
    assert_eq!(status.code(), Some(1), "{messages}");
    assert!(
        messages.contains("was removed or moved; all agents and units were stopped"),
        "{messages}"
    );
    assert!(!messages.contains("panicked"), "{messages}");
    let left = sandbox.processes().expect("/proc is readable");
    assert!(left.is_empty(), "{left:?}");
    assert!(!sandbox.data().exists(), "nothing is created again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_ends_every_process_without_a_panic() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    for redirection in ["2>{}/err", "2>&1"] {
        let redirection = redirection.replace("{}", &sandbox.path().to_string_lossy());
        let (data, base) = (sandbox.data(), sandbox.base());
        let binary = binary().expect("the binary is built").display();
        let line = format!(
            "{binary} dev --regions eastus --address-base {base} --data-dir {} {redirection} \
             | head -n 1; exit ${{PIPESTATUS[0]}}",
            data.display()
        );
        let mut shell = Command::new("bash");
        let run = shell.args(["-c", &line]).kill_on_drop(true).output();
        let run = tokio::time::timeout(TIMEOUT, run).await.expect("dev ends by itself");
        let run = run.expect("there is a shell");
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        let messages = std::fs::read_to_string(sandbox.path().join("err")).unwrap_or_default();
        assert!(messages.contains("standard output was closed"), "{messages}");
        assert!(!messages.contains("panicked"), "{messages}");
        let left = sandbox.processes().expect("/proc is readable");
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_logs_no_error() {
    let Three { dev, agents, sandbox } = Three::start().await;
    dev.stop(&sandbox).await.expect("stops");
    for agent in &agents {
        let log = std::fs::read_to_string(agent.home().join("agent.log")).expect("readable");
        let errors: Vec<_> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", agent.name);
    }
}
