//! The constant loads.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::ResolvedName;
use crate::load::{Backend, Counts, Load, Plan, Server, Version};

use super::cluster::{Cluster, GATEWAY, NAME};

/// Path at which a unit reports its status.
const STATUS: &str = "/status-0123456789abcdef";
/// Path of the API.
pub(super) const API: &str = "/orders";
/// Indexes of the loaded regions: the one with most changes, and its neighbor.
pub(super) const FIRST: usize = 0;
pub(super) const NEIGHBOR: usize = 1;

/// Requests per persistent connection. Connections then spread to new units, and are still open
/// when a unit stops.
const REQUESTS_PER_CONNECTION: u64 = 200;

const KILOBYTE: usize = 1_000;
const MEGABYTE: usize = 1_000_000;

/// The backends of the API: the original one, and its replacement.
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

/// One constant load.
struct Workload {
    name: &'static str,
    region: usize,
    /// Maximum number of concurrent requests.
    concurrency: u64,
    load: Load,
}

/// Results of one workload.
#[derive(Debug)]
pub(super) struct WorkloadCounts {
    pub(super) name: &'static str,
    pub(super) region: usize,
    pub(super) concurrency: u64,
    pub(super) counts: Counts,
}

/// All workloads.
pub(super) struct Workloads {
    workloads: Vec<Workload>,
    /// Name that the clients resolve.
    _name: Option<ResolvedName>,
}

impl Workloads {
    /// Starts the workloads of clients of one address. Think times leave CPU time for the agents and units.
    pub(super) fn start(cluster: &Cluster) -> Self {
        let [first, neighbor] = [FIRST, NEIGHBOR].map(|region| cluster.gateway(region));
        let ms = Duration::from_millis;
        let small = Plan::download(first, API, KILOBYTE);
        let large = Plan::download(first, API, MEGABYTE).think_time(ms(50));
        let echo = Plan::echo(first, API, MEGABYTE).think_time(ms(100));
        let next_region = Plan::download(neighbor, API, KILOBYTE);
        let workloads = vec![
            workload("status", FIRST, Plan::get(first, STATUS).connections(4).think_time(ms(5))),
            workload(
                "status, new connections",
                FIRST,
                Plan::get(first, STATUS).connections(2).think_time(ms(10)).without_keep_alive(),
            ),
            workload(
                "status, neighbor",
                NEIGHBOR,
                Plan::get(neighbor, STATUS).connections(2).think_time(ms(10)),
            ),
            workload("1 kB", FIRST, small.clone().connections(8).think_time(ms(5))),
            workload(
                "1 kB, new connections",
                FIRST,
                small.clone().connections(4).think_time(ms(20)).without_keep_alive(),
            ),
            workload("1 kB, HTTP/2", FIRST, small.http2(4).connections(2).think_time(ms(10))),
            workload("1 MB", FIRST, large.clone().connections(2)),
            workload(
                "1 MB, new connections",
                FIRST,
                large.clone().connections(1).without_keep_alive(),
            ),
            workload("1 MB, HTTP/2", FIRST, large.http2(2)),
            workload("1 MB echo", FIRST, echo.clone()),
            workload("1 MB echo, HTTP/2", FIRST, echo.http2(1)),
            workload("1 kB, neighbor", NEIGHBOR, next_region.connections(2).think_time(ms(10))),
        ];
        Self { workloads, _name: None }
    }

    /// Starts the workloads of clients near the neighbor region that resolve the name of the service.
    pub(super) async fn resolving(cluster: &Cluster) -> anyhow::Result<Self> {
        let name = cluster.resolve(NEIGHBOR).await?;
        let server = Server::Named {
            authority: format!("{NAME}:{GATEWAY}"),
            address: name.address(),
            port: GATEWAY,
        };
        let ms = Duration::from_millis;
        let small = Plan::download(server.clone(), API, KILOBYTE);
        let large = Plan::download(server.clone(), API, MEGABYTE).think_time(ms(50));
        let echo = Plan::echo(server, API, MEGABYTE).think_time(ms(100));
        let near = |name, plan| workload(name, NEIGHBOR, plan);
        let workloads = vec![
            near("by name: 1 kB", small.clone().connections(8).think_time(ms(5))),
            near(
                "by name: 1 kB, new",
                small.clone().connections(4).think_time(ms(20)).without_keep_alive(),
            ),
            near("by name: 1 kB, HTTP/2", small.http2(4).connections(2).think_time(ms(10))),
            near("by name: 1 MB", large.clone().connections(2)),
            near("by name: 1 MB, HTTP/2", large.http2(2)),
            near("by name: 1 MB echo", echo),
        ];
        Ok(Self { workloads, _name: Some(name) })
    }

    /// Returns and resets the counters.
    pub(super) fn take(&self) -> Vec<WorkloadCounts> {
        self.workloads.iter().map(|workload| workload.with_counts(workload.load.take())).collect()
    }

    /// Stops sending, and waits for the requests in flight.
    pub(super) async fn stop(self) -> Vec<WorkloadCounts> {
        let mut all = Vec::new();
        for Workload { name, region, concurrency, load } in self.workloads {
            all.push(WorkloadCounts { name, region, concurrency, counts: load.stop().await });
        }
        all
    }
}

impl Workload {
    fn with_counts(&self, counts: Counts) -> WorkloadCounts {
        let &Self { name, region, concurrency, .. } = self;
        WorkloadCounts { name, region, concurrency, counts }
    }
}

fn workload(name: &'static str, region: usize, plan: Plan) -> Workload {
    let plan = plan.requests_per_connection(REQUESTS_PER_CONNECTION);
    let streams = match plan.version {
        Version::Http1 => 1,
        Version::Http2 { streams } => streams,
    };
    let concurrency = (plan.connections * streams) as u64;
    Workload { name, region, concurrency, load: Load::start(plan) }
}
