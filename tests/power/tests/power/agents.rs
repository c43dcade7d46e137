//! The power is cut while an agent starts and stops units: its generation never goes back, what runs
//! is known, and what was acted on is what the next life acts on.

use meridian_power::lives::{Ending, Watched, said};
use meridian_power::said::Said;
use meridian_power::tree::Tree;

use crate::cuts::saw_all;
use crate::support::{check_all, home, images, programs, seeds};

const STEPS: [&str; 6] =
    ["generation", "opening", "append", "desired set", "unit intent", "release of units"];

#[test]
fn a_cut_anywhere_in_an_agents_first_life_leaves_what_it_acted_on() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.live("agent", &[], &Ending::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    saw_all(&watched, &records);
    let images = images(&watched, &records, |at| if at % 2 == 0 { seeds(at) } else { vec![] });
    let tally = check_all("check-agent", &images, &[]);
    tally.conclude("an agent's first life");
    tally.refuses_no_orderly_disk();
    tally.covers(&STEPS);
}

/// What a killed agent never synced is there for its next life, which must not build on it before
/// it is durable.
#[test]
fn a_cut_after_an_agent_was_killed_leaves_what_its_second_life_acted_on() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.live("agent", &[], &Ending::default());
    let all = said(&watched.records());
    let mut images_of_all = Vec::new();
    let is_kill = |said: &Said| {
        use Said::{Raised, Released, Started, Wanted};
        matches!(said, Raised { .. } | Wanted { .. } | Started { .. } | Released { .. })
    };
    let kills = all.iter().enumerate().filter(|(_, said)| is_kill(said)).step_by(3);
    for (after, last) in kills.map(|(at, said)| (at + 1, said)) {
        let home = crate::support::home();
        let watched = Watched::new(&programs(), home.path(), Tree::default());
        watched.live("agent", &[], &Ending { after: Some(after), fault: None });
        let first = watched.records().len();
        let status = watched.live("agent-later", &[], &Ending::default());
        assert!(status.success(), "after {last:?}: {status:?}");
        let records = watched.records();
        saw_all(&watched, &records);
        images_of_all.extend(images(&watched, &records, |at| match at.checked_sub(first) {
            Some(behind) if behind % 8 == after % 8 => seeds(at),
            // All that was not synced is gone, just when the second life speaks first.
            Some(0) => vec![0],
            _ => vec![],
        }));
    }
    let tally = check_all("check-agent", &images_of_all, &[]);
    tally.conclude("an agent's second life after a kill");
    tally.refuses_no_orderly_disk();
}
