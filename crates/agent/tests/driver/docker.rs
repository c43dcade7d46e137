//! The Docker driver, with the engine of this machine, and an image that
//! `tests/containers/driver.sh` builds.

use std::os::unix::net::UnixStream;
use std::path::Path;

use meridian_agent::driver::docker::ImageName;
use meridian_agent::driver::{BuiltinConfig, DockerConfig, DockerDriver, UnitLimits};
use meridian_domain::Generation;

use crate::load::no_call_is_lost_over;
use crate::support::{self, GATEWAY, Kind as _, Like, SHORT_DRAIN_LIMIT};

mod rules;

conformance!(Kind);

type Machine = support::Machine<Kind>;

const SOCKET: &str = "/var/run/docker.sock";
/// Names the repository whose tag `unit` is the program; its tags `failing` and `greedy` fail so.
const REPOSITORY: &str = "MERIDIAN_TEST_IMAGE";

/// The Docker driver; the units are containers.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "docker";
    type Driver = DockerDriver;

    fn lacks() -> Option<String> {
        if std::env::var_os(REPOSITORY).is_none() {
            return Some(format!("{REPOSITORY} is not set: tests/containers/driver.sh does it"));
        }
        let reached = UnixStream::connect(SOCKET).err();
        reached.map(|error| format!("no Docker engine answers at {SOCKET}: {error}"))
    }

    /// Whether a container has a directory of that run directory.
    fn is_of(process: &Path, run: &Path) -> bool {
        let space = |process: &Path| std::fs::read_link(process.join("ns/mnt")).ok();
        if space(process) == space(Path::new("/proc/self")) {
            return false;
        }
        let mounts = std::fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        let is_inside = |mounted: &Path| {
            let (parent, name) = (mounted.parent(), mounted.file_name());
            let is_unit = name.is_some_and(|name| name.to_str().unwrap().ends_with(".d"));
            // From the root of the file system, which may be mounted anywhere.
            let parent = parent.and_then(|parent| parent.strip_prefix("/").ok());
            is_unit && parent.is_some_and(|it| it.parent().is_some() && run.ends_with(it))
        };
        mounts.lines().filter_map(|line| line.split(' ').nth(3)).any(|it| is_inside(Path::new(it)))
    }

    async fn open(run: &Path, generation: u64, like: Like) -> DockerDriver {
        DockerDriver::open(config(run, generation, like)).await.unwrap()
    }

    fn missing() -> String {
        format!(
            "the Docker engine at {SOCKET} has no image meridian-nowhere:0: build it there, or pull \
             it"
        )
    }
}

fn config(run: &Path, generation: u64, like: Like) -> DockerConfig {
    DockerConfig {
        cluster: like.cluster(),
        agent: Like::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        limits: UnitLimits::default(),
        drain_limit: match like {
            Like::Impatient => SHORT_DRAIN_LIMIT,
            _ => BuiltinConfig::DRAIN_LIMIT,
        },
        socket: SOCKET.into(),
        image: match like {
            Like::Failing => image("failing"),
            Like::Missing => "meridian-nowhere:0".parse().unwrap(),
            Like::Usual | Like::Impatient | Like::Foreign => image("unit"),
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
async fn no_call_is_lost_while_containers_are_started_and_stopped() {
    match Kind::lacks() {
        Some(what) => println!("skipped: {what}"),
        None => no_call_is_lost_over::<Kind>(2).await,
    }
}
