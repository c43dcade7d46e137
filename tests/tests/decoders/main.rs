//! All decoders of bytes from disk, from peers or from clients, tested with untrusted input.
//!
//! The targets are those of the fuzzer in `tests/fuzz`. This program replays its corpus and
//! mutations of it, and measures the allocated memory. To regenerate the corpus after a new version
//! of a stored form:
//!
//! ```text
//! cargo test -p meridian-tests --test decoders -- --ignored writes_the_corpus
//! ```

mod mutation;
mod seeds;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Maximum allocation for inputs of any length: wrong length prefixes (serde reserves up to one MiB
/// for a list within a list), and opening a store or building a unit.
const FIXED_BYTES: usize = 3 << 20;
/// Maximum additional allocation per byte of input.
const BYTES_PER_BYTE: usize = 64;

/// Returns a lock held while a target runs: the allocator counts for the whole process.
fn lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    // The first use of each target initializes its statics, which must not be measured.
    static READY: Once = Once::new();
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    READY.call_once(|| {
        for (name, target) in TARGETS {
            target(&corpus(name)[0].1);
        }
    });
    guard
}

/// Runs the target; returns whether the input was decoded, and the peak allocation in bytes.
fn measure(target: Target, bytes: &[u8]) -> (bool, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let decoded = target(bytes);
    (decoded, ALLOCATOR.peak_usage().saturating_sub(before))
}

fn decode_within_bounds(name: &str, target: Target, bytes: &[u8]) -> bool {
    let (decoded, peak) = measure(target, bytes);
    let limit = FIXED_BYTES + BYTES_PER_BYTE * bytes.len();
    assert!(peak <= limit, "{name} allocated {peak} bytes for {} bytes of input", bytes.len());
    decoded
}

/// Runs the target with generated inputs. A failing input is printed as a command that writes it to
/// a corpus file.
fn run(
    runner: &mut TestRunner,
    inputs: &impl Strategy<Value = Vec<u8>>,
    name: &str,
    target: Target,
) {
    let result = runner.run(inputs, |bytes| {
        decode_within_bounds(name, target, &bytes);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, bytes)) => {
            panic!("{name}: {reason}; printf '{}'", bytes.escape_ascii())
        }
        Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut paths: Vec<_> = files.map(|file| file.expect("the file is readable").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("the file is readable");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_corpus_is_decoded_or_rejected_within_bounds() {
    let _lock = lock();
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (path, bytes) in files {
            // Inputs named `finding-` once crashed a decoder, and must be rejected.
            let finding = path.to_string_lossy().contains("finding-");
            let decoded = decode_within_bounds(name, *target, &bytes);
            assert_eq!(decoded, !finding, "{}", path.display());
        }
    }
}

#[test]
fn encoded_values_are_decoded_and_meaningless_bytes_are_rejected() {
    let _lock = lock();
    let seeds = seeds::all();
    for (name, target) in TARGETS {
        let own: Vec<_> = seeds.iter().filter(|seed| seed.target == *name).collect();
        assert!(!own.is_empty(), "{name} has no seeds");
        for seed in own {
            let finding = seed.name.starts_with("finding-");
            let decoded = decode_within_bounds(name, *target, &seed.bytes);
            assert_eq!(decoded, !finding, "{name}/{}", seed.name);
        }
        for garbage in [&b""[..], b"\0", &[0x55; 64]] {
            let expected = match *name {
                // The store of a new node has no rows, and unknown rows are ignored.
                "derived_store" => true,
                // An empty configuration is valid: the unit serves nothing.
                "gateway_configuration" => garbage.is_empty(),
                _ => false,
            };
            assert_eq!(
                decode_within_bounds(name, *target, garbage),
                expected,
                "{name}: {garbage:?}"
            );
        }
    }
}

#[test]
fn mutations_of_the_corpus_are_decoded_or_rejected_within_bounds() {
    let _lock = lock();
    for (name, target) in TARGETS {
        let files: Vec<_> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let mut runner =
            TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
        let mutations = mutation::of(files);
        run(&mut runner, &mutations, name, *target);
    }
}

#[test]
fn arbitrary_bytes_are_decoded_or_rejected_within_bounds() {
    let _lock = lock();
    for (name, target) in TARGETS {
        let mut runner =
            TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let bytes = prop::collection::vec(any::<u8>(), 0..2048);
        run(&mut runner, &bytes, name, *target);
    }
}

#[test]
#[ignore = "writes the corpus"]
fn writes_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for seed in seeds::all() {
        let directory = corpus.join(seed.target);
        fs::create_dir_all(&directory).expect("the directory is created");
        fs::write(directory.join(&seed.name), &seed.bytes).expect("the file is written");
    }
}
