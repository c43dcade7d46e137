//! Images of disks, checked by several processes at a time.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use meridian_power::check::Verdict;
use meridian_power::disk::{Disk, Manner};
use meridian_power::expected::Expected;
use meridian_power::lives::{Programs, Watched};
use meridian_power::record::Record;
use meridian_power::said::Said;
use meridian_power::tree::Tree;
use tempfile::TempDir;

pub fn programs() -> Programs {
    Programs::beside_this_test(env!("CARGO_BIN_EXE_power"))
}

/// A directory for images: in memory where that can be had, for what opens them syncs them.
pub fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    let home = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    home.expect("there is a place for temporary files")
}

/// The seeds of the images at one place of a journal, other ones at each.
pub fn seeds(at: usize) -> Vec<u64> {
    let count = std::env::var("MERIDIAN_POWER_SEEDS").ok().and_then(|count| count.parse().ok());
    let first = at as u64 * 7;
    (first..first + count.unwrap_or(1)).collect()
}

/// A disk after a power cut, and what must be on it.
pub struct Image {
    pub tree: Tree,
    pub expected: Expected,
    /// The place in the journal.
    pub at: usize,
    pub seed: u64,
    /// The step during which the power was cut.
    pub during: &'static str,
}

/// The images of power cuts at the places `places` of a journal, with `seeds` for each.
pub fn images(
    watched: &Watched,
    records: &[Record],
    mut wanted: impl FnMut(usize) -> Vec<u64>,
) -> Vec<Image> {
    let mut disk = Disk::new(&watched.directory(), watched.base());
    let mut expected = Expected::default();
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    for at in 0..=records.len() {
        for seed in wanted(at) {
            let tree = disk.after_power_cut(seed);
            // The same disk that has to have the same is the same test.
            if seen.insert((tree.fingerprint(), expected.clone())) {
                let during = during(&records[at..]);
                images.push(Image { tree, expected: expected.clone(), at, seed, during });
            }
        }
        if let Some(record) = records.get(at) {
            disk.apply(record);
            if let Record::Said { data } = record {
                Said::parse(data).iter().for_each(|said| expected.note(said));
            }
        }
    }
    images
}

/// The step that is said next.
fn during(rest: &[Record]) -> &'static str {
    let said = rest.iter().find_map(|record| match record {
        Record::Said { data } => Said::parse(data).first().map(Said::kind),
        _ => None,
    });
    said.unwrap_or("the end")
}

/// What came of the images: those that were whole and those that were refused, by step and manner.
#[derive(Debug, Default)]
pub struct Tally {
    pub whole: BTreeMap<&'static str, usize>,
    pub refused: BTreeMap<(&'static str, Manner), Vec<String>>,
    pub lost: Vec<String>,
}

/// Opens every image in a process of its own.
pub fn check_all(what: &str, images: &[Image], options: &[&str]) -> Tally {
    let programs = programs();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            let home = home();
            image.tree.write(home.path()).expect("it can be written");
            let data = home.path().join("data");
            let verdict = programs.check(what, &data, &image.expected, options);
            tally.lock().expect("nothing panics under it").note(image, &data, verdict);
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    tally.into_inner().expect("nothing panicked under it")
}

impl Tally {
    fn note(&mut self, image: &Image, data: &Path, verdict: Verdict) {
        let Image { at, seed, during, .. } = image;
        match verdict {
            Verdict::Whole { .. } => *self.whole.entry(during).or_default() += 1,
            Verdict::Refused { error } => {
                let named = error.contains(&*data.to_string_lossy());
                let error = error.replace(&*data.to_string_lossy(), "DATA");
                let text = format!("cut at record {at}, seed {seed}: {error}");
                if !named {
                    self.lost.push(format!("a refusal names no file: {text}"));
                }
                self.refused.entry((during, Manner::of(*seed))).or_default().push(text);
            }
            Verdict::Lost { what } => {
                self.lost.push(format!("during {during}, cut at record {at}, seed {seed}: {what}"));
            }
        }
    }

    /// Says what was seen, and fails where anything was lost.
    pub fn conclude(&self, title: &str) {
        let whole: usize = self.whole.values().sum();
        let refused: usize = self.refused.values().map(Vec::len).sum();
        println!("{title}: {whole} whole, {refused} refused by name, {} lost", self.lost.len());
        println!("  whole, by the step during which the power was cut: {:?}", self.whole);
        for ((during, manner), errors) in &self.refused {
            println!("  refused during {during}, {manner:?}: {}, e.g. {}", errors.len(), errors[0]);
        }
        assert!(self.lost.is_empty(), "{title}: {:#?}", self.lost);
    }

    /// Fails where a disk was refused on which things happened in their order: nothing speaks for
    /// damage there, and a node that was only killed must come back by itself.
    pub fn refuses_no_orderly_disk(&self) {
        let orderly = |(_, manner): &&(&str, Manner)| *manner != Manner::Scattered;
        let refused: Vec<_> = self.refused.iter().filter(|(key, _)| orderly(key)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }

    /// Fails where the power was never cut during one of these steps.
    pub fn covers(&self, steps: &[&str]) {
        for step in steps {
            assert!(self.whole.contains_key(step), "the power was never cut during {step}");
        }
    }
}
