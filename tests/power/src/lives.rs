//! Runs lives of the process under test, with the shim under it or without, and checks what is left
//! in fresh processes.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::check::Verdict;
use crate::expected::Expected;
use crate::record::Record;
use crate::said::Said;
use crate::tree::Tree;

/// The code of a process that stopped because a store failed, as a node does.
pub const STOPPED: u8 = 3;

/// What opens a directory must have done so, or refused to, within this.
const MOST_TIME: Duration = Duration::from_secs(60);

/// The programs: the process under test, and the shim.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `power`.
    pub power: PathBuf,
    /// The shim's shared object.
    pub shim: PathBuf,
}

impl Programs {
    /// Those that Cargo built for the test that runs: the shim is beside it.
    ///
    /// # Panics
    /// If there is no shim.
    #[must_use]
    pub fn beside_this_test(power: &str) -> Self {
        let test = std::env::current_exe().expect("a test has a path");
        let shim = test.with_file_name("libmeridian_power_shim.so");
        assert!(shim.exists(), "{} is missing", shim.display());
        Self { power: power.into(), shim }
    }

    /// The command of a process under test.
    #[must_use]
    pub fn power(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.power);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Opens the directory `path` in a fresh process, and says what came of it.
    ///
    /// # Panics
    /// If that process panics, hangs, or is killed.
    #[must_use]
    pub fn check(&self, what: &str, path: &Path, expected: &Expected, options: &[&str]) -> Verdict {
        let expected = serde_json::to_string(expected).expect("is plain data");
        let mut command = self.power(&[what]);
        command.arg(path).arg(&expected).args(options).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it is there");
        let mut line = String::new();
        let output = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut output = output.expect("it is a pipe");
            output.read_to_string(&mut line).map(|_| line)
        });
        let status = wait(&mut child, MOST_TIME);
        let line = reader.join().expect("reading does not panic").expect("it can be read");
        let errors = child.stderr.take().and_then(|mut errors| {
            let mut text = String::new();
            errors.read_to_string(&mut text).ok().map(|_| text)
        });
        let ended = status.is_some_and(|status| status.success());
        assert!(
            ended,
            "{} ended with {status:?}: {line} {}",
            path.display(),
            errors.unwrap_or_default()
        );
        serde_json::from_str(&line).expect("it says what came of it")
    }
}

/// Waits for a child, and kills it where it takes longer; none is returned then.
///
/// # Panics
/// If the system does not let it.
pub fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            return Some(status);
        }
        if began.elapsed() > most {
            child.kill().expect("it is a child");
            child.wait().expect("it is a child");
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A life without the shim, whose words are heard as they are said.
#[derive(Debug)]
pub struct Overheard {
    child: Child,
    heard: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<io::Result<()>>,
}

impl Overheard {
    /// Begins a life on the data directory `path`.
    ///
    /// # Panics
    /// If there is no such program.
    #[must_use]
    pub fn begin(programs: &Programs, what: &str, path: &Path, options: &[&str]) -> Self {
        let mut command = programs.power(&[what]);
        command.arg(path).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is there");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mut output, all) = (child.stdout.take().expect("it is a pipe"), heard.clone());
        let listening = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match output.read(&mut bytes)? {
                    0 => return Ok(()),
                    count => lock(&all).extend_from_slice(&bytes[..count]),
                }
            }
        });
        Self { child, heard, listening }
    }

    /// What was said so far.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        Said::parse(&lock(&self.heard))
    }

    /// Whether the life is over.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }

    /// Waits for the end of the life: how it ended, and all that was said.
    ///
    /// # Panics
    /// If it does not end.
    pub fn end(mut self) -> (ExitStatus, Vec<Said>) {
        let status = wait(&mut self.child, MOST_TIME).expect("a life ends");
        self.listening.join().expect("reading does not panic").expect("it can be read");
        (status, Said::parse(&lock(&self.heard)))
    }
}

fn lock(heard: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    heard.lock().expect("nothing panics while it holds this")
}

/// A directory that processes work in under the shim, one after another, with one journal.
#[derive(Debug)]
pub struct Watched {
    programs: Programs,
    /// Where all of it is.
    home: PathBuf,
    base: Tree,
}

/// How a life under the shim is to go.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// The number of steps said after which it ends as if killed.
    pub after: Option<usize>,
    /// The fault, in the shim's words.
    pub fault: Option<String>,
}

impl Watched {
    /// A watched directory in `home`, which has `base`.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(programs: &Programs, home: &Path, base: Tree) -> Self {
        let home = home.canonicalize().expect("it is there");
        let watched = Self { programs: programs.clone(), home, base };
        std::fs::create_dir(watched.directory()).expect("it can be created");
        watched.base.write(&watched.directory()).expect("it can be written");
        watched
    }

    /// The watched directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.join("watched")
    }

    /// The data directory in it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// What was in it before.
    #[must_use]
    pub fn base(&self) -> &Tree {
        &self.base
    }

    /// Runs one life, and returns how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn live(&self, what: &str, options: &[&str], ending: &Ending) -> ExitStatus {
        let mut command = self.programs.power(&[what]);
        command.arg(self.data()).args(options).stdout(Stdio::null());
        command.env("LD_PRELOAD", &self.programs.shim);
        command.env("MERIDIAN_POWER_DIRECTORY", self.directory());
        command.env("MERIDIAN_POWER_JOURNAL", self.journal());
        if let Some(after) = ending.after {
            command.env("MERIDIAN_POWER_END_AFTER", after.to_string());
        }
        if let Some(fault) = &ending.fault {
            command.env("MERIDIAN_POWER_FAULT", fault);
        }
        let mut child = command.spawn().expect("it is there");
        wait(&mut child, MOST_TIME).expect("a life ends")
    }

    /// All that was done so far.
    ///
    /// # Panics
    /// If the journal cannot be read.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let bytes = std::fs::read(self.journal()).expect("it is there");
        let mut records = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((record, behind)) = Record::decode(rest) {
            records.push(record);
            rest = behind;
        }
        assert!(rest.is_empty(), "the journal is whole");
        records
    }

    fn journal(&self) -> PathBuf {
        self.home.join("journal")
    }
}

/// What was said in these records.
#[must_use]
pub fn said(records: &[Record]) -> Vec<Said> {
    let said = |record: &Record| match record {
        Record::Said { data } => Said::parse(data),
        _ => Vec::new(),
    };
    records.iter().flat_map(said).collect()
}
