//! A disk that is really full: the node stops, naming what it could not write, has acknowledged
//! nothing that it cannot keep, and goes on where it was once there is room.

use std::fs;
use std::path::{Path, PathBuf};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::lives::{Overheard, STOPPED};
use meridian_power::said::Said;

use crate::mounted::Mounted;
use crate::support::programs;

/// Room for a few lives, and for the file that takes it away.
const DISK_BYTES: u64 = 40 << 20;
/// Room that sled takes at once when it is opened: a segment.
const SEGMENT_BYTES: u64 = 8 << 20;

/// A small disk, with a data directory on it.
struct Disk {
    mounted: Mounted,
    expected: Expected,
}

impl Disk {
    /// None, said out loud, where only root could have it.
    fn new() -> Option<Self> {
        match Mounted::memory(DISK_BYTES) {
            Ok(mounted) => Some(Self { mounted, expected: Expected::default() }),
            Err(error) => {
                eprintln!("SKIPPED: a full disk was not tried, no small one can be had: {error}");
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

    /// Takes all room but so many bytes.
    fn fill(&self, left: u64) {
        let free = free_bytes(self.mounted.path());
        let filler = vec![1; usize::try_from(free - left).expect("the disk is small")];
        fs::write(self.filler(), filler).expect("there is room");
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }

    /// A life that ends well.
    fn live(&mut self, what: &str) {
        let (status, said) = self.end(what);
        assert!(status.success(), "{what}: {status:?}, {:?}", said.last());
    }

    /// A life that ends for want of room, and says so.
    fn run_out_of_room(&mut self, what: &str) {
        let (status, said) = self.end(what);
        assert_eq!(status.code(), Some(i32::from(STOPPED)), "{:?}", said.last());
        let Some(Said::Stopped { cause }) = said.last() else { panic!("{said:?}") };
        let data = self.data().to_string_lossy().into_owned();
        assert!(cause.contains(&data), "it names what could not be written: {cause}");
        assert!(cause.contains("No space left"), "it says why: {cause}");
        assert!(!cause.contains("wipe"), "room is all that it takes: {cause}");
        println!("after {} steps: {}", said.len() - 1, cause.replace(&data, "DATA"));
    }

    fn end(&mut self, what: &str) -> (std::process::ExitStatus, Vec<Said>) {
        let life = Overheard::begin(&programs(), what, &self.data(), &["small", "close"]);
        let (status, said) = life.end();
        said.iter().for_each(|said| self.expected.note(said));
        (status, said)
    }

    /// Fails unless all is there that was acknowledged.
    fn is_whole(&self) {
        let verdict = programs().check("check", &self.data(), &self.expected, &["small"]);
        assert!(matches!(verdict, Verdict::Whole { .. }), "{verdict:?}");
    }
}

fn free_bytes(path: &Path) -> u64 {
    let status = rustix::fs::statvfs(path).expect("it is mounted");
    status.f_bavail * status.f_frsize
}

#[test]
fn a_node_that_fills_its_disk_stops_and_goes_on_once_there_is_room() {
    for left in [48 << 10, SEGMENT_BYTES + (300 << 10), SEGMENT_BYTES + (1 << 20)] {
        let Some(mut disk) = Disk::new() else { return };
        disk.live("later");
        disk.fill(left);
        let before = disk.expected.entries.len();
        disk.run_out_of_room("work");
        assert_eq!(disk.expected.entries.len() > before, left > SEGMENT_BYTES, "it worked first");
        // A restart on a full disk changes nothing.
        disk.run_out_of_room("work");
        disk.empty();
        disk.is_whole();
        disk.live("later");
        disk.is_whole();
    }
}

#[test]
fn a_node_that_finds_no_room_for_its_first_files_starts_once_there_is() {
    for left in [0, 8 << 10, 24 << 10, 64 << 10] {
        let Some(mut disk) = Disk::new() else { return };
        disk.fill(left);
        disk.run_out_of_room("work");
        disk.empty();
        disk.live("later");
        disk.is_whole();
    }
}
