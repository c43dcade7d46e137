//! The durable files of an agent. The first byte selects the file, the others are its JSON, which
//! is tried both as the whole file and after a valid checksum.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use meridian_agent::driver::{Driver, RunningUnit, StartError, UnitSpec, Unreachable};
use meridian_agent::{Reconciler, ReconcilerConfig, generation};
use meridian_domain::{AgentName, Configuration, Generation, Incarnation, NodeId, Revision, State};
use meridian_gateway::{Unit, UnitConfig};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt, UnitLoads,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::environment::{RUNTIME, directory};

/// Returns true if the bytes are the selected file.
pub fn accepts(data: &[u8]) -> bool {
    let Some((kind, json)) = data.split_first() else { return false };
    let mut with_checksum = format!("{:08x} ", crc32fast::hash(json.trim_ascii_end())).into_bytes();
    with_checksum.extend(json);
    let (name, read): (_, fn(&Path) -> bool) = match kind % 3 {
        0 => ("generation", reads_generation),
        1 => ("desired", reads_desired),
        _ => ("u7.json", reads_intent),
    };
    let accepted = |bytes: &[u8]| {
        let directory = directory();
        fs::write(directory.path().join(name), bytes).expect("the file is written");
        read(directory.path())
    };
    accepted(json) | accepted(&with_checksum)
}

/// A generation that was read is followed by the next one, which is stored.
fn reads_generation(directory: &Path) -> bool {
    let Ok(first) = generation::raise(directory) else { return false };
    // The first may have been the maximum, which has no successor.
    if let Ok(second) = generation::raise(directory) {
        assert_eq!(second, first.next());
    }
    true
}

fn reads_desired(directory: &Path) -> bool {
    let config = ReconcilerConfig {
        agent: AgentName::new("we-1").expect("a valid name"),
        node: NodeId(1),
        directory: directory.to_owned(),
        generation: Generation(1),
        gateway: [127, 0, 0, 1].into(),
        loads: watch::Sender::new(UnitLoads::default()),
    };
    let _context = RUNTIME.enter();
    let disconnected = Arc::new(Disconnected);
    Reconciler::build(config, disconnected.clone(), disconnected.clone(), disconnected).is_ok()
}

/// A unit reads the intent of its agent.
fn reads_intent(directory: &Path) -> bool {
    const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
         --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";
    let arguments = ARGUMENTS.split(' ').map(str::to_owned);
    let mut config = UnitConfig::from_arguments(arguments).expect("valid arguments");
    config.directory = directory.to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("the socket can be made non-blocking");
    let _context = RUNTIME.enter();
    Unit::build(config, listener).is_ok()
}

/// A disconnected log, and a driver without units.
#[derive(Debug)]
struct Disconnected;

static EMPTY: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[async_trait]
impl Propose for Disconnected {
    async fn propose(&self, _: Proposal) -> Result<Receipt, ProposeError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Read for Disconnected {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        std::future::pending().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        EMPTY.read().expect("no thread panics while holding the lock")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        watch::Sender::new(Revision(0)).subscribe()
    }
}

#[async_trait]
impl Driver for Disconnected {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        Ok(Vec::new())
    }

    async fn start(&self, _: UnitSpec) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn kill(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn configure(&self, _: Incarnation, _: Arc<Configuration>) -> Result<(), Unreachable> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}
