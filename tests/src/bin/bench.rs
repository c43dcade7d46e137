//! Measures three agents on this machine, and three members of etcd beside them where it is installed;
//! and a unit, and nginx beside it.
//!
//! ```text
//! cargo run --release -p meridian-tests --bin bench                    # everything
//! cargo run --release -p meridian-tests --bin bench -- changes --clients 1,64 --rounds 5
//! cargo run --release -p meridian-tests --bin bench -- gateway failures
//! ```
//!
//! Agents and members are processes on loopback, started from generated configuration in a directory
//! of their own, with real syncs to the same file system. Both run with the configuration that they
//! have by default, but for Meridian's `network = "lan"`, as `meridian dev` has it too. Both are asked
//! by the same gRPC client, in turns, so that whatever else the machine does meets both; a figure is
//! the median of its rounds. Only ratios say something about more than this machine.
//!
//! | measurement | figure | means |
//! | --- | --- | --- |
//! | `changes` | changes/s | changes that N clients have acknowledged in a second, each client sending its next one once it has its answer. Each is a request of 256 bytes that scales a location in which no agent lives: one event, no process. Against it: puts of 256 bytes, a key a client |
//! | | median, p99 | time from sending such a change to its acknowledgement |
//! | | processor time | what all three processes used for each change: on a busy machine the steadiest of these figures |
//! | `failover` | first write | from SIGKILL of the leader to the first acknowledgement of a change that was sent to a survivor after it. One is sent every 10 ms, to the survivors in turn, so that no client's way to try again counts |
//! | `memory` | idle agent | resident memory of an agent of a new cluster at rest: median of the three |
//! | `scale` | ready unit | from the acknowledgement of a `scale` by one unit to its `UnitReady`, as a watch at the same agent has it |
//! | `restart` | with N events | from starting an agent that was killed, whose log has N events, to its first answer to a linearizable read |
//! | | resident memory | of that agent, then |
//! | `gateway` | calls/s | calls that one unit forwards in a second, of wrk with 64 connections that are kept, on 1 and on 2 cores, with answers of 1 kB and of 100 kB. Against it: nginx with as many workers on the same cores, before the same backend. wrk and the backend, another nginx, run on the cores that are left, or share them; what wrk has from the backend alone is printed, too |
//! | | median, p99 | time of such a call, as wrk sees it |
//! | | processor time | what the proxy's processes used for each call |
//! | `failures` | answered wrongly | of 100,000 calls through one unit to backends that are slow, refuse, reset, close, answer garbage or never answer, or reset within the body: those without 502, 504 or what else is right, or without it in time |
//! | | working API | time of calls to another API on the same unit, alone and meanwhile |
//! | | descriptors, threads, memory | of the unit at rest: before, after half of the calls, after all. Growth after half of them fails the measurement, as anything answered wrongly does |
//!
//! A client of N keeps to one agent with a connection of its own: the first to the first agent, the
//! second to the second, and in each round one further. So the median for one client is what a client
//! of a follower sees.

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
