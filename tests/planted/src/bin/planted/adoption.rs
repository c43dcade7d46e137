//! A driver with real processes. Its unit dies while no agent runs, and an innocent process has the
//! unit's number when the next agent starts.
//!
//! That the kernel gives a number out again cannot be had on demand; so the innocent process is put
//! where the bug remembers the number, which without the bug nothing ever reads.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use meridian_agent::driver::{
    Builtin, BuiltinConfig, Driver as _, Phase, Program, UnitLimits, UnitSpec,
};
use meridian_domain::{
    AgentName, ClusterId, Configuration, Generation, Incarnation, RegionName, ServiceName, UnitId,
};
use meridian_gateway::UnitConfig;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::runtime;

/// The unit.
const INCARNATION: Incarnation = Incarnation(7);
/// For what must happen some time.
const PATIENCE: Duration = Duration::from_secs(20);
/// For a process to be killed that must not be.
const WATCHED: Duration = Duration::from_secs(1);

/// The driver must not take the innocent process for its unit, nor kill it.
pub fn check(_seed: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let run = directory.path().join("run");
    // The lives of an agent: what it leaves behind are processes and files.
    let agent = runtime()?;
    let pid = agent.block_on(first_life(&run))?;
    agent.shutdown_background();
    kill(pid)?;
    let mut innocent = Innocent::start()?;
    std::fs::write(run.join("u7.pid"), innocent.0.id().to_string())?;
    let found = runtime()?.block_on(second_life(&run));
    let alive = innocent.0.try_wait()?.is_none();
    found?;
    ensure!(alive, "S8: a process was killed that is no unit");
    Ok(())
}

/// Serves as a unit until it is told to end.
pub fn unit(arguments: Vec<String>) -> anyhow::Result<()> {
    let config = UnitConfig::from_arguments(arguments)?;
    Ok(runtime()?.block_on(meridian_gateway::run(config))?)
}

/// Starts the unit, and returns the number of its process once it serves.
async fn first_life(run: &Path) -> anyhow::Result<u32> {
    let driver = Builtin::open(config(run, 1)).await?;
    driver.start(spec()?).await?;
    let mut changes = driver.changes();
    let serving = timeout(PATIENCE, async {
        loop {
            changes.mark_unchanged();
            let units = driver.list().await?;
            let ready = units.iter().find(|unit| unit.phase == Phase::Ready);
            if let Some(pid) = ready.and_then(|unit| unit.pid) {
                return anyhow::Ok(pid);
            }
            changes.changed().await?;
        }
    });
    serving.await.context("the unit never was ready")?
}

/// Kills the unit, and returns when it is gone.
fn kill(pid: u32) -> anyhow::Result<()> {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    ensure!(killed.success(), "the unit cannot be killed");
    let process = Path::new("/proc").join(pid.to_string());
    let give_up = Instant::now() + PATIENCE;
    // Nobody may have asked how it ended; then only its program is gone.
    while process.join("exe").exists() {
        ensure!(Instant::now() < give_up, "the unit does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

async fn second_life(run: &Path) -> anyhow::Result<()> {
    let driver = Builtin::open(config(run, 2)).await?;
    let units = driver.list().await?;
    let running = units.iter().filter(|unit| !matches!(unit.phase, Phase::Exited(_)));
    let running: Vec<_> = running.map(|unit| (unit.incarnation, unit.pid)).collect();
    driver.stop(INCARNATION).await?;
    sleep(WATCHED).await;
    ensure!(running.is_empty(), "S8: units {running:?} are said to run, and none does");
    Ok(())
}

fn config(run: &Path, generation: u64) -> BuiltinConfig {
    BuiltinConfig {
        cluster: ClusterId(Uuid::from_u128(7)),
        agent: AgentName::new("we-1").expect("is a name"),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: IpAddr::V4(Ipv4Addr::LOCALHOST),
        program: Program {
            path: std::env::current_exe().expect("this program has a path"),
            arguments: ["unit", "--"].map(OsString::from).to_vec(),
        },
        limits: UnitLimits::default(),
        drain_timeout: Duration::from_millis(200),
    }
}

fn spec() -> anyhow::Result<UnitSpec> {
    let free = TcpListener::bind("127.0.0.1:0")?;
    Ok(UnitSpec {
        unit: UnitId {
            service: ServiceName::new("contoso").expect("is a name"),
            region: RegionName::new("westeurope").expect("is a name"),
            slot: 1,
        },
        incarnation: INCARNATION,
        port: free.local_addr()?.port(),
        configuration: Arc::new(Configuration::default()),
    })
}

/// A process that has nothing to do with any of this.
struct Innocent(Child);

impl Innocent {
    fn start() -> anyhow::Result<Self> {
        Ok(Self(Command::new("sleep").arg("60").spawn()?))
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        // It may have been killed before: that is what is looked for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
