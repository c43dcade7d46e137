//! A disk that gets what a journal says, and what is on it when its power is cut.
//!
//! Adversarial within POSIX: content is durable once its file was synced, a name once its directory
//! was, and whatever else was done may have reached the disk or not, in any order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::record::Record;
use crate::tree::{Node, Tree};

/// Bytes that a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// All of it is gone.
    Lost,
    /// All of it is there.
    Kept,
    /// What was done first is there, the last write as far as the power lasted; the file may have
    /// its new length already, and zeros up to there.
    Torn,
    /// Each sector and each name is there or not.
    Scattered,
}

impl Manner {
    /// That of a seed. The first seeds are one of each, so that few seeds see all of them.
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

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory(usize),
    File(usize),
}

type Names = BTreeMap<OsString, Entry>;

/// What some names lead to from now on.
type NameChange = Vec<(OsString, Option<Entry>)>;

#[derive(Debug, Clone, Default)]
struct Directory {
    /// As a process sees it.
    live: Names,
    durable: Names,
    /// What was not synced, with the moment at which it was done.
    pending: Vec<(u64, NameChange)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize { length: usize },
}

#[derive(Debug, Clone, Default)]
struct File {
    /// As a process sees it.
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What was not synced, with the moment at which it was done.
    pending: Vec<(u64, Change)>,
}

#[derive(Debug, Clone, Copy)]
struct Sync {
    begun: u64,
    of: Entry,
}

/// The number of the directory that is watched.
const TOP: usize = 0;

/// A disk, the page cache of the machine before it, and its syncs under way.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    now: u64,
    files: Vec<File>,
    directories: Vec<Directory>,
    syncs: BTreeMap<u64, Sync>,
}

/// The directory at `root` as a disk may have it whose power was cut when `records` were done; it had
/// `base` before them. The same seed gives the same.
#[must_use]
pub fn after_power_cut(root: &Path, base: &Tree, records: &[Record], seed: u64) -> Tree {
    let mut disk = Disk::new(root, base);
    records.iter().for_each(|record| disk.apply(record));
    disk.after_power_cut(seed)
}

impl Disk {
    /// A disk that has `base`, durably, in the directory that the journal calls `root`.
    ///
    /// # Panics
    /// If something in `base` is in no directory.
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

    /// Does what a record says.
    ///
    /// # Panics
    /// If the record names what was never created: the journal has lost something.
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
            Record::SyncBegun { sync, path } => {
                let of = self.find(as_path(path));
                self.syncs.insert(*sync, Sync { begun: self.now, of });
            }
            Record::SyncDone { sync } => self.end_sync(*sync, true),
            Record::SyncFailed { sync } => self.end_sync(*sync, false),
            Record::WriteFailed { .. } | Record::Said { .. } => {}
        }
    }

    /// What processes see.
    #[must_use]
    pub fn live(&self) -> Tree {
        let names: Vec<_> = self.directories.iter().map(|directory| &directory.live).collect();
        tree(&names, |file| self.files[file].live.clone())
    }

    /// What the disk has when its power is cut now. The same seed gives the same.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Tree {
        let mut random = StdRng::seed_from_u64(seed);
        let manner = Manner::of(seed);
        // The moment up to which things reached the disk, where they did so in their order.
        let (oldest, newest) = self.pending_moments();
        // Often the newest: what is written all the time is also synced, and torn only there.
        let until = if random.random() { newest } else { random.random_range(oldest..=newest) };
        let after_cut = |directory: &Directory| directory.after_cut(manner, until, &mut random);
        let names: Vec<Names> = self.directories.iter().map(after_cut).collect();
        let after_cut = |file: &File| file.after_cut(manner, until, &mut random);
        let contents: Vec<Vec<u8>> = self.files.iter().map(after_cut).collect();
        tree(&names.iter().collect::<Vec<_>>(), |file| contents[file].clone())
    }

    /// The first and the last moment at which something was done that was not synced.
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

    /// Changes what names in one directory lead to, all at once.
    fn rename(&mut self, names: &[(&Path, Option<Entry>)]) {
        let parent = |path: &Path| path.parent().map(|parent| self.find(parent));
        let parents: Vec<_> = names.iter().filter_map(|(path, _)| parent(path)).collect();
        let [Entry::Directory(directory), ..] = parents[..] else {
            panic!("{names:?} are in no directory");
        };
        assert!(parents.iter().all(|parent| *parent == parents[0]), "{names:?} are in two");
        let name = |path: &Path| path.file_name().expect("it is not the top").to_os_string();
        let change: NameChange = names.iter().map(|(path, entry)| (name(path), *entry)).collect();
        let directory = &mut self.directories[directory];
        set(&mut directory.live, &change);
        directory.pending.push((self.now, change));
    }

    fn change(&mut self, path: &[u8], change: Change) {
        let Entry::File(file) = self.find(as_path(path)) else {
            panic!("{} is no file", as_path(path).display());
        };
        let file = &mut self.files[file];
        change.make(&mut file.live);
        file.pending.push((self.now, change));
    }

    /// Makes durable what a sync covered; where it failed, that is never tried again.
    fn end_sync(&mut self, sync: u64, done: bool) {
        let Sync { begun, of } = self.syncs.remove(&sync).expect("it was begun");
        match of {
            Entry::File(file) => {
                let File { durable, pending, .. } = &mut self.files[file];
                for change in covered(pending, begun).iter().filter(|_| done) {
                    change.make(durable);
                }
            }
            Entry::Directory(directory) => {
                let Directory { durable, pending, .. } = &mut self.directories[directory];
                for change in covered(pending, begun).iter().filter(|_| done) {
                    set(durable, change);
                }
            }
        }
    }

    /// What a path leads to at present.
    fn find(&self, path: &Path) -> Entry {
        let below = path.strip_prefix(&self.root).expect("only the directory is watched");
        below.iter().fold(Entry::Directory(TOP), |at, name| {
            let Entry::Directory(directory) = at else {
                panic!("{} goes through a file", path.display());
            };
            let found = self.directories[directory].live.get(name);
            *found.unwrap_or_else(|| panic!("{} was never created", path.display()))
        })
    }
}

/// Takes out what was done before a sync began.
fn covered<T>(pending: &mut Vec<(u64, T)>, begun: u64) -> Vec<T> {
    let first_after = pending.partition_point(|(at, _)| *at < begun);
    pending.drain(..first_after).map(|(_, change)| change).collect()
}

/// All that can be reached from the top.
fn tree(directories: &[&Names], content: impl Fn(usize) -> Vec<u8>) -> Tree {
    let mut tree = Tree::default();
    let mut left = vec![(PathBuf::new(), TOP)];
    while let Some((path, directory)) = left.pop() {
        for (name, entry) in directories[directory] {
            let path = path.join(name);
            match *entry {
                Entry::File(file) => tree.insert(path, Node::File(content(file))),
                Entry::Directory(directory) => {
                    tree.insert(path.clone(), Node::Directory);
                    left.push((path, directory));
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
    fn after_cut(&self, manner: Manner, until: u64, random: &mut StdRng) -> Names {
        let mut names = self.durable.clone();
        for (at, change) in &self.pending {
            let kept = match manner {
                Manner::Lost => false,
                Manner::Kept => true,
                Manner::Torn => *at <= until,
                Manner::Scattered => random.random(),
            };
            if kept {
                set(&mut names, change);
            }
        }
        names
    }
}

impl File {
    fn after_cut(&self, manner: Manner, until: u64, random: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let length_kept: bool = random.random();
        for (at, change) in &self.pending {
            match (manner, change) {
                (Manner::Lost, _) => {}
                (Manner::Kept, _) => change.make(&mut bytes),
                (Manner::Torn, _) if *at < until => change.make(&mut bytes),
                (Manner::Torn, Change::Write { offset, data }) if *at == until => {
                    let sectors: Vec<_> = sectors(*offset, data).collect();
                    let kept = random.random_range(0..=sectors.len());
                    sectors[..kept].iter().for_each(|(at, data)| write(&mut bytes, *at, data));
                }
                (Manner::Torn, _) => {}
                (Manner::Scattered, Change::Write { offset, data }) => {
                    if length_kept && bytes.len() < offset + data.len() {
                        bytes.resize(offset + data.len(), 0);
                    }
                    for (at, data) in sectors(*offset, data).filter(|_| random.random()) {
                        write(&mut bytes, at, data);
                    }
                }
                (Manner::Scattered, Change::Resize { .. }) => {
                    if random.random() {
                        change.make(&mut bytes);
                    }
                }
            }
        }
        if manner == Manner::Torn && length_kept && bytes.len() < self.live.len() {
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

/// The parts of a write that are in one sector each, with their offsets.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = offset;
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (part, behind) = rest.split_at(length);
        let part = (at, part);
        (at, rest) = (at + length, behind);
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
