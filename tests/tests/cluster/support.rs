//! Helpers of these tests.

use meridian_domain::{Command, Edit, RegionName, ServiceName, Tier, Verdict, WhenDisabled, Zones};
use meridian_ports::Receipt;
use meridian_testkit::cluster::{Cluster, Options};

pub const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];

pub fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("a valid service name")
}

pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("a valid region name")
}

pub fn create(name: &str) -> Command {
    Command::CreateService {
        service: service(name),
        tier: Tier::Premium,
        primary: region("westeurope"),
        port: None,
        when_disabled: WhenDisabled::Refuse,
    }
}

pub fn change(name: &str, edits: Vec<Edit>) -> Command {
    Command::ChangeService { service: service(name), expected: None, edits }
}

pub fn add(place: &str, units: u16) -> Edit {
    Edit::Add { region: region(place), units, zones: Zones::new() }
}

pub fn set(place: &str, units: u16) -> Edit {
    Edit::Set { region: region(place), units }
}

/// Bootstraps three nodes, and creates the service `contoso`.
pub async fn contoso(options: Options) -> Cluster {
    let cluster = Cluster::bootstrap(&REGIONS, options).await.expect("the cluster is bootstrapped");
    let created = cluster.propose(0, create("contoso")).await.expect("the change is decided");
    assert_eq!(created.verdict, Verdict::Accepted);
    cluster
}

pub fn accepted(receipt: &Receipt) -> bool {
    receipt.verdict == Verdict::Accepted
}
