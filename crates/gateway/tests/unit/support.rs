//! Units under test, in the test process or in their own, and clients of them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use meridian_gateway::{DrainTimeouts, Unit, UnitConfig};
use meridian_proto::v1::unit_response::Response as ControlResponse;
use meridian_proto::v1::{GatewayApi, GatewayConfiguration, GatewayLimits};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control;

pub const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
     --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";

/// Time within which expected conditions must hold.
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn config(directory: &Path) -> UnitConfig {
    let mut config = UnitConfig::from_arguments(ARGUMENTS.split(' ').map(str::to_owned)).unwrap();
    config.directory = directory.to_owned();
    config.drain_timeouts =
        DrainTimeouts { graceful: Duration::from_millis(300), finish: Duration::from_millis(300) };
    config
}

pub fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Creates a run directory in which agent generation 3 wants incarnation 7.
pub fn run_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("u7.json"), "00000000 {\"generation\":3}\n").unwrap();
    directory
}

/// Returns a configuration of an enabled region with a header timeout of 300 ms.
pub fn configuration(revision: u64, apis: Vec<GatewayApi>) -> GatewayConfiguration {
    let limits = GatewayLimits { header_timeout_ms: 300, ..Default::default() };
    let limits = Some(limits);
    GatewayConfiguration { revision, enabled: true, apis, limits, ..Default::default() }
}

/// Returns an API with short timeouts, named after its path.
pub fn api(path: &str, backend: String) -> GatewayApi {
    GatewayApi {
        name: path.to_owned(),
        path: path.to_owned(),
        backend,
        connect_timeout_ms: 400,
        response_timeout_ms: 400,
        idle_timeout_ms: 400,
    }
}

/// A unit that runs in the test process.
pub struct Running {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    pub ended: JoinHandle<()>,
}

impl Running {
    /// Starts a unit that serves no API.
    pub fn start() -> Self {
        Self::serving(configuration(9, Vec::new()))
    }

    /// Starts a unit that serves `configuration`.
    pub fn serving(configuration: GatewayConfiguration) -> Self {
        let unit = Self::waiting();
        unit.configure(configuration);
        unit
    }

    /// Replaces the unit's configuration.
    pub fn configure(&self, configuration: GatewayConfiguration) {
        let response = control::configure(self.directory.path(), configuration);
        assert!(matches!(response, ControlResponse::Configured(_)), "{response:?}");
    }

    /// Starts a unit without a configuration.
    pub fn waiting() -> Self {
        let directory = run_directory();
        Self::with_config(config(directory.path()), directory)
    }

    /// Starts a unit as `config` describes, in its run directory and without a configuration. It
    /// runs on a thread of its own, as a worker always does: its pool of connections relies on that.
    pub fn with_config(config: UnitConfig, directory: tempfile::TempDir) -> Self {
        Self::listening(config, directory, listener())
    }

    /// Like [`with_config`](Self::with_config), on `listener`.
    pub fn listening(
        config: UnitConfig,
        directory: tempfile::TempDir,
        listener: TcpListener,
    ) -> Self {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let unit = {
            let _entered = runtime.enter();
            Unit::build(config, listener).unwrap()
        };
        let (shutdown, shutdown_requested) = oneshot::channel();
        let (exited, exit) = oneshot::channel();
        thread::spawn(move || {
            runtime.block_on(unit.run(async {
                shutdown_requested.await.ok();
            }));
            // The receiver is gone at the end of the test.
            exited.send(()).ok();
        });
        let ended = tokio::spawn(async { exit.await.expect("the unit does not panic") });
        Self { directory, address, shutdown, ended }
    }

    pub fn shut_down(self) -> JoinHandle<()> {
        self.shutdown.send(()).unwrap();
        self.ended
    }
}

/// An HTTP/1 response that a client received.
#[derive(Debug)]
pub struct ClientResponse {
    pub head: String,
    pub body: String,
}

impl ClientResponse {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Returns the status and the detail of a problem document.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers("content-type"), ["application/problem+json"], "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status());
        (self.status(), problem["detail"].as_str().unwrap().to_owned())
    }

    /// Returns the values of the header `name`, in lower case.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|header| header.0 == name).map(|header| header.1).collect()
    }
}

/// An HTTP/1 connection of a client.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_bytes())
    }

    /// Receives the head of the next response, in lower case.
    pub fn receive_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head.to_ascii_lowercase())
    }

    /// Receives the next `length` bytes.
    pub fn receive_bytes(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    pub fn receive(&mut self) -> io::Result<ClientResponse> {
        let head = self.receive_head()?;
        if head.contains("transfer-encoding: chunked\r\n") {
            let body = self.receive_chunks()?;
            return Ok(ClientResponse { head, body });
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        Ok(ClientResponse { head, body: String::from_utf8(body).unwrap() })
    }

    fn receive_chunks(&mut self) -> io::Result<String> {
        let mut body = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk)?;
            if length == 0 {
                return Ok(body);
            }
            body.push_str(str::from_utf8(&chunk[..length]).unwrap());
        }
    }

    pub fn request(&mut self, method: &str, path: &str) -> io::Result<ClientResponse> {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        self.receive()
    }

    /// Returns a duplicate of the connection, to write to it from another thread.
    pub fn duplicate(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Returns true if nothing arrives for `time`.
    pub fn stays_silent(&mut self, time: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
        let silent = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(TIMEOUT)).unwrap();
        silent
    }

    /// Returns true if the unit closes the connection within the timeout without sending anything
    /// else.
    pub fn is_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

/// Runs this process as a unit if it was started as one.
pub fn become_unit() {
    let arguments: Vec<String> = std::env::args().skip_while(|a| a != "--").skip(1).collect();
    if arguments.is_empty() {
        return;
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let config = UnitConfig::from_arguments(arguments).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(meridian_gateway::run(config)).unwrap();
}

/// Starts a unit as a process: this test program, running only the test that becomes a unit.
pub fn spawn(directory: &Path, listener: &TcpListener) -> Child {
    spawn_with(directory, listener, Stdio::null())
}

/// Starts a unit as a process, with this standard output.
pub fn spawn_with(directory: &Path, listener: &TcpListener, output: Stdio) -> Child {
    inheriting(directory, listener).stdout(output).spawn().unwrap()
}

/// Starts a unit as a process that trusts the authorities in the file `trusted` and writes its log
/// to `log`.
pub fn spawn_trusting(
    directory: &Path,
    listener: &TcpListener,
    trusted: &Path,
    log: Stdio,
) -> Child {
    let mut command = inheriting(directory, listener);
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR").stderr(log).spawn().unwrap()
}

/// Starts a unit as a process that inherits no listening socket and waits for one at `path`.
pub fn spawn_waiting(directory: &Path, path: &str) -> Child {
    unit_command(directory).args(["--receive-listener", path]).spawn().unwrap()
}

fn inheriting(directory: &Path, listener: &TcpListener) -> Command {
    let listener = OwnedFd::from(listener.try_clone().unwrap());
    let mut command = unit_command(directory);
    command.stdin(Stdio::from(listener));
    command
}

fn unit_command(directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "unit_process", "--nocapture", "--"])
        .args(ARGUMENTS.split(' ').filter(|argument| !argument.is_empty()))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < limit, "timed out after {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
