//! Images of disks, checked by concurrent processes.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use meridian_power::check::Verdict;
use meridian_power::disk::{CutMode, Disk};
use meridian_power::expected::Expected;
use meridian_power::process_run::{Programs, Watched};
use meridian_power::progress::Progress;
use meridian_power::record::Record;
use meridian_power::tree::Tree;
use tempfile::TempDir;

pub fn programs() -> Programs {
    Programs::next_to_test(env!("CARGO_BIN_EXE_power"))
}

/// Creates a directory for images, in memory if possible: the check syncs them.
pub fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    let home = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    home.expect("a temporary directory")
}

/// Returns the seeds of the images after a record of the journal; they differ between records.
pub fn seeds(at: usize) -> Vec<u64> {
    let count = std::env::var("MERIDIAN_POWER_SEEDS").ok().and_then(|count| count.parse().ok());
    let first = at as u64 * 7;
    (first..first + count.unwrap_or(1)).collect()
}

/// A disk after a power cut, and the state that must be on it.
pub struct Image {
    pub tree: Tree,
    pub expected: Expected,
    /// Number of executed records.
    pub at: usize,
    pub seed: u64,
    /// Step during which the power was cut.
    pub during: &'static str,
}

/// Returns the images of power cuts after each record, with the given seeds.
pub fn images(
    watched: &Watched,
    records: &[Record],
    mut seeds: impl FnMut(usize) -> Vec<u64>,
) -> Vec<Image> {
    let mut disk = Disk::new(&watched.directory(), watched.base());
    let mut expected = Expected::default();
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    for at in 0..=records.len() {
        for seed in seeds(at) {
            let tree = disk.after_power_cut(seed);
            // Equal disks with equal expectations are checked once.
            if seen.insert((tree.fingerprint(), expected.clone())) {
                let during = during(&records[at..]);
                images.push(Image { tree, expected: expected.clone(), at, seed, during });
            }
        }
        if let Some(record) = records.get(at) {
            disk.apply(record);
            if let Record::Output { data } = record {
                Progress::parse(data).iter().for_each(|step| expected.add(step));
            }
        }
    }
    images
}

/// Returns the kind of the step that is reported next.
fn during(rest: &[Record]) -> &'static str {
    let kind = rest.iter().find_map(|record| match record {
        Record::Output { data } => Progress::parse(data).first().map(Progress::kind),
        _ => None,
    });
    kind.unwrap_or("the end")
}

/// Results of checking images: intact and rejected ones, by step and mode of the power cut.
#[derive(Debug, Default)]
pub struct Tally {
    pub intact: BTreeMap<&'static str, usize>,
    pub rejected: BTreeMap<(&'static str, CutMode), Vec<String>>,
    pub lost: Vec<String>,
}

/// Checks every image in a new process.
pub fn check_all(task: &str, images: &[Image], options: &[&str]) -> Tally {
    let programs = programs();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            let home = home();
            image.tree.write(home.path()).expect("the directory is written");
            let data = home.path().join("data");
            let verdict = programs.check(task, &data, &image.expected, options);
            tally
                .lock()
                .expect("no thread panics while holding the lock")
                .add(image, &data, verdict);
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    tally.into_inner().expect("no thread panicked while holding the lock")
}

impl Tally {
    fn add(&mut self, image: &Image, data: &Path, verdict: Verdict) {
        let Image { at, seed, during, .. } = image;
        match verdict {
            Verdict::Intact { .. } => *self.intact.entry(during).or_default() += 1,
            Verdict::Rejected { error } => {
                let named = error.contains(&*data.to_string_lossy());
                let error = error.replace(&*data.to_string_lossy(), "DATA");
                let text = format!("cut at record {at}, seed {seed}: {error}");
                if !named {
                    self.lost.push(format!("an error names no path: {text}"));
                }
                self.rejected.entry((during, CutMode::of(*seed))).or_default().push(text);
            }
            Verdict::Lost { what } => {
                self.lost.push(format!("during {during}, cut at record {at}, seed {seed}: {what}"));
            }
        }
    }

    /// Prints the results, and fails if anything was lost.
    pub fn assert_nothing_lost(&self, title: &str) {
        let intact: usize = self.intact.values().sum();
        let rejected: usize = self.rejected.values().map(Vec::len).sum();
        println!(
            "{title}: {intact} intact, {rejected} rejected with an error, {} lost",
            self.lost.len()
        );
        println!("  intact, by the step during which the power was cut: {:?}", self.intact);
        for ((during, mode), errors) in &self.rejected {
            println!("  rejected during {during}, {mode:?}: {}, e.g. {}", errors.len(), errors[0]);
        }
        assert!(self.lost.is_empty(), "{title}: {:#?}", self.lost);
    }

    /// Fails if a disk was rejected on which operations happened in order: there is no indication
    /// of damage, and a node that was only killed must restart on its own.
    pub fn assert_ordered_disks_accepted(&self) {
        let ordered = |(_, mode): &&(&str, CutMode)| *mode != CutMode::Scattered;
        let rejected: Vec<_> = self.rejected.iter().filter(|(key, _)| ordered(key)).collect();
        assert!(rejected.is_empty(), "{rejected:#?}");
    }

    /// Fails if the power was never cut during one of these steps.
    pub fn assert_covers(&self, steps: &[&str]) {
        for step in steps {
            assert!(self.intact.contains_key(step), "the power was never cut during {step}");
        }
    }
}
