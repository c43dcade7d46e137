//! Sends requests to three agents' gateways during changes and crashes, and counts the lost ones.
//!
//! ```text
//! cargo run --release -p meridian-tests --bin traffic -- --seconds 120
//! ```
//!
//! The agents and their units are processes on loopback, started by `meridian dev`. An API is
//! published with a backend in this process. Then this process sends requests to it, on persistent
//! and on new connections, of 1 kB and 1 MB, over HTTP/1.1 and HTTP/2, during these phases:
//!
//! - the units are scaled from 1 to 8, to 1, and to 4;
//! - all units are replaced, by `meridian unit roll`;
//! - the backend of the API is changed;
//! - the agent is killed with SIGKILL and restarted, then the agent of another region;
//! - a unit is killed with SIGKILL.
//!
//! Then clients near another region resolve the name of the service, with a client subnet, each time
//! its time to live of 5 s has passed, while that region is disabled and enabled, removed and added,
//! and while its agent and units are killed with SIGKILL and started again.
//!
//! No request is retried, except for those that an HTTP/2 server reports as unprocessed. A request
//! that was sent and did not get the expected response is lost, except for those in flight on
//! killed units: in that phase, each workload may have as many broken connections as it has
//! concurrent requests. In the 8 s after a region was killed, clients that still have its address may
//! also be refused. The exit code is 1 if any request was lost.
//!
//! | column | value of a phase |
//! | --- | --- |
//! | requests, failed | requests that ended in the phase, and those without the expected response |
//! | excused | failed requests that were in flight on killed units, or refused by the old address of a killed region; lines below have their kinds |
//! | unannounced | connections that the server closed between two requests without `Connection: close`: the next request on such a connection may be lost. There should be none unless a unit was killed |
//! | units | units that responded, by the name in the response of their status path |

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
        eprintln!("{lost} requests were lost");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
