//! Fault injection for the disk, the clock and the names of an agent: slow or failing syncs, a wrong
//! wall clock, and slow lookups. The library `tests/machine` is preloaded under the agent; its module
//! `page` documents the shared page.

use std::ffi::OsString;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::binary::library;

const SHIFT_MS: u64 = 0;
const SYNC_DELAY_MS: u64 = 1;
const FAIL_NEXT: u64 = 2;
const LOOKUP_DELAY_MS: u64 = 3;
const SHIFTED_READS: u64 = 4;
const DELAYED_SYNCS: u64 = 5;
const FAILED_SYNCS: u64 = 6;
const DELAYED_LOOKUPS: u64 = 7;
/// Size of a number in the page.
const BYTES: u64 = 8;
/// Size of the page; larger than needed.
const PAGE_BYTES: u64 = 4_096;

/// Returns a name that has this address on a machine, without a name server.
pub fn name_of(address: Ipv4Addr) -> String {
    format!("{}.machine.test", address.to_string().replace('.', "-"))
}

/// The machine of an agent, controlled through a shared page.
#[derive(Debug)]
pub struct Machine {
    path: PathBuf,
    page: File,
}

impl Machine {
    /// Creates the page in a new file, without any fault.
    ///
    /// # Errors
    /// If the file cannot be created or the library cannot be built.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        library()?;
        let mut options = File::options();
        let page = options.create(true).truncate(true).read(true).write(true).open(path)?;
        page.set_len(PAGE_BYTES)?;
        Ok(Self { path: path.to_owned(), page })
    }

    /// Returns the environment variables of a process on this machine.
    ///
    /// # Errors
    /// If the library cannot be built.
    pub fn environment(&self) -> anyhow::Result<[(&'static str, OsString); 2]> {
        let page = self.path.as_os_str().to_owned();
        Ok([("LD_PRELOAD", library()?.into()), ("MERIDIAN_MACHINE_PAGE", page)])
    }

    /// Delays every sync from now on.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn delay_syncs(&self, delay: Duration) -> anyhow::Result<()> {
        self.set(SYNC_DELAY_MS, i64::try_from(delay.as_millis())?)
    }

    /// Delays every lookup of a name from now on.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn delay_lookups(&self, delay: Duration) -> anyhow::Result<()> {
        self.set(LOOKUP_DELAY_MS, i64::try_from(delay.as_millis())?)
    }

    /// Fails the next sync of the Raft log or the database with EIO.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn fail_next_sync(&self) -> anyhow::Result<()> {
        self.set(FAIL_NEXT, 1)
    }

    /// Shifts the wall clock from now on; the offset may be negative.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn shift_clock(&self, ms: i64) -> anyhow::Result<()> {
        self.set(SHIFT_MS, ms)
    }

    /// Removes all faults.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn reset(&self) -> anyhow::Result<()> {
        let faults = [SHIFT_MS, SYNC_DELAY_MS, FAIL_NEXT, LOOKUP_DELAY_MS];
        faults.into_iter().try_for_each(|number| self.set(number, 0))
    }

    /// Returns the number of delayed syncs so far.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn delayed_syncs(&self) -> anyhow::Result<i64> {
        self.get(DELAYED_SYNCS)
    }

    /// Returns the number of delayed lookups so far.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn delayed_lookups(&self) -> anyhow::Result<i64> {
        self.get(DELAYED_LOOKUPS)
    }

    /// Returns how often the wall clock was read while shifted, so far.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn shifted_reads(&self) -> anyhow::Result<i64> {
        self.get(SHIFTED_READS)
    }

    /// Returns the number of failed syncs so far.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn failed_syncs(&self) -> anyhow::Result<i64> {
        self.get(FAILED_SYNCS)
    }

    fn set(&self, number: u64, value: i64) -> anyhow::Result<()> {
        let written = self.page.write_all_at(&value.to_ne_bytes(), number * BYTES);
        written.context("cannot write the machine page")
    }

    fn get(&self, number: u64) -> anyhow::Result<i64> {
        let mut bytes = [0; BYTES as usize];
        self.page
            .read_exact_at(&mut bytes, number * BYTES)
            .context("cannot read the machine page")?;
        Ok(i64::from_ne_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Output};
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn run(machine: &Machine, program: &str, argument: &str) -> Output {
        let mut command = Command::new(program);
        command.arg(argument).envs(machine.environment().expect("the library is built"));
        command.output().expect("the program can be run")
    }

    fn seconds(machine: &Machine) -> i64 {
        let output = run(machine, "date", "+%s").stdout;
        String::from_utf8_lossy(&output).trim().parse().expect("date prints a number")
    }

    #[test]
    fn the_clock_is_shifted_and_restored() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machine =
            Machine::create(&directory.path().join("machine")).expect("the page is created");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970 ").as_secs();
        let offset = |machine| (seconds(machine) - i64::try_from(now).expect("fits")) / 600;
        assert_eq!(offset(&machine), 0);
        assert_eq!(machine.shifted_reads().expect("the page is readable"), 0);
        machine.shift_clock(-HOUR_MS - 500).expect("the page is writable");
        assert_eq!(offset(&machine), -6);
        machine.shift_clock(HOUR_MS).expect("the page is writable");
        assert_eq!(offset(&machine), 6);
        assert!(machine.shifted_reads().expect("the page is readable") >= 2);
        machine.reset().expect("the page is writable");
        assert_eq!(offset(&machine), 0);
    }

    #[test]
    fn one_store_sync_fails_and_later_syncs_are_delayed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machine =
            Machine::create(&directory.path().join("machine")).expect("the page is created");
        let store = directory.path().join("raft-log");
        fs::create_dir(&store).expect("the directory is created");
        let file = |name: &str| {
            let path = store.join(name);
            fs::write(&path, "data").expect("the file is written");
            path.to_string_lossy().into_owned()
        };
        let (one, other) = (file("one"), directory.path().join("machine"));
        machine.fail_next_sync().expect("the page is writable");
        assert!(
            run(&machine, "sync", &other.to_string_lossy()).status.success(),
            "not a store file"
        );
        let output = run(&machine, "sync", &one);
        assert!(!output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("Input/output error"), "{stderr}");
        assert_eq!(machine.failed_syncs().expect("the page is readable"), 1);
        assert!(run(&machine, "sync", &one).status.success(), "only one sync fails");

        let delay = Duration::from_millis(300);
        machine.delay_syncs(delay).expect("the page is writable");
        let began = Instant::now();
        assert!(run(&machine, "sync", &one).status.success());
        assert!(began.elapsed() >= delay);
        assert_eq!(machine.delayed_syncs().expect("the page is readable"), 1);
    }

    #[test]
    fn names_contain_their_address_and_lookups_are_delayed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machine =
            Machine::create(&directory.path().join("machine")).expect("the page is created");
        let found = || {
            let mut command = Command::new("getent");
            command.args(["ahostsv4", &name_of(Ipv4Addr::new(198, 18, 0, 1))]);
            command.envs(machine.environment().expect("the library is built"));
            let output = command.output().expect("getent can be run");
            String::from_utf8_lossy(&output.stdout).starts_with("198.18.0.1 ")
        };
        assert!(found());
        assert_eq!(machine.delayed_lookups().expect("the page is readable"), 0);
        let delay = Duration::from_millis(300);
        machine.delay_lookups(delay).expect("the page is writable");
        let began = Instant::now();
        assert!(found() && began.elapsed() >= delay);
        assert_eq!(machine.delayed_lookups().expect("the page is readable"), 1);
    }
}
