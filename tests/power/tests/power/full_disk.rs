//! A full disk: the node stops and names the path that it could not write, has acknowledged nothing
//! that is not durable, and continues once there is space.

use std::fs;
use std::path::{Path, PathBuf};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::process_run::{ProcessRun, STOPPED};
use meridian_power::progress::Progress;

use crate::mounted::Mounted;
use crate::support::programs;

/// Space for a few process runs and for the filler file.
const DISK_BYTES: u64 = 40 << 20;
/// Space that sled allocates when it is opened: one segment.
const SEGMENT_BYTES: u64 = 8 << 20;

/// A small disk with a data directory.
struct Disk {
    mounted: Mounted,
    expected: Expected,
}

impl Disk {
    /// Mounts a disk. Returns `None`, and prints the reason, without root privileges.
    fn new() -> Option<Self> {
        match Mounted::memory(DISK_BYTES) {
            Ok(mounted) => Some(Self { mounted, expected: Expected::default() }),
            Err(error) => {
                eprintln!("SKIPPED: cannot create a small disk: {error}");
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.mounted.path().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.mounted.path().join("filler")
    }

    /// Fills the disk up to the given number of bytes.
    fn fill(&self, left: u64) {
        let free = free_bytes(self.mounted.path());
        let filler = vec![1; usize::try_from(free - left).expect("the disk is small")];
        fs::write(self.filler(), filler).expect("the filler is written");
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("the filler exists");
    }

    /// Runs a process that succeeds.
    fn run(&mut self, task: &str) {
        let (status, progress) = self.execute(task);
        assert!(status.success(), "{task}: {status:?}, {:?}", progress.last());
    }

    /// Runs a process that stops because the disk is full, and reports it.
    fn run_out_of_space(&mut self, task: &str) {
        let (status, progress) = self.execute(task);
        assert_eq!(status.code(), Some(i32::from(STOPPED)), "{:?}", progress.last());
        let Some(Progress::Stopped { cause }) = progress.last() else { panic!("{progress:?}") };
        let data = self.data().to_string_lossy().into_owned();
        assert!(cause.contains(&data), "the error does not name the path: {cause}");
        assert!(cause.contains("No space left"), "the error does not give the reason: {cause}");
        assert!(!cause.contains("wipe"), "the error recommends a wipe: {cause}");
        println!("after {} steps: {}", progress.len() - 1, cause.replace(&data, "DATA"));
    }

    fn execute(&mut self, task: &str) -> (std::process::ExitStatus, Vec<Progress>) {
        let process = ProcessRun::start(&programs(), task, &self.data(), &["small", "close"]);
        let (status, progress) = process.wait();
        progress.iter().for_each(|step| self.expected.add(step));
        (status, progress)
    }

    /// Verifies that all acknowledged data is present.
    fn assert_intact(&self) {
        let verdict = programs().check("check", &self.data(), &self.expected, &["small"]);
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    }
}

fn free_bytes(path: &Path) -> u64 {
    let status = rustix::fs::statvfs(path).expect("the disk is mounted");
    status.f_bavail * status.f_frsize
}

#[test]
fn a_node_that_fills_its_disk_stops_and_continues_once_there_is_space() {
    for left in [48 << 10, SEGMENT_BYTES + (300 << 10), SEGMENT_BYTES + (1 << 20)] {
        let Some(mut disk) = Disk::new() else { return };
        disk.run("later");
        disk.fill(left);
        let before = disk.expected.entries.len();
        disk.run_out_of_space("work");
        assert_eq!(
            disk.expected.entries.len() > before,
            left > SEGMENT_BYTES,
            "entries were appended first"
        );
        // A restart on the full disk fails in the same way.
        disk.run_out_of_space("work");
        disk.empty();
        disk.assert_intact();
        disk.run("later");
        disk.assert_intact();
    }
}

#[test]
fn a_node_without_space_for_its_first_files_starts_once_there_is_space() {
    for left in [0, 8 << 10, 24 << 10, 64 << 10] {
        let Some(mut disk) = Disk::new() else { return };
        disk.fill(left);
        disk.run_out_of_space("work");
        disk.empty();
        disk.run("later");
        disk.assert_intact();
    }
}
