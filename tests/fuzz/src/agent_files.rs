//! The durable files of an agent: the first byte chooses the file, the others are its JSON. It is
//! tried as the whole file, and behind its checksum.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use meridian_agent::driver::{Driver, RunningUnit, StartError, UnitSpec, Unreachable};
use meridian_agent::{Reconciler, ReconcilerConfig, generation};
use meridian_domain::{AgentName, Configuration, Generation, Incarnation, Revision, State};
use meridian_gateway::{Unit, UnitConfig};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt, UnitLoads,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::{RUNTIME, directory};

/// Whether the bytes are the chosen file.
pub fn understands(data: &[u8]) -> bool {
    let Some((kind, json)) = data.split_first() else { return false };
    let mut whole = format!("{:08x} ", crc32fast::hash(json.trim_ascii_end())).into_bytes();
    whole.extend(json);
    let (name, read): (_, fn(&Path) -> bool) = match kind % 3 {
        0 => ("generation", raises),
        1 => ("desired", loads),
        _ => ("u7.json", locks),
    };
    let understood = |bytes: &[u8]| {
        let directory = directory();
        fs::write(directory.path().join(name), bytes).expect("can be written");
        read(directory.path())
    };
    understood(json) | understood(&whole)
}

/// A generation that was read is followed by another, which is stored.
fn raises(directory: &Path) -> bool {
    let Ok(first) = generation::raise(directory) else { return false };
    // The first may have been the last number there is.
    if let Ok(second) = generation::raise(directory) {
        assert_eq!(second, first.next());
    }
    true
}

fn loads(directory: &Path) -> bool {
    let config = ReconcilerConfig {
        agent: AgentName::new("we-1").expect("is a name"),
        directory: directory.to_owned(),
        generation: Generation(1),
        loads: watch::Sender::new(UnitLoads::default()),
    };
    let _context = RUNTIME.enter();
    let nothing = Arc::new(Nothing);
    Reconciler::build(config, nothing.clone(), nothing.clone(), nothing).is_ok()
}

/// A unit reads why it is to run.
fn locks(directory: &Path) -> bool {
    const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
         --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";
    let arguments = ARGUMENTS.split(' ').map(str::to_owned);
    let mut config = UnitConfig::from_arguments(arguments).expect("are its arguments");
    config.directory = directory.to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("is a socket");
    let _context = RUNTIME.enter();
    Unit::build(config, listener).is_ok()
}

/// Neither a log nor a driver.
#[derive(Debug)]
struct Nothing;

static EMPTY: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[async_trait]
impl Propose for Nothing {
    async fn propose(&self, _: Proposal) -> Result<Receipt, ProposeError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Read for Nothing {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        std::future::pending().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        EMPTY.read().expect("nothing panics while it holds the state")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        watch::Sender::new(Revision(0)).subscribe()
    }
}

#[async_trait]
impl Driver for Nothing {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        Ok(Vec::new())
    }

    async fn start(&self, _: UnitSpec) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn configure(&self, _: Incarnation, _: Arc<Configuration>) -> Result<(), Unreachable> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}
