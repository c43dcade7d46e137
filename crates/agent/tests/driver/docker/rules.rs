//! Tests of the Docker driver only: which containers it touches, and which privileges it gives
//! them.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount, MountType,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use meridian_agent::driver::{DockerDriver, Driver as _, ExitStatus};

use super::{Kind, Machine, SOCKET, config, image};
use crate::support::{Kind as _, Variant, get_status, until_exited, until_ready};

/// The engine, to inspect the effects of the driver.
struct Engine(Docker);

type Labels<'a> = [(&'a str, &'a str)];

impl Engine {
    async fn connect() -> Self {
        let docker = Docker::connect_with_unix(SOCKET, 60, API_DEFAULT_VERSION).unwrap();
        Self(docker.negotiate_version().await.unwrap())
    }

    /// Creates, but does not start, a container with these labels and optionally that directory.
    async fn create(&self, labels: &Labels<'_>, directory: Option<&Path>) -> String {
        let mount = directory.map(|directory| Mount {
            typ: Some(MountType::BIND),
            source: Some(directory.to_str().unwrap().to_owned()),
            target: Some("/unit".to_owned()),
            ..Mount::default()
        });
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body = ContainerCreateBody {
            image: Some(image("unit").to_string()),
            labels: Some(labels.collect()),
            host_config: Some(HostConfig {
                mounts: Some(mount.into_iter().collect()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.0.create_container(None::<CreateContainerOptions>, body).await.unwrap().id
    }

    async fn inspect(&self, id: &str) -> Option<ContainerInspectResponse> {
        self.0.inspect_container(id, None::<InspectContainerOptions>).await.ok()
    }

    async fn remove(&self, id: &str) {
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        self.0.remove_container(id, Some(options)).await.unwrap();
    }

    /// Returns the containers that have a directory of this machine mounted.
    async fn containers(&self, machine: &Machine) -> Vec<String> {
        let options = ListContainersOptions { all: true, ..Default::default() };
        let listed = self.0.list_containers(Some(options)).await.unwrap().into_iter();
        let run = machine.run();
        let ours = listed.filter(|container| {
            let mounts = container.mounts.iter().flatten();
            let mut sources = mounts.filter_map(|mount| mount.source.as_ref());
            sources.any(|source| Path::new(source).starts_with(&run))
        });
        ours.filter_map(|container| container.id).collect()
    }
}

/// Labels of a unit of this test, except for those in `other`.
fn labels<'a>(cluster: &'a str, other: &Labels<'a>) -> Vec<(&'a str, &'a str)> {
    let mut labels = HashMap::from([
        ("meridian.cluster", cluster),
        ("meridian.agent", "we-1"),
        ("meridian.service", "contoso"),
        ("meridian.region", "westeurope"),
        ("meridian.slot", "7"),
        ("meridian.incarnation", "7"),
        ("meridian.address", "127.0.0.1:9"),
    ]);
    labels.extend(other.iter().copied());
    labels.into_iter().collect()
}

macro_rules! needs_engine {
    () => {
        if let Some(what) = Kind::missing_prerequisite() {
            println!("skipped: {what}");
            return;
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_others_are_ignored_regardless_of_their_labels() {
    needs_engine!();
    let (machine, engine) = (Machine::new(), Engine::connect().await);
    let directory = machine.run().join("u7.d");
    std::fs::create_dir_all(&directory).unwrap();
    let (ours, theirs) =
        (Variant::Usual.cluster().to_string(), Variant::Foreign.cluster().to_string());
    let elsewhere = tempfile::tempdir().unwrap();
    let here = Some(directory.as_path());
    let others = [
        engine.create(&[], None).await,
        engine.create(&[], here).await,
        engine.create(&labels(&theirs, &[]), here).await,
        engine.create(&labels(&ours, &[("meridian.agent", "we-2")]), here).await,
        engine.create(&labels(&ours, &[("meridian.service", "../up")]), here).await,
        engine.create(&labels(&ours, &[("meridian.incarnation", "8")]), here).await,
        engine.create(&labels(&ours, &[]), None).await,
        engine.create(&labels(&ours, &[]), Some(elsewhere.path())).await,
    ];
    let left_over = engine.create(&labels(&ours, &[]), here).await;

    let driver = machine.driver(1).await;
    assert!(
        engine.inspect(&left_over).await.is_none(),
        "the container of an earlier process run remains"
    );
    assert_eq!(driver.list().await.unwrap(), []);
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    machine.tidy(&driver).await;
    for (index, other) in others.iter().enumerate() {
        let found = engine.inspect(other).await;
        let found = found.unwrap_or_else(|| panic!("container {index} was removed"));
        let state = found.state.unwrap();
        assert_eq!(state.started_at.as_deref(), Some("0001-01-01T00:00:00Z"), "{index}: {state:?}");
        engine.remove(other).await;
    }
    assert_eq!(engine.containers(&machine).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_only_its_own_directory_and_no_privileges() {
    needs_engine!();
    let (machine, engine) = (Machine::new(), Engine::connect().await);
    let driver = machine.driver(1).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let containers = engine.containers(&machine).await;
    let [id] = &containers[..] else { panic!("{containers:?}") };
    let found = engine.inspect(id).await.unwrap();
    let mounts = found.mounts.unwrap();
    let sources: Vec<_> = mounts.iter().filter_map(|mount| mount.source.as_ref()).collect();
    assert_eq!(sources, [machine.run().join("u7.d").to_str().unwrap()]);
    let host = found.host_config.unwrap();
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
    assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
    assert_eq!(host.port_bindings.unwrap_or_default(), HashMap::new());
    let labels = found.config.unwrap().labels.unwrap();
    let ours = labels.iter().filter(|(name, _)| name.starts_with("meridian."));
    assert_eq!(ours.count(), 7, "{labels:?}");
    machine.tidy(&driver).await;
    assert!(engine.inspect(id).await.is_none(), "a stopped unit's container remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_unit_regardless_of_its_container_network() {
    needs_engine!();
    let machine = Machine::new();
    let mut config = config(&machine.run(), 1, Variant::Usual);
    config.network = "none".parse().unwrap();
    let driver = DockerDriver::open(config).await.unwrap();
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    assert_eq!(get_status(machine.address()).unwrap().0, 7);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceeding_the_memory_limit_is_reported_as_out_of_memory() {
    needs_engine!();
    let machine = Machine::new();
    let mut config = config(&machine.run(), 1, Variant::Usual);
    config.image = image("greedy");
    config.memory = NonZeroU64::new(32 << 20);
    let driver = DockerDriver::open(config).await.unwrap();
    driver.start(machine.spec(7)).await.unwrap();
    assert_eq!(until_exited(&driver).await.status, ExitStatus::OutOfMemory);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_engine_is_reported_with_the_next_step() {
    let machine = Machine::new();
    let socket = machine.run().with_file_name("docker.sock");
    let mut config = config(&machine.run(), 1, Variant::Missing);
    config.socket.clone_from(&socket);
    let driver = DockerDriver::open(config).await.unwrap();
    let expected = format!(
        "the Docker engine at {} is unreachable: start it, give the agent's user access to the \
         socket, or set docker_socket",
        socket.display()
    );
    let unreachable = driver.list().await.unwrap_err();
    assert_eq!(std::error::Error::source(&unreachable).unwrap().to_string(), expected);
    assert_eq!(driver.start(machine.spec(7)).await.unwrap_err().to_string(), expected);
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_adopted_as_soon_as_the_engine_responds() {
    needs_engine!();
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(7)).await.unwrap();
    let before = until_ready(&first, 1).await;
    drop(first);
    let socket = machine.run().with_file_name("docker.sock");
    let mut config = config(&machine.run(), 2, Variant::Usual);
    config.socket.clone_from(&socket);
    let second = DockerDriver::open(config).await.unwrap();
    assert!(second.list().await.is_err());
    assert!(second.stop(before[0].incarnation).await.is_err());

    std::os::unix::fs::symlink(SOCKET, &socket).unwrap();
    assert_eq!(second.list().await.unwrap().len(), 1);
    assert_eq!(until_ready(&second, 1).await[0].pid, before[0].pid);
    machine.tidy(&second).await;
}
