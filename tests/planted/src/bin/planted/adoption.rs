//! A driver with real processes. Its unit exits while no agent is running, and an unrelated process
//! has the unit's process id when the next agent starts.
//!
//! The kernel does not reuse a process id on demand. The unrelated process is therefore recorded
//! where the bug remembers the process id; without the bug, nothing reads that file.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use meridian_agent::driver::{
    Builtin, BuiltinConfig, Driver as _, Phase, Program, Traffic, UnitLimits, UnitSpec,
};
use meridian_domain::{
    AgentName, ClusterId, Configuration, Generation, Incarnation, RegionName, ServiceName, UnitId,
};
use meridian_gateway::UnitConfig;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::runtime;

/// Incarnation of the unit.
const INCARNATION: Incarnation = Incarnation(7);
/// Timeout for expected events.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Time for which the unrelated process is watched.
const WATCHED: Duration = Duration::from_secs(1);

/// Checks that the driver neither takes the unrelated process for its unit nor kills it.
pub fn check(_seed: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let run = directory.path().join("run");
    // Two process runs of an agent; only processes and files survive the first.
    let agent = runtime()?;
    let pid = agent.block_on(first_run(&run))?;
    agent.shutdown_background();
    kill(pid)?;
    let mut squatter = PidSquatter::start()?;
    std::fs::write(run.join("u7.pid"), squatter.0.id().to_string())?;
    let result = runtime()?.block_on(second_run(&run));
    let alive = squatter.0.try_wait()?.is_none();
    result?;
    ensure!(alive, "S8: an unrelated process was killed");
    Ok(())
}

/// Serves as a unit until it is stopped.
pub fn unit(arguments: Vec<String>) -> anyhow::Result<()> {
    let config = UnitConfig::from_arguments(arguments)?;
    Ok(runtime()?.block_on(meridian_gateway::run(config))?)
}

/// Starts the unit, and returns its process id once it is ready.
async fn first_run(run: &Path) -> anyhow::Result<u32> {
    let driver = Builtin::open(config(run, 1)).await?;
    driver.start(spec()?).await?;
    let mut changes = driver.changes();
    let serving = timeout(TIMEOUT, async {
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
    serving.await.context("the unit did not become ready")?
}

/// Kills the unit, and waits for it to exit.
fn kill(pid: u32) -> anyhow::Result<()> {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    ensure!(killed.success(), "cannot kill the unit");
    let process = Path::new("/proc").join(pid.to_string());
    let deadline = Instant::now() + TIMEOUT;
    // The process may be a zombie, which has no program anymore.
    while process.join("exe").exists() {
        ensure!(Instant::now() < deadline, "the unit did not exit");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

async fn second_run(run: &Path) -> anyhow::Result<()> {
    let driver = Builtin::open(config(run, 2)).await?;
    let units = driver.list().await?;
    let running = units.iter().filter(|unit| !matches!(unit.phase, Phase::Exited(_)));
    let running: Vec<_> = running.map(|unit| (unit.incarnation, unit.pid)).collect();
    driver.stop(INCARNATION).await?;
    sleep(WATCHED).await;
    ensure!(running.is_empty(), "S8: units {running:?} are listed as running, but none is");
    Ok(())
}

fn config(run: &Path, generation: u64) -> BuiltinConfig {
    BuiltinConfig {
        cluster: ClusterId(Uuid::from_u128(7)),
        agent: AgentName::new("we-1").expect("a valid name"),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: IpAddr::V4(Ipv4Addr::LOCALHOST),
        program: Program {
            path: std::env::current_exe().expect("the path of this program"),
            arguments: ["unit", "--"].map(OsString::from).to_vec(),
        },
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        user: None,
        drain_timeout: Duration::from_millis(200),
    }
}

fn spec() -> anyhow::Result<UnitSpec> {
    let free = TcpListener::bind("127.0.0.1:0")?;
    Ok(UnitSpec {
        unit: UnitId {
            service: ServiceName::new("contoso").expect("a valid name"),
            region: RegionName::new("westeurope").expect("a valid name"),
            slot: 1,
        },
        incarnation: INCARNATION,
        port: free.local_addr()?.port(),
        configuration: Arc::new(Configuration::default()),
    })
}

/// An unrelated process.
struct PidSquatter(Child);

impl PidSquatter {
    fn start() -> anyhow::Result<Self> {
        Ok(Self(Command::new("sleep").arg("60").spawn()?))
    }
}

impl Drop for PidSquatter {
    fn drop(&mut self) {
        // Fails if the process was already killed, which the check reports.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
