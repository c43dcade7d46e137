//! Real power cuts: a file system in an image is shut down while it is written, so that everything
//! that is not on its disk is lost, and then mounted again.

use std::path::Path;
use std::time::{Duration, Instant};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::process_run::ProcessRun;
use meridian_power::progress::Progress;

use crate::mounted::{Mounted, run};
use crate::support::programs;

/// Timeout for the moment of a power cut.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The moment of a power cut.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as this path exists in the node's directory.
    Created(&'static str),
    /// When this number of entries was acknowledged.
    Appended(usize),
}

/// Power cuts of successive process runs; in most cases the first one happens during the creation
/// of a file.
const CUTS: [&[Moment]; 4] = [
    &[Moment::Created(""), Moment::Appended(30)],
    &[Moment::Created("raft-log"), Moment::Appended(45), Moment::Appended(20)],
    &[Moment::Created("database"), Moment::Appended(11), Moment::Appended(70)],
    &[Moment::Appended(1), Moment::Appended(26), Moment::Appended(33)],
];

impl Moment {
    fn is_reached(self, data: &Path, progress: &[Progress]) -> bool {
        match self {
            Self::Created(name) => data.join(name).exists(),
            Self::Appended(count) => {
                let appended =
                    progress.iter().filter(|step| matches!(step, Progress::Appended { .. }));
                appended.count() >= count
            }
        }
    }
}

/// Runs a process until the power cut, and adds the progress acknowledged before it. Progress
/// reported during the shutdown of the file system is ignored: a machine without power reports
/// nothing either, and ext4 was observed to report success for a sync at that moment although the
/// data was lost.
fn cut(mounted: &mut Mounted, data: &Path, moment: Moment, expected: &mut Expected) {
    let mut process = ProcessRun::start(&programs(), "work", data, &["small"]);
    let began = Instant::now();
    while !moment.is_reached(data, &process.progress()) {
        assert!(!process.has_exited(), "exited before {moment:?}: {:?}", process.wait());
        assert!(began.elapsed() < TIMEOUT, "timed out waiting for {moment:?}");
        std::thread::yield_now();
    }
    let path = mounted.path().to_string_lossy().into_owned();
    process.progress().iter().for_each(|step| expected.add(step));
    run("xfs_io", &["-x", "-c", "shutdown", &path]).expect("the file system can be shut down");
    let (status, progress) = process.wait();
    assert!(
        matches!(progress.last(), Some(Progress::Stopped { .. })),
        "{status:?}: {:?}",
        progress.last()
    );
    mounted.restart().expect("the file system can be mounted again");
}

/// Returns true if this machine supports the test; the reason is printed otherwise.
fn is_supported(kind: &str) -> bool {
    let tried = Mounted::image(kind).and_then(|mounted| {
        let path = mounted.path().to_string_lossy().into_owned();
        run("xfs_io", &["-x", "-c", "shutdown", &path])
    });
    if let Err(error) = &tried {
        eprintln!(
            "SKIPPED: power cuts under {kind} require root, loop devices and the package \
             xfsprogs: {error}"
        );
    }
    tried.is_ok()
}

fn assert_nothing_lost(kind: &str) {
    if !is_supported(kind) {
        return;
    }
    let (mut cuts, mut acknowledged) = (0, 0);
    for moments in CUTS {
        let mut mounted = Mounted::image(kind).expect("the file system can be created");
        let data = mounted.path().join("data");
        let mut expected = Expected::default();
        for moment in moments {
            cut(&mut mounted, &data, *moment, &mut expected);
            cuts += 1;
            let verdict = programs().check("check", &data, &expected, &["small"]);
            // An ordered file system damages nothing, so nothing may be rejected.
            assert!(matches!(verdict, Verdict::Intact { .. }), "{kind}, {moment:?}: {verdict:?}");
        }
        acknowledged += expected.entries.len();
    }
    println!("{kind}: {cuts} power cuts, all {acknowledged} acknowledged entries present");
}

#[test]
fn a_power_cut_under_ext4_loses_nothing_acknowledged() {
    assert_nothing_lost("ext4");
}

#[test]
fn a_power_cut_under_xfs_loses_nothing_acknowledged() {
    assert_nothing_lost("xfs");
}
