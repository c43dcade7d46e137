//! The loads that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Backend, Counts, Load, Plan, Version};

use super::cluster::Cluster;

/// Where a unit says who it is.
const STATUS: &str = "/status-0123456789abcdef";
/// The path of the API.
pub(super) const API: &str = "/orders";
/// The regions that are called: the one in which most happens, and its neighbour.
pub(super) const FIRST: usize = 0;
pub(super) const NEIGHBOUR: usize = 1;

/// Calls on a connection that is kept: so connections come to new units, and still end when a unit does.
const RENEWAL: u64 = 200;

const KILOBYTE: usize = 1_000;
const MEGABYTE: usize = 1_000_000;

/// What stands behind the API: the one it is published with, and the one it is changed to.
pub(super) struct Backends {
    pub(super) first: Backend,
    pub(super) second: Backend,
}

impl Backends {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { first: Backend::start(any).await?, second: Backend::start(any).await? })
    }
}

/// One kind of calls.
struct Lane {
    name: &'static str,
    region: usize,
    /// Calls at a time, at most.
    at_once: u64,
    load: Load,
}

/// What came of one kind of calls.
#[derive(Debug)]
pub(super) struct LaneCounts {
    pub(super) name: &'static str,
    pub(super) region: usize,
    pub(super) at_once: u64,
    pub(super) counts: Counts,
}

/// All of them.
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    /// Starts them. They rest between calls: the agents and units need the processors, too.
    pub(super) fn start(cluster: &Cluster) -> Self {
        let [first, neighbour] = [FIRST, NEIGHBOUR].map(|region| cluster.gateway(region));
        let rest = Duration::from_millis;
        let small = Plan::download(first, API, KILOBYTE);
        let large = Plan::download(first, API, MEGABYTE).pause(rest(50));
        let echo = Plan::echo(first, API, MEGABYTE).pause(rest(100));
        let beside = Plan::download(neighbour, API, KILOBYTE);
        Self(vec![
            lane("status", FIRST, Plan::get(first, STATUS).connections(4).pause(rest(5))),
            lane(
                "status, a connection each",
                FIRST,
                Plan::get(first, STATUS).connections(2).pause(rest(10)).without_keep_alive(),
            ),
            lane(
                "status, neighbour",
                NEIGHBOUR,
                Plan::get(neighbour, STATUS).connections(2).pause(rest(10)),
            ),
            lane("1 kB", FIRST, small.clone().connections(8).pause(rest(5))),
            lane(
                "1 kB, a connection each",
                FIRST,
                small.clone().connections(4).pause(rest(20)).without_keep_alive(),
            ),
            lane("1 kB, HTTP/2", FIRST, small.http2(4).connections(2).pause(rest(10))),
            lane("1 MB", FIRST, large.clone().connections(2)),
            lane(
                "1 MB, a connection each",
                FIRST,
                large.clone().connections(1).without_keep_alive(),
            ),
            lane("1 MB, HTTP/2", FIRST, large.http2(2)),
            lane("1 MB up and down", FIRST, echo.clone()),
            lane("1 MB up and down, HTTP/2", FIRST, echo.http2(1)),
            lane("1 kB, neighbour", NEIGHBOUR, beside.connections(2).pause(rest(10))),
        ])
    }

    /// What was counted since the start, or since this was last called.
    pub(super) fn take(&self) -> Vec<LaneCounts> {
        self.0.iter().map(|lane| lane.counted(lane.load.take())).collect()
    }

    /// Waits for the calls that run.
    pub(super) async fn stop(self) -> Vec<LaneCounts> {
        let mut all = Vec::new();
        for Lane { name, region, at_once, load } in self.0 {
            all.push(LaneCounts { name, region, at_once, counts: load.stop().await });
        }
        all
    }
}

impl Lane {
    fn counted(&self, counts: Counts) -> LaneCounts {
        let &Self { name, region, at_once, .. } = self;
        LaneCounts { name, region, at_once, counts }
    }
}

fn lane(name: &'static str, region: usize, plan: Plan) -> Lane {
    let plan = plan.renewal(RENEWAL);
    let streams = match plan.version {
        Version::Http1 => 1,
        Version::Http2 { streams } => streams,
    };
    let at_once = (plan.connections * streams) as u64;
    Lane { name, region, at_once, load: Load::start(plan) }
}
