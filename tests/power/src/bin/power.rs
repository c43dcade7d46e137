//! The process under test: fills the stores of a node step by step, or checks what is left of them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meridian_power::check;
use meridian_power::node::Chunks;
use meridian_power::said::Said;
use meridian_power::steps::{self, Life};

/// The code of a process that stopped because a store failed, as a node does.
const STOPPED: u8 = 3;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
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
        "check" => {
            let expected = serde_json::from_str(options.first().context("what is expected?")?)?;
            let verdict = check::check(&path, &expected, chunks).await;
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(())
        }
        other => bail!("{other} is nothing that this does"),
    }
}
