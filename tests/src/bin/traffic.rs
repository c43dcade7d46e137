//! Keeps calls on three agents while they are changed and killed, and counts what is lost.
//!
//! ```text
//! cargo run --release -p meridian-tests --bin traffic -- --seconds 120
//! ```
//!
//! The agents and their units are processes on loopback, started as `meridian dev` starts them. An
//! API is published onto a backend in this process; then it is called, from this process, on kept
//! connections and on new ones, with 1 kB and 1 MB, by HTTP/1.1 and HTTP/2, while these happen one
//! after another:
//!
//! - the units are scaled from 1 to 8, to 1, and to 4;
//! - all of them are replaced, by `meridian unit roll`;
//! - the API is sent to another backend;
//! - the agent is killed with SIGKILL and started again, then the one of another region;
//! - a unit is killed with SIGKILL.
//!
//! No call is tried again, but for those that a server of HTTP/2 gives back as not begun. One that was written and not answered as it should be is lost, but for
//! those that ran on the unit that was killed: in that phase, of each kind of calls as many as can
//! have run at a time may end with their connection. Exit code 1 if any was lost.
//!
//! | column | of a phase |
//! | --- | --- |
//! | requests, failed | calls that ended in it, and those of them that were not answered as they should be |
//! | excused | those of them that ran on the unit that was killed |
//! | silent | connections that were closed between two calls without `Connection: close`: the next call on one may be lost. Where no unit was killed, there should be none |
//! | units | units that answered, as they say themselves at the status path |

use std::process::ExitCode;

use clap::Parser as _;
use meridian_tests::traffic::{self, Options};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let report = tokio::select! {
        report = traffic::run(options) => report?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted");
        }
    };
    print!("{report}");
    let lost = report.lost();
    if lost > 0 {
        eprintln!("{lost} calls were lost");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
