//! A name server with a state in memory, for measurements: `name_server ADDRESS:PORT [DATABASE]`.

#![allow(clippy::unwrap_used, reason = "a panic ends the program")]

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/steering/cluster.rs"]
mod cluster;

use cluster::{Cluster, region};
use meridian_steering::Config;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("an address").parse().unwrap();
    let cluster = Cluster::contoso();
    let mut config = Config::new(vec![address], region("westeurope"));
    config.location_database = arguments.next().map(Into::into);
    // dnsperf is one network.
    config.responses_per_second = 0;
    let server = cluster.bind(config).await.unwrap();
    server.run(CancellationToken::new()).await.unwrap();
}
