//! Power cuts while an agent starts and stops units: its generation never goes back, its running
//! units are known, and the next process run acts on the same desired units.

use meridian_power::process_run::{RunFaults, Watched, progress};
use meridian_power::progress::Progress;
use meridian_power::tree::Tree;

use crate::cuts::assert_complete;
use crate::support::{check_all, home, images, programs, seeds};

const STEPS: [&str; 6] =
    ["generation", "open", "append", "desired units", "unit intent", "unit release"];

#[test]
fn a_power_cut_anywhere_in_an_agents_first_run_keeps_what_it_acted_on() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.run("agent", &[], &RunFaults::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    assert_complete(&watched, &records);
    let images = images(&watched, &records, |at| if at % 2 == 0 { seeds(at) } else { vec![] });
    let tally = check_all("check-agent", &images, &[]);
    tally.assert_nothing_lost("first run of an agent");
    tally.assert_ordered_disks_accepted();
    tally.assert_covers(&STEPS);
}

/// The next process run finds data that a killed agent never synced, and must not rely on it before
/// it is durable.
#[test]
fn a_power_cut_after_an_agent_was_killed_keeps_what_its_second_run_acted_on() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.run("agent", &[], &RunFaults::default());
    let all = progress(&watched.records());
    let mut images_of_all = Vec::new();
    let is_kill = |step: &Progress| {
        use Progress::{GenerationRaised, Released, Started, Wanted};
        matches!(step, GenerationRaised { .. } | Wanted { .. } | Started { .. } | Released { .. })
    };
    let kills = all.iter().enumerate().filter(|(_, step)| is_kill(step)).step_by(3);
    for (after, last) in kills.map(|(at, step)| (at + 1, step)) {
        let home = crate::support::home();
        let watched = Watched::new(&programs(), home.path(), Tree::default());
        watched.run("agent", &[], &RunFaults { kill_after: Some(after), fault: None });
        let first = watched.records().len();
        let status = watched.run("agent-later", &[], &RunFaults::default());
        assert!(status.success(), "after {last:?}: {status:?}");
        let records = watched.records();
        assert_complete(&watched, &records);
        images_of_all.extend(images(&watched, &records, |at| match at.checked_sub(first) {
            Some(behind) if behind % 8 == after % 8 => seeds(at),
            // Lose everything unsynced just before the second process run reports its first step.
            Some(0) => vec![0],
            _ => vec![],
        }));
    }
    let tally = check_all("check-agent", &images_of_all, &[]);
    tally.assert_nothing_lost("second run of an agent after a kill");
    tally.assert_ordered_disks_accepted();
}
