//! Runs real agents under real faults, and checks the recorded history.
//!
//! ```text
//! cargo run -p meridian-tests --bin meridian-chaos -- run --seed 1 --minutes 1
//! cargo run -p meridian-tests --bin meridian-chaos -- run --schedule FILE      # replay the same faults
//! cargo run -p meridian-tests --bin meridian-chaos -- shrink --schedule FILE   # minimize a failing schedule
//! cargo run -p meridian-tests --bin meridian-chaos -- check HISTORY
//! cargo run -p meridian-tests --bin meridian-chaos -- run --soak --out DIRECTORY   # one hour
//! cargo run -p meridian-tests --bin meridian-chaos -- table DIRECTORY/verdict.json --into docs/faults.md
//! ```
//!
//! Each agent is a process in its own network namespace, which needs root and `ip`. Without root,
//! the agents share the network of this machine and reach each other through proxies: a cut or loss
//! delays streams there, and faults that need packets (`duplicate`, `reorder`) are skipped. The
//! exit code is 1 if an invariant is violated, and 2 if the run fails.

use std::process::ExitCode;

use clap::Parser as _;
use meridian_tests::chaos::{self, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let result = tokio::select! {
        result = chaos::main(Options::parse()) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("meridian-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}
