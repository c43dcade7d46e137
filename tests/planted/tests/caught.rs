//! Each planted bug is noticed within a few seeds, and without one nothing is.
//!
//! A bug is chosen once in the life of a process, and a simulation needs one of its own: so every seed
//! runs as a process, a program of this package.

use std::process::{Command, Output};

/// A bug and how it is looked for.
struct Hunt {
    bug: &'static str,
    /// The program of this package, and its arguments.
    check: &'static [&'static str],
    /// Seeds within which it must be noticed.
    seeds: u64,
}

const HUNTS: [Hunt; 10] = [
    Hunt {
        bug: "AcknowledgeBeforeSync",
        check: &["simulated", "--faults", "PowerLoss", "--sync", "400"],
        seeds: 20,
    },
    Hunt {
        bug: "AcknowledgeBeforeCommit",
        check: &["simulated", "--faults", "Partition,PowerLoss"],
        seeds: 20,
    },
    Hunt { bug: "SkipReadIndex", check: &["simulated", "--faults", "Partition"], seeds: 20 },
    Hunt { bug: "ForgetRequests", check: &["simulated", "--faults", "Partition"], seeds: 20 },
    Hunt { bug: "ApplyWithoutBaseCheck", check: &["planted", "log"], seeds: 20 },
    Hunt {
        bug: "AnswerRejectionsFromSpeculation",
        check: &["simulated", "--faults", "Partition"],
        seeds: 20,
    },
    Hunt {
        bug: "RowsBeforeLog",
        check: &["simulated", "--faults", "PowerLoss", "--sync", "400"],
        seeds: 20,
    },
    Hunt {
        bug: "InstallWithoutSync",
        check: &["simulated", "--faults", "Partition,PowerLoss,Snapshot", "--snapshot-after", "10"],
        seeds: 20,
    },
    Hunt { bug: "StopBeforeConfirmedRead", check: &["planted", "units"], seeds: 20 },
    Hunt { bug: "AdoptByPid", check: &["planted", "adoption"], seeds: 1 },
];

/// Runs one seed of a check; without a bug where none is given.
fn run(check: &[&str], seed: u64, bug: Option<&str>) -> Output {
    let (program, arguments) = check.split_first().expect("a check has a program");
    let program = match *program {
        "simulated" => env!("CARGO_BIN_EXE_simulated"),
        _ => env!("CARGO_BIN_EXE_planted"),
    };
    let mut command = Command::new(program);
    command.args(arguments).args(["--seed", &seed.to_string()]).env_remove("MERIDIAN_PLANTED_BUG");
    command.envs(bug.map(|bug| ("MERIDIAN_PLANTED_BUG", bug)));
    command.output().expect("the programs of this package can be started")
}

/// What the program said last: what is wrong, if something is.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().chars().take(300).collect()
}

fn hunt(Hunt { bug, check, seeds }: &Hunt) {
    let caught = (0..*seeds).find_map(|seed| {
        let output = run(check, seed, Some(bug));
        (!output.status.success()).then(|| (seed, said(&output)))
    });
    let Some((seed, what)) = caught else { panic!("{bug} is not noticed within {seeds} seeds") };
    // Otherwise it would not be the bug that was noticed.
    let without = run(check, seed, None);
    assert!(without.status.success(), "seed {seed} fails without {bug}: {}", said(&without));
    println!("{bug}: noticed after {} seeds: {what}", seed + 1);
}

macro_rules! hunts {
    ($($name:ident = $bug:literal;)*) => {
        $(#[test]
        fn $name() {
            hunt(HUNTS.iter().find(|hunt| hunt.bug == $bug).expect("it is looked for"));
        })*
    };
}

hunts! {
    an_acknowledgement_before_the_sync_is_noticed = "AcknowledgeBeforeSync";
    an_acknowledgement_before_the_commit_is_noticed = "AcknowledgeBeforeCommit";
    a_read_without_its_index_is_noticed = "SkipReadIndex";
    a_forgotten_request_is_noticed = "ForgetRequests";
    an_entry_on_another_base_is_noticed = "ApplyWithoutBaseCheck";
    a_rejection_from_speculation_is_noticed = "AnswerRejectionsFromSpeculation";
    rows_ahead_of_the_log_are_noticed = "RowsBeforeLog";
    a_snapshot_that_is_not_synced_is_noticed = "InstallWithoutSync";
    a_stop_without_a_confirmed_read_is_noticed = "StopBeforeConfirmedRead";
    an_adoption_by_pid_is_noticed = "AdoptByPid";
}

#[test]
fn every_bug_is_looked_for() {
    let mut known: Vec<_> =
        meridian_storage::planted::Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect();
    known.extend(["StopBeforeConfirmedRead", "AdoptByPid"].map(str::to_owned));
    known.sort();
    let mut looked_for = HUNTS.map(|hunt| hunt.bug.to_owned());
    looked_for.sort();
    assert_eq!(known, looked_for);
}
