//! A disk that gets what a journal says, and what is on it when its power is cut.
//!
//! Adversarial within POSIX: content is durable once its file was synced, a name once its directory
//! was, and whatever else was done may have reached the disk or not, in any order.

use std::collections::BTreeMap;
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
    /// What was done first is there, the last write as far as the power lasted.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory,
    File(usize),
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

/// A change of the names in one directory.
#[derive(Debug, Clone)]
struct NameChange {
    at: u64,
    directory: PathBuf,
    names: Vec<(PathBuf, Option<Entry>)>,
}

#[derive(Debug, Clone, Copy)]
struct Sync {
    begun: u64,
    file: Option<usize>,
}

/// A disk, the page cache of the machine before it, and its syncs under way.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    now: u64,
    files: Vec<File>,
    live: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<NameChange>,
    syncs: BTreeMap<u64, (Sync, PathBuf)>,
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
    #[must_use]
    pub fn new(root: &Path, base: &Tree) -> Self {
        let mut files = Vec::new();
        let mut names = BTreeMap::new();
        for (path, node) in base.iter() {
            let entry = match node {
                Node::Directory => Entry::Directory,
                Node::File(bytes) => {
                    let (live, durable) = (bytes.clone(), bytes.clone());
                    files.push(File { live, durable, pending: Vec::new() });
                    Entry::File(files.len() - 1)
                }
            };
            names.insert(path.clone(), entry);
        }
        Self {
            root: root.to_path_buf(),
            now: 0,
            files,
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
            syncs: BTreeMap::new(),
        }
    }

    /// Does what a record says.
    ///
    /// # Panics
    /// If the record names what was never created: the journal has lost something.
    pub fn apply(&mut self, record: &Record) {
        self.now += 1;
        match record {
            Record::Created { path } => {
                self.files.push(File::default());
                let entry = Entry::File(self.files.len() - 1);
                self.name(vec![(self.relative(path), Some(entry))]);
            }
            Record::DirectoryCreated { path } => {
                self.name(vec![(self.relative(path), Some(Entry::Directory))]);
            }
            Record::Unlinked { path } => self.name(vec![(self.relative(path), None)]),
            Record::Renamed { from, to } => {
                let (from, to) = (self.relative(from), self.relative(to));
                let entry = self.live.get(&from).copied();
                assert_eq!(from.parent(), to.parent(), "a file stays in its directory");
                self.name(vec![(from, None), (to, entry)]);
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
                let path = self.relative(path);
                let file = match self.live.get(&path) {
                    Some(Entry::File(file)) => Some(*file),
                    Some(Entry::Directory) => None,
                    None if path.as_os_str().is_empty() => None,
                    None => panic!("{} was synced and never created", path.display()),
                };
                self.syncs.insert(*sync, (Sync { begun: self.now, file }, path));
            }
            Record::SyncDone { sync } => self.end_sync(*sync, true),
            Record::SyncFailed { sync } => self.end_sync(*sync, false),
            Record::WriteFailed { .. } | Record::Said { .. } => {}
        }
    }

    /// What processes see.
    #[must_use]
    pub fn live(&self) -> Tree {
        self.tree(&self.live, |file| self.files[file].live.clone())
    }

    /// What the disk has when its power is cut now. The same seed gives the same.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Tree {
        let mut random = StdRng::seed_from_u64(seed);
        let manner = Manner::of(seed);
        // The moment up to which things reached the disk, where they did so in their order.
        let oldest = self.oldest_pending();
        let until = random.random_range(oldest..=self.now.max(oldest));
        let mut names = self.durable.clone();
        for change in &self.pending {
            let kept = match manner {
                Manner::Lost => false,
                Manner::Kept => true,
                Manner::Torn => change.at <= until,
                Manner::Scattered => random.random(),
            };
            if kept {
                set(&mut names, &change.names);
            }
        }
        let contents: Vec<Vec<u8>> =
            self.files.iter().map(|file| file.after_cut(manner, until, &mut random)).collect();
        self.tree(&names, |file| contents[file].clone())
    }

    fn oldest_pending(&self) -> u64 {
        let contents = self.files.iter().filter_map(|file| file.pending.first()).map(|(at, _)| *at);
        let names = self.pending.first().map(|change| change.at);
        contents.chain(names).min().unwrap_or(self.now)
    }

    fn name(&mut self, names: Vec<(PathBuf, Option<Entry>)>) {
        let directory = names.first().and_then(|(path, _)| path.parent()).map(Path::to_path_buf);
        set(&mut self.live, &names);
        let directory = directory.expect("each name is in a directory");
        self.pending.push(NameChange { at: self.now, directory, names });
    }

    fn change(&mut self, path: &[u8], change: Change) {
        let path = self.relative(path);
        let Some(Entry::File(file)) = self.live.get(&path) else {
            panic!("{} was written and never created", path.display());
        };
        let file = &mut self.files[*file];
        change.make(&mut file.live);
        file.pending.push((self.now, change));
    }

    /// Makes durable what a sync covered; where it failed, that is never tried again.
    fn end_sync(&mut self, sync: u64, done: bool) {
        let (Sync { begun, file }, path) = self.syncs.remove(&sync).expect("it was begun");
        if let Some(file) = file {
            let file = &mut self.files[file];
            let (covered, rest) =
                std::mem::take(&mut file.pending).into_iter().partition(|(at, _)| *at < begun);
            file.pending = rest;
            let covered: Vec<_> = covered;
            for (_, change) in covered.iter().filter(|_| done) {
                change.make(&mut file.durable);
            }
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let covers = |change: &NameChange| change.at < begun && change.directory == path;
        let (covered, rest): (Vec<_>, _) = pending.into_iter().partition(covers);
        self.pending = rest;
        for change in covered.iter().filter(|_| done) {
            set(&mut self.durable, &change.names);
        }
    }

    fn tree(&self, names: &BTreeMap<PathBuf, Entry>, content: impl Fn(usize) -> Vec<u8>) -> Tree {
        let mut tree = Tree::default();
        // Directories come before what is in them.
        for (path, entry) in names {
            let parent = path.parent().expect("each name is in a directory");
            if !parent.as_os_str().is_empty() && !tree.has_directory(parent) {
                continue;
            }
            let node = match entry {
                Entry::Directory => Node::Directory,
                Entry::File(file) => Node::File(content(*file)),
            };
            tree.insert(path.clone(), node);
        }
        tree
    }

    fn relative(&self, path: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        path.strip_prefix(&self.root).expect("only the directory is watched").to_path_buf()
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

fn set(names: &mut BTreeMap<PathBuf, Entry>, changes: &[(PathBuf, Option<Entry>)]) {
    for (path, entry) in changes {
        match entry {
            Some(entry) => names.insert(path.clone(), *entry),
            None => names.remove(path),
        };
    }
}
