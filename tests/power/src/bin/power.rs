//! The process under test: fills the stores of a node step by step, or checks what is left of them.
//! A unit of the agent under test is a process of this program too.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meridian_gateway::UnitConfig;
use meridian_power::lives::STOPPED;
use meridian_power::node::Chunks;
use meridian_power::said::Said;
use meridian_power::steps::{self, Life};
use meridian_power::{agent, check};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};

fn main() -> ExitCode {
    let is_unit = std::env::args().nth(1).is_some_and(|what| what == "unit");
    let mut runtime = match is_unit {
        // A unit starts further threads itself.
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build().expect("threads can be had");
    match runtime.block_on(async { if is_unit { unit().await } else { run().await } }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody listens any more, the code still tells.
            Said::Stopped { cause: format!("{error:#}") }.say().ok();
            ExitCode::from(STOPPED)
        }
    }
}

async fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("an argument is missing");
    let what = next()?;
    let path = PathBuf::from(next()?);
    let options: Vec<String> = arguments.collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    let chunks = if has("small") { Chunks::Small } else { Chunks::Roomy };
    let life = Life { chunks, patient: has("patient"), close: has("close") };
    match what.as_str() {
        "first" => steps::first_life(&path, life).await,
        "later" => steps::later_life(&path, life).await,
        "work" => steps::work_until_it_fails(&path, life).await,
        "agent" => agent::first_life(&path).await,
        "agent-later" => agent::later_life(&path).await,
        "check" | "check-agent" => {
            let expected = serde_json::from_str(options.first().context("what is expected?")?)?;
            let verdict = match what.as_str() {
                "check" => check::check(&path, &expected, chunks).await,
                _ => agent::check(&path, &expected).await,
            };
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(())
        }
        other => bail!("{other} is nothing that this does"),
    }
}

/// A gateway unit, until its agent ends: the power is cut for both.
async fn unit() -> Result<()> {
    let agent = rustix::process::getppid().context("a unit has a parent")?;
    let agent = pidfd_open(agent, PidfdFlags::empty())?;
    std::thread::spawn(move || {
        // It is readable once the process has ended (pidfd_open(2)).
        while poll(&mut [PollFd::new(&agent, PollFlags::IN)], None).is_err() {}
        std::process::exit(0)
    });
    let config = UnitConfig::from_arguments(std::env::args().skip(2))?;
    Ok(meridian_gateway::run(config).await?)
}
