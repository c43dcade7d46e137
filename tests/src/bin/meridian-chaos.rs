//! Runs real agents under real faults, and judges what they did.
//!
//! ```text
//! cargo run -p meridian-tests --bin meridian-chaos -- run --seed 1 --minutes 1
//! cargo run -p meridian-tests --bin meridian-chaos -- run --schedule FILE      # the same faults again
//! cargo run -p meridian-tests --bin meridian-chaos -- shrink --schedule FILE   # with fewer of them
//! cargo run -p meridian-tests --bin meridian-chaos -- check HISTORY
//! cargo run -p meridian-tests --bin meridian-chaos -- run --soak --out DIRECTORY   # an hour
//! cargo run -p meridian-tests --bin meridian-chaos -- table DIRECTORY/verdict.json --into README.md
//! ```
//!
//! Each agent is a process in a network namespace of its own, which needs root and `ip`. Without it, the
//! agents share this machine's network and reach each other through proxies: a cut or a loss makes
//! streams wait there, and faults that need packets (`duplicate`, `reorder`) are left out. The exit code
//! is 1 where something is violated, and 2 where the run could not be made.

use std::process::ExitCode;

use clap::Parser as _;
use meridian_tests::chaos::{self, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let ended = tokio::select! {
        ended = chaos::main(Options::parse()) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("meridian-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}
