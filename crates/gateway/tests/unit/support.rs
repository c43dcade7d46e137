//! A unit within the test, one as a process of its own, and what talks to them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meridian_gateway::{Patience, Unit, UnitConfig};
use meridian_proto::v1::unit_response::Answer as ControlAnswer;
use meridian_proto::v1::{GatewayApi, GatewayConfiguration, GatewayLimits};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control;

pub const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
     --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";

/// For whatever must happen some time.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn config(directory: &Path) -> UnitConfig {
    let mut config = UnitConfig::from_arguments(ARGUMENTS.split(' ').map(str::to_owned)).unwrap();
    config.directory = directory.to_owned();
    config.patience =
        Patience { polite: Duration::from_millis(300), finish: Duration::from_millis(300) };
    config
}

pub fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// A run directory in which generation 3 of the agent wants incarnation 7.
pub fn run_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("u7.json"), "00000000 {\"generation\":3}\n").unwrap();
    directory
}

/// A configuration of an enabled region, in which a call's head has 300 ms to arrive.
pub fn configuration(revision: u64, apis: Vec<GatewayApi>) -> GatewayConfiguration {
    let limits = GatewayLimits { header_timeout_ms: 300, ..Default::default() };
    GatewayConfiguration { revision, enabled: true, apis, limits: Some(limits), access_log: 0 }
}

/// An API with short time-outs, and with its path as its name.
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

/// A unit that runs within the test.
pub struct Running {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    pub ended: JoinHandle<()>,
}

impl Running {
    /// A unit that serves no API.
    pub fn start() -> Self {
        Self::serving(configuration(9, Vec::new()))
    }

    /// A unit that serves `configuration`.
    pub fn serving(configuration: GatewayConfiguration) -> Self {
        let unit = Self::waiting();
        unit.configure(configuration);
        unit
    }

    /// Has the unit serve `configuration` from now on.
    pub fn configure(&self, configuration: GatewayConfiguration) {
        let answer = control::configure(self.directory.path(), configuration);
        assert!(matches!(answer, ControlAnswer::Configured(_)), "{answer:?}");
    }

    /// A unit that was not told yet what to serve.
    pub fn waiting() -> Self {
        let directory = run_directory();
        Self::as_of(config(directory.path()), directory)
    }

    /// A unit as of `config`, in its run directory, that was not told yet what to serve.
    pub fn as_of(config: UnitConfig, directory: tempfile::TempDir) -> Self {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let unit = Unit::build(config, listener).unwrap();
        let (shutdown, stopped) = oneshot::channel();
        let ended = tokio::spawn(unit.run(async {
            stopped.await.ok();
        }));
        Self { directory, address, shutdown, ended }
    }

    pub fn shut_down(self) -> JoinHandle<()> {
        self.shutdown.send(()).unwrap();
        self.ended
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The status and the detail of what has to be a problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.fields("content-type"), ["application/problem+json"], "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status());
        (self.status(), problem["detail"].as_str().unwrap().to_owned())
    }

    /// The values of the fields `name`, in lower case.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|field| field.0 == name).map(|field| field.1).collect()
    }
}

/// A connection over HTTP.
pub struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_bytes())
    }

    /// The head of the next answer, in lower case.
    pub fn receive_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head.to_ascii_lowercase())
    }

    /// What comes next, of this length.
    pub fn receive_bytes(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    pub fn receive(&mut self) -> io::Result<Answer> {
        let head = self.receive_head()?;
        if head.contains("transfer-encoding: chunked\r\n") {
            let body = self.receive_chunks()?;
            return Ok(Answer { head, body });
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { head, body: String::from_utf8(body).unwrap() })
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

    pub fn call(&mut self, method: &str, path: &str) -> io::Result<Answer> {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        self.receive()
    }

    /// The same connection, to write on it beside.
    pub fn duplicate(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Whether nothing comes for `time`.
    pub fn stays_silent(&mut self, time: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
        let silent = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    /// Whether the unit ends this connection in time, without another word.
    pub fn is_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

/// What this test program does when it was started as a unit.
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

/// Starts a unit as a process: this test program again, as the one test that becomes a unit.
pub fn spawn(directory: &Path, listener: &TcpListener) -> Child {
    spawn_with(directory, listener, Stdio::null())
}

/// The same, with this standard output.
pub fn spawn_with(directory: &Path, listener: &TcpListener, output: Stdio) -> Child {
    inheriting(directory, listener).stdout(output).spawn().unwrap()
}

/// The same, which trusts the authorities in the file `trusted`, and whose log goes to `log`.
pub fn spawn_trusting(
    directory: &Path,
    listener: &TcpListener,
    trusted: &Path,
    log: Stdio,
) -> Child {
    let mut command = inheriting(directory, listener);
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR").stderr(log).spawn().unwrap()
}

/// Starts a unit as a process that inherits no listening socket, and waits for one at `path`.
pub fn spawn_waiting(directory: &Path, path: &str) -> Child {
    unit_command(directory).args(["--handed-listener", path]).spawn().unwrap()
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
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
