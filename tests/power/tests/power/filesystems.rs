//! The power is cut for real: a file system in an image is shut down in mid-write, so that all that it
//! had not on its disk is gone, and mounted again.

use std::path::Path;
use std::time::{Duration, Instant};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::lives::Overheard;
use meridian_power::said::Said;

use crate::mounted::{Mounted, run};
use crate::support::programs;

/// A step for which a cut waits has been taken by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the power is cut.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as this is in the directory of the node.
    Created(&'static str),
    /// When so many entries were acknowledged.
    Appended(usize),
}

/// A first life in which the cut is during the creation of something, and later ones.
const LIVES: [&[Moment]; 4] = [
    &[Moment::Created(""), Moment::Appended(30)],
    &[Moment::Created("raft-log"), Moment::Appended(45), Moment::Appended(20)],
    &[Moment::Created("database"), Moment::Appended(11), Moment::Appended(70)],
    &[Moment::Appended(1), Moment::Appended(26), Moment::Appended(33)],
];

impl Moment {
    fn has_come(self, data: &Path, said: &[Said]) -> bool {
        match self {
            Self::Created(name) => data.join(name).exists(),
            Self::Appended(count) => {
                let appended = said.iter().filter(|said| matches!(said, Said::Appended { .. }));
                appended.count() >= count
            }
        }
    }
}

/// One life that ends with the power; what was acknowledged before is noted. What is said while the
/// file system goes down is not: a machine without power says nothing either, and ext4 was seen to let
/// a sync succeed just then whose data was gone afterwards.
fn cut(mounted: &mut Mounted, data: &Path, moment: Moment, expected: &mut Expected) {
    let mut life = Overheard::begin(&programs(), "work", data, &["small"]);
    let began = Instant::now();
    while !moment.has_come(data, &life.said()) {
        assert!(!life.is_over(), "a life ended before {moment:?}: {:?}", life.end());
        assert!(began.elapsed() < PATIENCE, "{moment:?} has not come");
        std::thread::yield_now();
    }
    let path = mounted.path().to_string_lossy().into_owned();
    life.said().iter().for_each(|said| expected.note(said));
    run("xfs_io", &["-x", "-c", "shutdown", &path]).expect("it could be shut down before");
    let (status, said) = life.end();
    assert!(matches!(said.last(), Some(Said::Stopped { .. })), "{status:?}: {:?}", said.last());
    mounted.restart().expect("it can be mounted again");
}

/// Whether this machine can do it; why not is said out loud.
fn is_possible(kind: &str) -> bool {
    let tried = Mounted::image(kind).and_then(|mounted| {
        let path = mounted.path().to_string_lossy().into_owned();
        run("xfs_io", &["-x", "-c", "shutdown", &path])
    });
    if let Err(error) = &tried {
        eprintln!(
            "SKIPPED: no power was cut under {kind}, which takes root, loop devices and the \
             package xfsprogs: {error}"
        );
    }
    tried.is_ok()
}

fn loses_nothing(kind: &str) {
    if !is_possible(kind) {
        return;
    }
    let (mut cuts, mut acknowledged) = (0, 0);
    for moments in LIVES {
        let mut mounted = Mounted::image(kind).expect("it could be had before");
        let data = mounted.path().join("data");
        let mut expected = Expected::default();
        for moment in moments {
            cut(&mut mounted, &data, *moment, &mut expected);
            cuts += 1;
            let verdict = programs().check("check", &data, &expected, &["small"]);
            // In an orderly file system nothing is damaged, so nothing may be refused either.
            assert!(matches!(verdict, Verdict::Whole { .. }), "{kind}, {moment:?}: {verdict:?}");
        }
        acknowledged += expected.entries.len();
    }
    println!("{kind}: {cuts} cuts, all of {acknowledged} acknowledged entries there");
}

#[test]
fn a_cut_under_ext4_loses_nothing_acknowledged() {
    loses_nothing("ext4");
}

#[test]
fn a_cut_under_xfs_loses_nothing_acknowledged() {
    loses_nothing("xfs");
}
