//! Tests of the Docker driver, with the engine of this machine and an image that
//! `tests/containers/driver.sh` builds.

use std::os::unix::net::UnixStream;
use std::path::Path;

use meridian_agent::driver::docker::ImageName;
use meridian_agent::driver::{BuiltinConfig, DockerConfig, DockerDriver, Traffic, UnitLimits};
use meridian_domain::Generation;

use crate::load::no_request_is_lost_over;
use crate::support::{self, GATEWAY, Kind as _, SHORT_DRAIN_TIMEOUT, Variant};

mod rules;

conformance!(Kind);

type Machine = support::Machine<Kind>;

const SOCKET: &str = "/var/run/docker.sock";
/// Environment variable with the image repository. Its tag `unit` is the program. The tags
/// `failing` and `greedy` exit with an error and exceed their memory limit.
const REPOSITORY: &str = "MERIDIAN_TEST_IMAGE";

/// The Docker driver. Its units are containers.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "docker";
    type Driver = DockerDriver;

    fn missing_prerequisite() -> Option<String> {
        if std::env::var_os(REPOSITORY).is_none() {
            return Some(format!("{REPOSITORY} is not set: run tests/containers/driver.sh"));
        }
        let connected = UnixStream::connect(SOCKET).err();
        connected.map(|error| format!("no Docker engine responds at {SOCKET}: {error}"))
    }

    /// True if the process is in a container that has a directory of that run directory mounted.
    fn is_of(process: &Path, run: &Path) -> bool {
        let space = |process: &Path| std::fs::read_link(process.join("ns/mnt")).ok();
        if space(process) == space(Path::new("/proc/self")) {
            return false;
        }
        let mounts = std::fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        let is_inside = |mounted: &Path| {
            let (parent, name) = (mounted.parent(), mounted.file_name());
            let is_unit = name.is_some_and(|name| name.to_str().unwrap().ends_with(".d"));
            // Relative to the root of the file system, which may be mounted anywhere.
            let parent = parent.and_then(|parent| parent.strip_prefix("/").ok());
            is_unit && parent.is_some_and(|it| it.parent().is_some() && run.ends_with(it))
        };
        mounts.lines().filter_map(|line| line.split(' ').nth(3)).any(|it| is_inside(Path::new(it)))
    }

    async fn open(run: &Path, generation: u64, variant: Variant) -> DockerDriver {
        DockerDriver::open(config(run, generation, variant)).await.unwrap()
    }

    fn missing() -> String {
        format!(
            "the Docker engine at {SOCKET} has no image meridian-nowhere:0: build or pull it there"
        )
    }
}

fn config(run: &Path, generation: u64, variant: Variant) -> DockerConfig {
    DockerConfig {
        cluster: variant.cluster(),
        agent: Variant::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        drain_timeout: match variant {
            Variant::Impatient => SHORT_DRAIN_TIMEOUT,
            Variant::Usual | Variant::Failing | Variant::Missing | Variant::Foreign => {
                BuiltinConfig::DRAIN_TIMEOUT
            }
        },
        socket: SOCKET.into(),
        image: match variant {
            Variant::Failing => image("failing"),
            Variant::Missing => "meridian-nowhere:0".parse().unwrap(),
            Variant::Usual | Variant::Impatient | Variant::Foreign => image("unit"),
        },
        network: "host".parse().unwrap(),
        memory: None,
    }
}

fn image(tag: &str) -> ImageName {
    let repository = std::env::var(REPOSITORY).unwrap();
    format!("{repository}:{tag}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_containers_are_started_and_stopped() {
    match Kind::missing_prerequisite() {
        Some(what) => println!("skipped: {what}"),
        None => no_request_is_lost_over::<Kind>(2).await,
    }
}
