//! Benchmarks three agents on this machine, compared with three members of etcd if it is installed;
//! and a gateway unit, compared with nginx.
//!
//! ```text
//! cargo run --release -p meridian-tests --bin bench                    # all measurements
//! cargo run --release -p meridian-tests --bin bench -- changes --clients 1,64 --rounds 5
//! cargo run --release -p meridian-tests --bin bench -- gateway failures routing
//! ```
//!
//! Agents and members are processes on loopback, with generated configurations and private
//! directories, and with real syncs to the same file system. Both run with their default
//! configuration, except for Meridian's `network = "lan"`, which `meridian dev` also uses. The same
//! gRPC client alternates between them, so that background load of the machine affects both. A
//! metric is the median of its rounds. Only ratios are comparable across machines.
//!
//! | measurement | metric | definition |
//! | --- | --- | --- |
//! | `changes` | changes/s | changes per second acknowledged to N clients, each sending its next change after the last response. Each change is a request of 256 bytes that scales a location without an agent: one event, no process. Compared with puts of 256 bytes, one key per client |
//! | | median, p99 | latency of such a change |
//! | | CPU time | CPU time of all three processes per change; on a busy machine the most stable of these metrics |
//! | `failover` | first write | time from SIGKILL of the leader to the first acknowledgement of a change sent to a survivor afterwards. One change is sent every 10 ms to alternating survivors, so that client retry policies have no effect |
//! | `memory` | idle agent | resident memory of an agent in a new, idle cluster: median of all three |
//! | `scale` | ready unit | time from the acknowledgement of a scale by one unit to its `UnitReady` event on a watch of the same agent |
//! | `restart` | with N events | time from restarting a killed agent whose log has N events to its first successful linearizable read |
//! | | resident memory | resident memory of that agent afterwards |
//! | `gateway` | requests/s | requests per second that one unit forwards for wrk with 64 persistent connections, on 1 and on 2 cores, with responses of 1 kB and of 100 kB. Compared with nginx with as many workers on the same cores, in front of the same backend. wrk and the backend, another nginx, run on the remaining cores, or share them; the throughput of the backend without a proxy is printed, too |
//! | | median, p99 | latency of such a request, as measured by wrk |
//! | | CPU time | CPU time of the proxy's processes per request |
//! | `failures` | unexpected | number of unexpected or late results among 100,000 requests through one unit to backends that are slow, refuse or reset connections, close them, send garbage or no response, or reset within the body. The expected result is usually 502 or 504 |
//! | | healthy API | latency of requests to another API on the same unit, alone and concurrent with the failures |
//! | | descriptors, threads, memory | resource usage of the idle unit: before, after half of the requests, and after all. Growth in the second half or an unexpected result fails the measurement |
//! | `routing` | nearest, weighted: decisions | orders of the regions of a service per second on one core, with 1,000 services in all 59 regions of the catalog |
//! | | closest regions | coordinates per second that are assigned to a region of the catalog |
//!
//! Each client has its own connection to one agent: the first client to the first agent, the second
//! to the second, shifted by one in each round. The median for one client is therefore what a
//! client of a follower observes.

use clap::Parser as _;
use meridian_tests::bench::{self, Options, Report};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let json = options.json;
    let reports = tokio::select! {
        reports = bench::run(options) => reports?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted");
        }
    };
    if json {
        println!("{}", Report::json(&reports)?);
        return Ok(());
    }
    for report in &reports {
        println!("{}", report.table());
    }
    Ok(())
}
