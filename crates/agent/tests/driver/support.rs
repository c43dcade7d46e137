//! Machines with drivers on them, and what to expect of their units.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian_agent::driver::{
    Builtin, BuiltinConfig, Driver as _, Phase, Program, RunningUnit, UnitLimits, UnitSpec,
    stop_all,
};
use meridian_domain::{
    AgentName, ClusterId, Configuration, Generation, Incarnation, RegionName, Revision,
    ServiceName, UnitId,
};
use meridian_gateway::UnitConfig;

/// For whatever must happen some time.
const PATIENCE: Duration = Duration::from_secs(40);

/// A machine: a data directory, and a port of its own.
pub struct Machine {
    directory: tempfile::TempDir,
    pub port: u16,
}

impl Machine {
    pub fn new() -> Self {
        let free = TcpListener::bind(SocketAddr::new(GATEWAY, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        Self { directory: tempfile::tempdir().unwrap(), port }
    }

    pub fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(GATEWAY, self.port)
    }

    pub async fn driver(&self, generation: u64) -> Builtin {
        Builtin::open(config(&self.run(), generation)).await.unwrap()
    }

    pub fn spec(&self, incarnation: u64) -> UnitSpec {
        spec(incarnation, self.port)
    }

    /// An agent as a process of its own: it starts the incarnations 1 to `units` and lives on.
    pub fn agent(&self, units: u64) -> Child {
        self.agent_command(units).spawn().unwrap()
    }

    /// Likewise, but its units only start once the file `go` is in the run directory.
    pub fn agent_of_late_units(&self, units: u64) -> Child {
        self.agent_command(units).arg("late").spawn().unwrap()
    }

    fn agent_command(&self, units: u64) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "agent_process", "--nocapture", "--"])
            .arg(self.run())
            .args([self.port.to_string(), units.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The processes that run in this machine's run directory, whatever anybody says of them.
    pub fn processes(&self) -> Vec<u32> {
        let run = self.run();
        let inside = |process: &Path| {
            let alive = std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty());
            alive && std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == run)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| inside(&process.path()))
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Stops what still runs.
    pub async fn tidy(&self, driver: &Builtin) {
        stop_all(driver).await.unwrap();
        assert_eq!(self.processes(), [0; 0]);
    }
}

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub fn config(run: &Path, generation: u64) -> BuiltinConfig {
    let arguments = ["--exact", "unit_process", "--nocapture", "--"];
    BuiltinConfig {
        cluster: ClusterId("01932f5e-8b1a-7c3d-9e4f-0123456789ab".parse().unwrap()),
        agent: AgentName::new("we-1").unwrap(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        program: Program {
            path: std::env::current_exe().unwrap(),
            arguments: arguments.map(OsString::from).to_vec(),
        },
        limits: UnitLimits::default(),
        drain_limit: BuiltinConfig::DRAIN_LIMIT,
    }
}

pub fn spec(incarnation: u64, port: u16) -> UnitSpec {
    UnitSpec {
        unit: UnitId {
            service: ServiceName::new("contoso").unwrap(),
            region: RegionName::new("westeurope").unwrap(),
            slot: incarnation.try_into().unwrap(),
        },
        incarnation: Incarnation(incarnation),
        port,
        configuration: Arc::new(configuration(9)),
    }
}

/// What a unit serves that has no API.
pub fn configuration(revision: u64) -> Configuration {
    Configuration { revision: Revision(revision), enabled: true, apis: vec![] }
}

/// Waits until the list of units fulfils `condition`, and returns it.
pub async fn until(
    driver: &Builtin,
    what: &str,
    condition: impl Fn(&[RunningUnit]) -> bool,
) -> Vec<RunningUnit> {
    let mut changes = driver.changes();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let units = driver.list().await.unwrap();
            if condition(&units) {
                return units;
            }
            changes.changed().await.unwrap();
        }
    });
    match waited.await {
        Ok(units) => units,
        Err(_) => panic!("not within {PATIENCE:?}: {what}; {:#?}", driver.list().await),
    }
}

pub async fn until_ready(driver: &Builtin, count: usize) -> Vec<RunningUnit> {
    let ready = |units: &[RunningUnit]| {
        units.len() == count && units.iter().all(|unit| unit.phase == Phase::Ready)
    };
    until(driver, &format!("{count} units are ready"), ready).await
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Calls the status path once, and returns the process id of the unit that answered.
pub fn call(address: SocketAddr) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(
        b"GET /status-0123456789abcdef HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let identity: serde_json::Value = serde_json::from_str(body)?;
    Ok(identity["pid"].as_u64().expect("a unit says its pid"))
}

fn arguments() -> Vec<String> {
    std::env::args().skip_while(|argument| argument != "--").skip(1).collect()
}

/// What this test program does when it was started as a unit.
pub fn become_unit() {
    if arguments().is_empty() {
        return;
    }
    let config = UnitConfig::from_arguments(arguments()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(meridian_gateway::run(config)).unwrap();
}

/// What this test program does when it was started as an agent.
pub fn become_agent() {
    let arguments = arguments();
    let [run, port, units, late @ ..] = &arguments[..] else { return };
    let mut config = config(Path::new(run), 1);
    if !late.is_empty() {
        let script = "until [ -e go ]; do sleep 0.01; done; exec \"$0\" \"$@\"";
        let shell = ["-c", script].map(OsString::from).into_iter();
        let unit = [config.program.path.clone().into_os_string()].into_iter();
        let arguments = shell.chain(unit).chain(config.program.arguments).collect();
        config.program = Program { path: "/bin/sh".into(), arguments };
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let driver = Builtin::open(config).await.unwrap();
        for incarnation in 1..=units.parse().unwrap() {
            driver.start(spec(incarnation, port.parse().unwrap())).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
}
