//! The process under test: fills the stores of a node step by step, or checks them. The units of
//! the agent under test are processes of this program, too.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meridian_gateway::UnitConfig;
use meridian_power::node::Chunks;
use meridian_power::process_run::STOPPED;
use meridian_power::progress::Progress;
use meridian_power::steps::{self, RunOptions};
use meridian_power::{agent, check};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};

fn main() -> ExitCode {
    let is_unit = std::env::args().nth(1).is_some_and(|task| task == "unit");
    let mut runtime = match is_unit {
        // A unit starts its own threads.
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build().expect("the runtime is built");
    match runtime.block_on(async { if is_unit { unit().await } else { run().await } }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the output is closed, the exit code still reports it.
            Progress::Stopped { cause: format!("{error:#}") }.report().ok();
            ExitCode::from(STOPPED)
        }
    }
}

async fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("missing argument");
    let task = next()?;
    let path = PathBuf::from(next()?);
    let options: Vec<String> = arguments.collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    let chunks = if has("small") { Chunks::Small } else { Chunks::Default };
    let run = RunOptions { chunks, wait_for_mark: has("wait-for-mark"), close: has("close") };
    match task.as_str() {
        "first" => steps::first_run(&path, run).await,
        "later" => steps::later_run(&path, run).await,
        "work" => steps::run_until_failure(&path, run).await,
        "agent" => agent::first_run(&path).await,
        "agent-later" => agent::later_run(&path).await,
        "check" | "check-agent" => {
            let expected = serde_json::from_str(options.first().context("missing expectation")?)?;
            let verdict = match task.as_str() {
                "check" => check::check(&path, &expected, chunks).await,
                _ => agent::check(&path, &expected).await,
            };
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(())
        }
        other => bail!("unknown task {other}"),
    }
}

/// Runs a gateway unit that exits with its agent: a power cut ends both.
async fn unit() -> Result<()> {
    let agent = rustix::process::getppid().context("the parent process has exited")?;
    let agent = pidfd_open(agent, PidfdFlags::empty())?;
    std::thread::spawn(move || {
        // A pidfd becomes readable when the process exits (pidfd_open(2)).
        while poll(&mut [PollFd::new(&agent, PollFlags::IN)], None).is_err() {}
        std::process::exit(0)
    });
    let config = UnitConfig::from_arguments(std::env::args().skip(2))?;
    Ok(meridian_gateway::run(config).await?)
}
