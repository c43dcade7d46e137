//! A machine that can be meddled with while an agent runs on it: a disk whose syncs take longer or
//! fail, a wall clock that is wrong. What does that is `tests/machine`, preloaded under the agent; its
//! module `page` says what the numbers are.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::binary::library;

const SHIFT_MS: u64 = 0;
const DELAY_MS: u64 = 1;
const FAILING: u64 = 2;
const MISREAD: u64 = 3;
const DELAYED: u64 = 4;
const FAILED: u64 = 5;
/// Of a number of the page.
const BYTES: u64 = 8;
/// Of the page, with room.
const PAGE_BYTES: u64 = 4_096;

/// What is said to a machine, and what it says.
#[derive(Debug)]
pub struct Machine {
    path: PathBuf,
    page: File,
}

impl Machine {
    /// One that is not meddled with yet, in a new file.
    ///
    /// # Errors
    /// If there is no such file, or the library cannot be built.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        library()?;
        let mut options = File::options();
        let page = options.create(true).truncate(true).read(true).write(true).open(path)?;
        page.set_len(PAGE_BYTES)?;
        Ok(Self { path: path.to_owned(), page })
    }

    /// What the environment of a process on it has.
    ///
    /// # Errors
    /// If the library cannot be built.
    pub fn environment(&self) -> anyhow::Result<[(&'static str, OsString); 2]> {
        let page = self.path.as_os_str().to_owned();
        Ok([("LD_PRELOAD", library()?.into()), ("MERIDIAN_MACHINE_PAGE", page)])
    }

    /// From now on, each sync takes longer.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn slow_down(&self, delay: Duration) -> anyhow::Result<()> {
        self.set(DELAY_MS, i64::try_from(delay.as_millis())?)
    }

    /// The next sync of the Raft log or the database fails, with EIO.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn fail_once(&self) -> anyhow::Result<()> {
        self.set(FAILING, 1)
    }

    /// From now on, the wall clock is wrong, by a time that may be negative.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn shift_clock(&self, ms: i64) -> anyhow::Result<()> {
        self.set(SHIFT_MS, ms)
    }

    /// Ends all of that.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn mend(&self) -> anyhow::Result<()> {
        [SHIFT_MS, DELAY_MS, FAILING].into_iter().try_for_each(|number| self.set(number, 0))
    }

    /// Syncs that took longer, so far.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn delayed(&self) -> anyhow::Result<i64> {
        self.get(DELAYED)
    }

    /// How often the wall clock was read while it was wrong, so far.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn misread(&self) -> anyhow::Result<i64> {
        self.get(MISREAD)
    }

    /// Syncs that failed, so far.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn failed(&self) -> anyhow::Result<i64> {
        self.get(FAILED)
    }

    fn set(&self, number: u64, value: i64) -> anyhow::Result<()> {
        let written = self.page.write_all_at(&value.to_ne_bytes(), number * BYTES);
        written.context("the machine cannot be told")
    }

    fn get(&self, number: u64) -> anyhow::Result<i64> {
        let mut bytes = [0; BYTES as usize];
        self.page.read_exact_at(&mut bytes, number * BYTES).context("the machine does not say")?;
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
        command.output().expect("the program is there")
    }

    fn seconds(machine: &Machine) -> i64 {
        let told = run(machine, "date", "+%s").stdout;
        String::from_utf8_lossy(&told).trim().parse().expect("is a number")
    }

    #[test]
    fn its_clock_jumps_and_comes_back() {
        let place = tempfile::tempdir().expect("a directory");
        let machine = Machine::create(&place.path().join("machine")).expect("is created");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is later").as_secs();
        let off = |machine| (seconds(machine) - i64::try_from(now).expect("is small")) / 600;
        assert_eq!(off(&machine), 0);
        assert_eq!(machine.misread().expect("says so"), 0);
        machine.shift_clock(-HOUR_MS - 500).expect("is told");
        assert_eq!(off(&machine), -6);
        machine.shift_clock(HOUR_MS).expect("is told");
        assert_eq!(off(&machine), 6);
        assert!(machine.misread().expect("says so") >= 2);
        machine.mend().expect("is told");
        assert_eq!(off(&machine), 0);
    }

    #[test]
    fn a_sync_of_a_store_fails_once_and_others_take_longer() {
        let place = tempfile::tempdir().expect("a directory");
        let machine = Machine::create(&place.path().join("machine")).expect("is created");
        let store = place.path().join("raft-log");
        fs::create_dir(&store).expect("is created");
        let file = |name: &str| {
            let path = store.join(name);
            fs::write(&path, "what is to be kept").expect("is written");
            path.to_string_lossy().into_owned()
        };
        let (one, other) = (file("one"), place.path().join("machine"));
        machine.fail_once().expect("is told");
        assert!(run(&machine, "sync", &other.to_string_lossy()).status.success(), "not of a store");
        let output = run(&machine, "sync", &one);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Input/output error"), "{said}");
        assert_eq!(machine.failed().expect("says so"), 1);
        assert!(run(&machine, "sync", &one).status.success(), "only one fails");

        let delay = Duration::from_millis(300);
        machine.slow_down(delay).expect("is told");
        let began = Instant::now();
        assert!(run(&machine, "sync", &one).status.success());
        assert!(began.elapsed() >= delay);
        assert_eq!(machine.delayed().expect("says so"), 1);
    }
}
