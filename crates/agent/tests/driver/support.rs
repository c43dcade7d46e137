//! Test machines with drivers, and waits for the states of their units.

use std::io::{Read as _, Write as _};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian_agent::driver::{
    Driver, Exit, ExitStatus, Phase, RunningUnit, UnitSpec, UnitUser, stop_all,
};
use meridian_domain::api::{STATUS_PATH, Timeouts};
use meridian_domain::configuration::ConfiguredApi;
use meridian_domain::{
    AgentName, ApiName, ApiPath, BackendUrl, ClusterId, Configuration, Incarnation, RegionName,
    Revision, ServiceName, UnitId,
};
use rustix::process::{Pid, Signal, kill_process};

/// Timeout of every wait.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Address that the gateways of a machine listen on.
pub const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Drain timeout of [`Variant::Impatient`].
pub const SHORT_DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// A kind of driver.
pub trait Kind {
    /// Name of the driver in the arguments of the agent process.
    const NAME: &'static str;
    /// Exit status of a spawned unit that was killed by SIGKILL.
    const KILLED: ExitStatus = ExitStatus::Signal(9);

    type Driver: Driver;

    /// Returns the prerequisite that this machine lacks, if any.
    fn missing_prerequisite() -> Option<String> {
        None
    }

    /// True if a process, given by its directory in /proc, belongs to a unit with the run directory
    /// `run`. Does not rely on what the driver or the unit reports.
    fn is_of(process: &Path, run: &Path) -> bool {
        std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(run))
    }

    /// Opens the driver in a run directory, for a process run of the agent with that generation.
    async fn open(run: &Path, generation: u64, variant: Variant) -> Self::Driver;

    /// Error message of a start with [`Variant::Missing`].
    fn missing() -> String;
}

/// Variant of a driver under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    Usual,
    /// Its units print `no luck today` and exit with code 3.
    Failing,
    /// The program or image of its units does not exist.
    Missing,
    /// Its drain timeout is [`SHORT_DRAIN_TIMEOUT`].
    Impatient,
    /// It belongs to another cluster.
    Foreign,
}

impl Variant {
    pub fn cluster(self) -> ClusterId {
        let id = match self {
            Self::Foreign => "01932f5e-8b1a-7c3d-9e4f-ffffffffffff",
            Self::Usual | Self::Failing | Self::Missing | Self::Impatient => {
                "01932f5e-8b1a-7c3d-9e4f-0123456789ab"
            }
        };
        ClusterId(id.parse().unwrap())
    }

    pub fn agent() -> AgentName {
        AgentName::new("we-1").unwrap()
    }
}

/// A machine with its own data directory and port.
pub struct Machine<K> {
    directory: tempfile::TempDir,
    below: PathBuf,
    pub port: u16,
    kind: PhantomData<K>,
}

impl<K: Kind> Machine<K> {
    pub fn new() -> Self {
        Self::with_data_in(Path::new(""))
    }

    /// A machine whose data directory is at this relative path.
    pub fn with_data_in(below: &Path) -> Self {
        let free = TcpListener::bind(SocketAddr::new(GATEWAY, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join(below)).unwrap();
        Self { directory, below: below.to_owned(), port, kind: PhantomData }
    }

    pub fn run(&self) -> PathBuf {
        self.directory.path().join(&self.below).join("run")
    }

    /// Number of files in the run directory.
    pub fn files(&self) -> usize {
        std::fs::read_dir(self.run()).map_or(0, Iterator::count)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(GATEWAY, self.port)
    }

    /// Removes the control sockets of all units.
    pub fn remove_sockets(&self) {
        let is_socket = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "sock");
        let within = |directory: PathBuf| std::fs::read_dir(directory).into_iter().flatten();
        let paths = within(self.run()).flatten().map(|entry| entry.path());
        let paths =
            paths.flat_map(|path| within(path.clone()).flatten().map(|it| it.path()).chain([path]));
        let sockets: Vec<PathBuf> = paths.filter(is_socket).collect();
        sockets.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }

    pub async fn driver(&self, generation: u64) -> K::Driver {
        self.driver_variant(generation, Variant::Usual).await
    }

    pub async fn driver_variant(&self, generation: u64, variant: Variant) -> K::Driver {
        K::open(&self.run(), generation, variant).await
    }

    pub fn spec(&self, incarnation: u64) -> UnitSpec {
        spec(incarnation, self.port)
    }

    /// Spawns an agent process that starts the incarnations 1 to `units` and keeps running.
    pub fn agent(&self, units: u64) -> Child {
        self.agent_command(units).spawn().unwrap()
    }

    /// Command of [`agent`](Self::agent).
    pub fn agent_command(&self, units: u64) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "agent_process", "--nocapture", "--", K::NAME])
            .arg(self.run())
            .args([self.port.to_string(), units.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Returns every process of this machine's units.
    fn all_processes(&self) -> Vec<u32> {
        let run = self.run();
        let inside = |process: &Path| {
            let alive = std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty());
            alive && K::is_of(process, &run)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| inside(&process.path()))
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Returns the main processes of the units, sorted: without processes that a unit has spawned.
    pub fn processes(&self) -> Vec<u32> {
        let all = self.all_processes();
        let own = |pid: &u32| parent(*pid).is_none_or(|parent| !all.contains(&parent));
        let mut units: Vec<u32> = all.iter().copied().filter(own).collect();
        units.sort_unstable();
        units
    }

    /// Returns the user ids of all processes of the units, except for the main ones.
    pub fn users_of_children(&self) -> Vec<u32> {
        let main = self.processes();
        let children = self.all_processes().into_iter().filter(|pid| !main.contains(pid));
        children.filter_map(user).collect()
    }

    /// Stops every process of every unit with SIGSTOP, and waits until all are stopped: a process
    /// runs until its first thread handles the signal.
    pub fn freeze_all(&self) {
        let all = self.all_processes();
        all.iter().for_each(|pid| send(*pid, Signal::STOP));
        let is_stopped =
            |pid| status(pid, "State:").is_none_or(|state| state.starts_with(['T', 'Z']));
        while !all.iter().copied().all(is_stopped) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Continues the stopped processes.
    pub fn thaw_all(&self) {
        self.all_processes().into_iter().for_each(|pid| send(pid, Signal::CONT));
    }

    /// Stops all units.
    pub async fn tidy(&self, driver: &K::Driver) {
        stop_all(driver).await.unwrap();
        assert_eq!(self.all_processes(), [0; 0]);
    }
}

fn parent(pid: u32) -> Option<u32> {
    status(pid, "PPid:")?.parse().ok()
}

/// User that has no files.
pub const NOBODY: UnitUser = UnitUser { uid: 65_534, gid: 65_534 };

/// Returns true, and prints the reason, if this process cannot run itself as [`NOBODY`].
pub fn is_skipped_as_other_user() -> bool {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--help").stdout(Stdio::null()).uid(NOBODY.uid).gid(NOBODY.gid);
    let started = command.status();
    if let Err(error) = &started {
        println!("skipped: cannot run this program as another user: {error}");
    }
    started.is_err()
}

/// Returns the effective user id of a process.
pub fn user(pid: u32) -> Option<u32> {
    status(pid, "Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

/// Returns a field of `/proc/PID/status` (proc(5)), or `None` if the process has exited.
fn status(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

pub fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
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
        configuration: Arc::new(configuration(9, &[])),
    }
}

/// Configuration with these APIs, each a path and the address of its backend.
pub fn configuration(revision: u64, apis: &[(&str, SocketAddr)]) -> Configuration {
    let api = |(path, backend): &(&str, SocketAddr)| ConfiguredApi {
        name: ApiName::new(path.trim_start_matches('/')).unwrap(),
        path: ApiPath::new(path).unwrap(),
        backend: BackendUrl::new(&format!("http://{backend}/backend")).unwrap(),
        timeouts: Timeouts::default(),
    };
    let apis = apis.iter().map(api).collect();
    Configuration { revision: Revision(revision), enabled: true, redirect: None, apis }
}

/// Waits until the list of units satisfies `condition`, and returns the list.
pub async fn until(
    driver: &impl Driver,
    what: &str,
    condition: impl Fn(&[RunningUnit]) -> bool,
) -> Vec<RunningUnit> {
    let mut changes = driver.changes();
    let waited = tokio::time::timeout(TIMEOUT, async {
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
        Err(_) => panic!("timed out after {TIMEOUT:?}: {what}; {:#?}", driver.list().await),
    }
}

pub async fn until_ready(driver: &impl Driver, count: usize) -> Vec<RunningUnit> {
    let ready = |units: &[RunningUnit]| {
        units.len() == count && units.iter().all(|unit| unit.phase == Phase::Ready)
    };
    until(driver, &format!("{count} units are ready"), ready).await
}

/// Waits until the first unit has exited, and returns its exit.
pub async fn until_exited(driver: &impl Driver) -> Exit {
    let exited = |units: &[RunningUnit]| {
        units.first().is_some_and(|unit| matches!(unit.phase, Phase::Exited(_)))
    };
    let units = until(driver, "the first unit has exited", exited).await;
    let Phase::Exited(exit) = &units[0].phase else { unreachable!() };
    exit.clone()
}

/// Waits until `condition` is true.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < limit, "timed out after {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends one request, and returns the status and the body of the response.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((status, body.to_owned()))
}

/// Requests the status path, and returns the incarnation and the pid of the unit that responded.
pub fn get_status(address: SocketAddr) -> std::io::Result<(u64, u64)> {
    let (_, body) = get(address, STATUS_PATH)?;
    let identity: serde_json::Value = serde_json::from_str(&body)?;
    let number = |field: &str| identity[field].as_u64().expect("the unit reports its identity");
    Ok((number("incarnation"), number("pid")))
}

/// Arguments of this process after `--`.
pub fn arguments() -> Vec<String> {
    std::env::args().skip_while(|argument| argument != "--").skip(1).collect()
}

/// Runs the agent if this test program was started as one.
pub fn become_agent<K: Kind>(arguments: &[String]) {
    let [run, port, units] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let driver = K::open(Path::new(run), 1, Variant::Usual).await;
        for incarnation in 1..=units.parse().unwrap() {
            driver.start(spec(incarnation, port.parse().unwrap())).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
}
