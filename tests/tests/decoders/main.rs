//! Every decoder that reads bytes from disk or from peers, with bytes that anybody may have chosen.
//!
//! The targets are those of the fuzzer, in `tests/fuzz`: this program replays its corpus, and then
//! mutations of it, and counts what is allocated meanwhile. To write the corpus anew, after a stored
//! form got a new version:
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

/// Bytes that a decoder may hold however short its input is: what lengths that lie may cost (one MiB
/// for a list within a list, by serde's rule), and what opening a store or building a unit takes.
const FIXED_BYTES: usize = 3 << 20;
/// Bytes that it may hold for each byte of its input.
const BYTES_PER_BYTE: usize = 64;

/// One target at a time: the allocator counts for the whole process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // The first use of a target makes what it needs later on.
    static READY: Once = Once::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    READY.call_once(|| {
        for (name, target) in TARGETS {
            target(&corpus(name)[0].1);
        }
    });
    turn
}

/// Gives `bytes` to the target, and says whether they made sense and how many bytes were held.
fn measured(target: Target, bytes: &[u8]) -> (bool, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let understood = target(bytes);
    (understood, ALLOCATOR.peak_usage().saturating_sub(before))
}

fn within_bounds(name: &str, target: Target, bytes: &[u8]) -> bool {
    let (understood, held) = measured(target, bytes);
    let most = FIXED_BYTES + BYTES_PER_BYTE * bytes.len();
    assert!(held <= most, "{name} holds {held} bytes for {} bytes of input", bytes.len());
    understood
}

/// Runs the target with what `inputs` gives. A failing input is shown as it would be written to a
/// file of the corpus.
fn run(
    runner: &mut TestRunner,
    inputs: &impl Strategy<Value = Vec<u8>>,
    name: &str,
    target: Target,
) {
    let ran = runner.run(inputs, |bytes| {
        within_bounds(name, target, &bytes);
        Ok(())
    });
    match ran {
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
    let mut paths: Vec<_> = files.map(|file| file.expect("is there").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("can be read");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_corpus_is_decoded_or_refused_within_bounds() {
    let _turn = turn();
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (path, bytes) in files {
            // What a decoder once stumbled over is named so, and is to be refused.
            let finding = path.to_string_lossy().contains("finding-");
            let understood = within_bounds(name, *target, &bytes);
            assert_eq!(understood, !finding, "{}", path.display());
        }
    }
}

#[test]
fn what_this_software_writes_is_understood_and_nothing_is_not() {
    let _turn = turn();
    let seeds = seeds::all();
    for (name, target) in TARGETS {
        let mine: Vec<_> = seeds.iter().filter(|seed| seed.target == *name).collect();
        assert!(!mine.is_empty(), "{name} has no seeds");
        for seed in mine {
            let finding = seed.name.starts_with("finding-");
            let understood = within_bounds(name, *target, &seed.bytes);
            assert_eq!(understood, !finding, "{name}/{}", seed.name);
        }
        for nothing in [&b""[..], b"\0", &[0x55; 64]] {
            let expected = match *name {
                // A new node's store has no rows, and rows that nobody asks for are no harm.
                "derived_store" => true,
                // A unit may be told to serve nothing.
                "gateway_configuration" => nothing.is_empty(),
                _ => false,
            };
            assert_eq!(within_bounds(name, *target, nothing), expected, "{name}: {nothing:?}");
        }
    }
}

#[test]
fn mutations_of_the_corpus_are_decoded_or_refused_within_bounds() {
    let _turn = turn();
    for (name, target) in TARGETS {
        let files: Vec<_> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let mut runner =
            TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
        let mutations = mutation::of(files);
        run(&mut runner, &mutations, name, *target);
    }
}

#[test]
fn arbitrary_bytes_are_decoded_or_refused_within_bounds() {
    let _turn = turn();
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
        fs::create_dir_all(&directory).expect("can be made");
        fs::write(directory.join(&seed.name), &seed.bytes).expect("can be written");
    }
}
