//! A model of a disk that executes a journal, and of its contents after a power cut.
//!
//! Adversarial within POSIX: file contents are durable after a sync of the file, names after a sync
//! of their directory. Anything else may have reached the disk or not, in any order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::record::Record;
use crate::tree::{Node, Tree};

/// Size of the unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;

/// The effect of a power cut on unsynced operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutMode {
    /// None of them reached the disk.
    Lost,
    /// All of them reached the disk.
    Kept,
    /// They reached the disk in order, the last write only partially. The file may already have its
    /// new length, filled with zeros.
    Torn,
    /// Each sector and each name reached the disk independently at random.
    Scattered,
}

impl CutMode {
    /// Returns the mode of a seed. The first seeds cover all modes.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 5 {
            0 => Self::Lost,
            1 => Self::Kept,
            2 => Self::Torn,
            _ => Self::Scattered,
        }
    }
}

/// The target of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory(usize),
    File(usize),
}

type Names = BTreeMap<OsString, Entry>;
/// Names with their new targets.
type NameChange = Vec<(OsString, Option<Entry>)>;

#[derive(Debug, Clone, Default)]
struct Directory {
    /// Visible to processes.
    live: Names,
    durable: Names,
    /// Unsynced changes, with the time of each.
    pending: Vec<(u64, NameChange)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize { length: usize },
}

#[derive(Debug, Clone, Default)]
struct File {
    /// Visible to processes.
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Unsynced changes, with the time of each.
    pending: Vec<(u64, Change)>,
}

#[derive(Debug, Clone, Copy)]
struct Sync {
    started: u64,
    entry: Entry,
}

/// Index of the watched directory.
const TOP: usize = 0;

/// A disk, the page cache in front of it, and the syncs in progress.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    now: u64,
    files: Vec<File>,
    directories: Vec<Directory>,
    syncs: BTreeMap<u64, Sync>,
}

/// Returns the directory at `root` after `records` were executed on `base` and the power was cut.
/// The result is determined by the seed.
#[must_use]
pub fn after_power_cut(root: &Path, base: &Tree, records: &[Record], seed: u64) -> Tree {
    let mut disk = Disk::new(root, base);
    records.iter().for_each(|record| disk.apply(record));
    disk.after_power_cut(seed)
}

impl Disk {
    /// Creates a disk on which `base` is durable, in the directory that the journal calls `root`.
    ///
    /// # Panics
    /// If the parent directory of a path in `base` is missing.
    #[must_use]
    pub fn new(root: &Path, base: &Tree) -> Self {
        let mut disk = Self {
            root: root.to_path_buf(),
            now: 0,
            files: Vec::new(),
            directories: vec![Directory::default()],
            syncs: BTreeMap::new(),
        };
        for (path, node) in base.iter() {
            let entry = match node {
                Node::Directory => disk.add_directory(),
                Node::File(bytes) => disk.add_file(bytes.clone()),
            };
            disk.rename(&[(&root.join(path), Some(entry))]);
        }
        for directory in &mut disk.directories {
            directory.durable = directory.live.clone();
            directory.pending.clear();
        }
        disk
    }

    /// Executes a record.
    ///
    /// # Panics
    /// If the record refers to a path that was never created: the journal is incomplete.
    pub fn apply(&mut self, record: &Record) {
        self.now += 1;
        match record {
            Record::Created { path } => {
                let file = self.add_file(Vec::new());
                self.rename(&[(as_path(path), Some(file))]);
            }
            Record::DirectoryCreated { path } => {
                let directory = self.add_directory();
                self.rename(&[(as_path(path), Some(directory))]);
            }
            Record::Unlinked { path } => self.rename(&[(as_path(path), None)]),
            Record::Renamed { from, to } => {
                let (from, to) = (as_path(from), as_path(to));
                let entry = self.find(from);
                self.rename(&[(from, None), (to, Some(entry))]);
            }
            Record::Written { path, offset, data } => {
                let offset = usize::try_from(*offset).expect("files are small");
                self.change(path, Change::Write { offset, data: data.clone() });
            }
            Record::Resized { path, length } => {
                let length = usize::try_from(*length).expect("files are small");
                self.change(path, Change::Resize { length });
            }
            Record::SyncStarted { sync, path } => {
                let entry = self.find(as_path(path));
                self.syncs.insert(*sync, Sync { started: self.now, entry });
            }
            Record::SyncDone { sync } => self.end_sync(*sync, true),
            Record::SyncFailed { sync } => self.end_sync(*sync, false),
            Record::WriteFailed { .. } | Record::Output { .. } => {}
        }
    }

    /// Returns the contents visible to processes.
    #[must_use]
    pub fn live(&self) -> Tree {
        let names: Vec<_> = self.directories.iter().map(|directory| &directory.live).collect();
        tree(&names, |file| self.files[file].live.clone())
    }

    /// Returns the contents of the disk after a power cut now, as determined by the seed.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Tree {
        let mut random = StdRng::seed_from_u64(seed);
        let mode = CutMode::of(seed);
        // The time up to which operations reached the disk, for modes that keep their order.
        let (oldest, newest) = self.pending_moments();
        // Prefer the newest time: frequently synced files are only torn there.
        let until = if random.random() { newest } else { random.random_range(oldest..=newest) };
        let after_cut = |directory: &Directory| directory.after_cut(mode, until, &mut random);
        let names: Vec<Names> = self.directories.iter().map(after_cut).collect();
        let after_cut = |file: &File| file.after_cut(mode, until, &mut random);
        let contents: Vec<Vec<u8>> = self.files.iter().map(after_cut).collect();
        tree(&names.iter().collect::<Vec<_>>(), |file| contents[file].clone())
    }

    /// Returns the times of the first and the last unsynced operation.
    fn pending_moments(&self) -> (u64, u64) {
        let contents = self.files.iter().flat_map(|file| &file.pending).map(|(at, _)| *at);
        let names = self.directories.iter().flat_map(|names| &names.pending).map(|(at, _)| *at);
        let moments = || contents.clone().chain(names.clone());
        let now = self.now;
        (moments().min().unwrap_or(now), moments().max().unwrap_or(now))
    }

    fn add_file(&mut self, bytes: Vec<u8>) -> Entry {
        self.files.push(File { live: bytes.clone(), durable: bytes, pending: Vec::new() });
        Entry::File(self.files.len() - 1)
    }

    fn add_directory(&mut self) -> Entry {
        self.directories.push(Directory::default());
        Entry::Directory(self.directories.len() - 1)
    }

    /// Atomically changes the targets of names in one directory.
    fn rename(&mut self, names: &[(&Path, Option<Entry>)]) {
        let parent = |path: &Path| path.parent().map(|parent| self.find(parent));
        let parents: Vec<_> = names.iter().filter_map(|(path, _)| parent(path)).collect();
        let [Entry::Directory(directory), ..] = parents[..] else {
            panic!("{names:?} have no parent directory");
        };
        let same = parents.iter().all(|parent| *parent == parents[0]);
        assert!(same, "{names:?} are in different directories");
        let name = |path: &Path| path.file_name().expect("the path has a name").to_os_string();
        let change: NameChange = names.iter().map(|(path, entry)| (name(path), *entry)).collect();
        let directory = &mut self.directories[directory];
        set(&mut directory.live, &change);
        directory.pending.push((self.now, change));
    }

    fn change(&mut self, path: &[u8], change: Change) {
        let Entry::File(file) = self.find(as_path(path)) else {
            panic!("{} is not a file", as_path(path).display());
        };
        let file = &mut self.files[file];
        change.make(&mut file.live);
        file.pending.push((self.now, change));
    }

    /// Makes the covered changes durable; after a failed sync they are dropped and never retried.
    fn end_sync(&mut self, sync: u64, done: bool) {
        let Sync { started, entry } = self.syncs.remove(&sync).expect("the sync was started");
        match entry {
            Entry::File(file) => {
                let File { durable, pending, .. } = &mut self.files[file];
                for change in covered(pending, started).iter().filter(|_| done) {
                    change.make(durable);
                }
            }
            Entry::Directory(directory) => {
                let Directory { durable, pending, .. } = &mut self.directories[directory];
                for change in covered(pending, started).iter().filter(|_| done) {
                    set(durable, change);
                }
            }
        }
    }

    /// Returns the current target of a path.
    fn find(&self, path: &Path) -> Entry {
        let below = path.strip_prefix(&self.root).expect("the path is in the watched directory");
        below.iter().fold(Entry::Directory(TOP), |at, name| {
            let Entry::Directory(directory) = at else {
                panic!("a parent of {} is a file", path.display());
            };
            let found = self.directories[directory].live.get(name);
            *found.unwrap_or_else(|| panic!("{} was never created", path.display()))
        })
    }
}

/// Removes and returns the changes made before a sync started.
fn covered<T>(pending: &mut Vec<(u64, T)>, started: u64) -> Vec<T> {
    let first_after = pending.partition_point(|(at, _)| *at < started);
    pending.drain(..first_after).map(|(_, change)| change).collect()
}

/// Returns the tree of everything reachable from the top directory.
fn tree(directories: &[&Names], content: impl Fn(usize) -> Vec<u8>) -> Tree {
    let mut tree = Tree::default();
    let mut remaining = vec![(PathBuf::new(), TOP)];
    while let Some((path, directory)) = remaining.pop() {
        for (name, entry) in directories[directory] {
            let path = path.join(name);
            match *entry {
                Entry::File(file) => tree.insert(path, Node::File(content(file))),
                Entry::Directory(directory) => {
                    tree.insert(path.clone(), Node::Directory);
                    remaining.push((path, directory));
                }
            }
        }
    }
    tree
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

impl Directory {
    fn after_cut(&self, mode: CutMode, until: u64, random: &mut StdRng) -> Names {
        let mut names = self.durable.clone();
        for (at, change) in &self.pending {
            let kept = match mode {
                CutMode::Lost => false,
                CutMode::Kept => true,
                CutMode::Torn => *at <= until,
                CutMode::Scattered => random.random(),
            };
            if kept {
                set(&mut names, change);
            }
        }
        names
    }
}

impl File {
    fn after_cut(&self, mode: CutMode, until: u64, random: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let length_kept: bool = random.random();
        for (at, change) in &self.pending {
            match (mode, change) {
                (CutMode::Lost, _) => {}
                (CutMode::Kept, _) => change.make(&mut bytes),
                (CutMode::Torn, _) if *at < until => change.make(&mut bytes),
                (CutMode::Torn, Change::Write { offset, data }) if *at == until => {
                    let sectors: Vec<_> = sectors(*offset, data).collect();
                    let kept = random.random_range(0..=sectors.len());
                    sectors[..kept].iter().for_each(|(at, data)| write(&mut bytes, *at, data));
                }
                (CutMode::Torn, _) => {}
                (CutMode::Scattered, Change::Write { offset, data }) => {
                    if length_kept && bytes.len() < offset + data.len() {
                        bytes.resize(offset + data.len(), 0);
                    }
                    for (at, data) in sectors(*offset, data).filter(|_| random.random()) {
                        write(&mut bytes, at, data);
                    }
                }
                (CutMode::Scattered, Change::Resize { .. }) => {
                    if random.random() {
                        change.make(&mut bytes);
                    }
                }
            }
        }
        if mode == CutMode::Torn && length_kept && bytes.len() < self.live.len() {
            bytes.resize(self.live.len(), 0);
        }
        bytes
    }
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => write(bytes, *offset, data),
            Self::Resize { length } => bytes.resize(*length, 0),
        }
    }
}

/// Splits a write into its sectors, with their offsets.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = offset;
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (part, remaining) = rest.split_at(length);
        let part = (at, part);
        (at, rest) = (at + length, remaining);
        Some(part)
    })
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn set(names: &mut Names, change: &NameChange) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(name.clone(), *entry),
            None => names.remove(name),
        };
    }
}
