//! Runs the process under test, with or without the shim, and checks the resulting directories in
//! new processes.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::check::Verdict;
use crate::expected::Expected;
use crate::progress::Progress;
use crate::record::Record;
use crate::tree::Tree;

/// Exit code of a process that stopped because a store failed, as a node does.
pub const STOPPED: u8 = 3;

/// Timeout of a process.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Paths of the process under test and of the shim.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The `power` program.
    pub power: PathBuf,
    /// The shared object of the shim.
    pub shim: PathBuf,
}

impl Programs {
    /// Returns the programs built by Cargo for the current test; the shim is in the test's
    /// directory.
    ///
    /// # Panics
    /// If the shim is missing.
    #[must_use]
    pub fn next_to_test(power: &str) -> Self {
        let test = std::env::current_exe().expect("the path of the test program");
        let shim = test.with_file_name("libmeridian_power_shim.so");
        assert!(shim.exists(), "{} is missing", shim.display());
        Self { power: power.into(), shim }
    }

    /// Returns a command that runs the process under test.
    #[must_use]
    pub fn power(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.power);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Opens the directory `path` in a new process, and returns its verdict.
    ///
    /// # Panics
    /// If the process panics, hangs or is killed.
    #[must_use]
    pub fn check(&self, task: &str, path: &Path, expected: &Expected, options: &[&str]) -> Verdict {
        let expected = serde_json::to_string(expected).expect("the expectation is serializable");
        let mut command = self.power(&[task]);
        command.arg(path).arg(&expected).args(options).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program can be run");
        let mut line = String::new();
        let output = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut output = output.expect("stdout is piped");
            output.read_to_string(&mut line).map(|_| line)
        });
        let status = wait(&mut child, TIMEOUT);
        let line = reader.join().expect("reading does not panic").expect("the output is readable");
        let errors = child.stderr.take().and_then(|mut errors| {
            let mut text = String::new();
            errors.read_to_string(&mut text).ok().map(|_| text)
        });
        let success = status.is_some_and(|status| status.success());
        assert!(
            success,
            "{}: exit status {status:?}: {line} {}",
            path.display(),
            errors.unwrap_or_default()
        );
        serde_json::from_str(&line).expect("the output is a verdict")
    }
}

/// Waits for a child process. After the timeout it is killed, and `None` is returned.
///
/// # Panics
/// If the child cannot be waited for.
pub fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        if began.elapsed() > timeout {
            child.kill().expect("the child can be killed");
            child.wait().expect("the child can be waited for");
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process without the shim, with its output captured while it runs.
#[derive(Debug)]
pub struct ProcessRun {
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<io::Result<()>>,
}

impl ProcessRun {
    /// Starts a process on the data directory `path`.
    ///
    /// # Panics
    /// If the program is missing.
    #[must_use]
    pub fn start(programs: &Programs, task: &str, path: &Path, options: &[&str]) -> Self {
        let mut command = programs.power(&[task]);
        command.arg(path).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program can be run");
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut pipe, shared) = (child.stdout.take().expect("stdout is piped"), output.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match pipe.read(&mut bytes)? {
                    0 => return Ok(()),
                    count => lock(&shared).extend_from_slice(&bytes[..count]),
                }
            }
        });
        Self { child, output, reader }
    }

    /// Returns the progress reported so far.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        Progress::parse(&lock(&self.output))
    }

    /// Returns true if the process has exited.
    ///
    /// # Panics
    /// If the child cannot be waited for.
    pub fn has_exited(&mut self) -> bool {
        self.child.try_wait().expect("the child can be waited for").is_some()
    }

    /// Waits for the process to exit, and returns its status and the reported progress.
    ///
    /// # Panics
    /// If it does not exit in time.
    pub fn wait(mut self) -> (ExitStatus, Vec<Progress>) {
        let status = wait(&mut self.child, TIMEOUT).expect("the process exits in time");
        self.reader.join().expect("reading does not panic").expect("the output is readable");
        (status, Progress::parse(&lock(&self.output)))
    }
}

fn lock(output: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    output.lock().expect("no thread panics while holding the lock")
}

/// A directory in which processes run under the shim, one after another, with a common journal.
#[derive(Debug)]
pub struct Watched {
    programs: Programs,
    /// Parent of the watched directory and of the journal.
    home: PathBuf,
    base: Tree,
}

/// Faults of a process run under the shim.
#[derive(Debug, Clone, Default)]
pub struct RunFaults {
    /// Number of reported steps after which the process is ended as if killed.
    pub kill_after: Option<usize>,
    /// The injected fault, in the format of the shim.
    pub fault: Option<String>,
}

impl Watched {
    /// Creates a watched directory in `home`, with the contents of `base`.
    ///
    /// # Panics
    /// If it cannot be created.
    #[must_use]
    pub fn new(programs: &Programs, home: &Path, base: Tree) -> Self {
        let home = home.canonicalize().expect("the directory exists");
        let watched = Self { programs: programs.clone(), home, base };
        std::fs::create_dir(watched.directory()).expect("the directory is created");
        watched.base.write(&watched.directory()).expect("the directory is written");
        watched
    }

    /// Returns the watched directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.join("watched")
    }

    /// Returns the data directory in it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Returns the initial contents.
    #[must_use]
    pub fn base(&self) -> &Tree {
        &self.base
    }

    /// Runs a process, and returns its exit status.
    ///
    /// # Panics
    /// If it does not exit in time.
    pub fn run(&self, task: &str, options: &[&str], faults: &RunFaults) -> ExitStatus {
        let mut command = self.programs.power(&[task]);
        command.arg(self.data()).args(options).stdout(Stdio::null());
        command.env("LD_PRELOAD", &self.programs.shim);
        command.env("MERIDIAN_POWER_DIRECTORY", self.directory());
        command.env("MERIDIAN_POWER_JOURNAL", self.journal());
        if let Some(after) = faults.kill_after {
            command.env("MERIDIAN_POWER_END_AFTER", after.to_string());
        }
        if let Some(fault) = &faults.fault {
            command.env("MERIDIAN_POWER_FAULT", fault);
        }
        let mut child = command.spawn().expect("the program can be run");
        wait(&mut child, TIMEOUT).expect("the process exits in time")
    }

    /// Returns all records so far.
    ///
    /// # Panics
    /// If the journal is missing or damaged.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let bytes = std::fs::read(self.journal()).expect("the journal exists");
        let mut records = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((record, remaining)) = Record::decode(rest) {
            records.push(record);
            rest = remaining;
        }
        assert!(rest.is_empty(), "the journal is damaged");
        records
    }

    fn journal(&self) -> PathBuf {
        self.home.join("journal")
    }
}

/// Returns the progress reported in these records.
#[must_use]
pub fn progress(records: &[Record]) -> Vec<Progress> {
    let steps = |record: &Record| match record {
        Record::Output { data } => Progress::parse(data),
        _ => Vec::new(),
    };
    records.iter().flat_map(steps).collect()
}
