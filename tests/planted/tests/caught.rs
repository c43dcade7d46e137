//! Each planted bug is detected within a few seeds, and nothing is detected without it.
//!
//! A bug is selected once per process, and a simulation needs its own process. Every seed therefore
//! runs in a new process of a program of this package.

use std::process::{Command, Output};

/// A planted bug, and the check that detects it.
struct Planted {
    bug: &'static str,
    /// Program of this package, and its arguments.
    check: &'static [&'static str],
    /// Number of seeds within which it must be detected.
    seeds: u64,
}

const PLANTED: [Planted; 10] = [
    Planted {
        bug: "AcknowledgeBeforeSync",
        check: &["simulated", "--faults", "PowerLoss", "--sync", "400"],
        seeds: 20,
    },
    Planted {
        bug: "AcknowledgeBeforeCommit",
        check: &["simulated", "--faults", "Partition,PowerLoss"],
        seeds: 20,
    },
    Planted { bug: "SkipReadIndex", check: &["simulated", "--faults", "Partition"], seeds: 20 },
    Planted { bug: "ForgetRequests", check: &["simulated", "--faults", "Partition"], seeds: 20 },
    Planted { bug: "ApplyWithoutBaseCheck", check: &["planted", "log"], seeds: 20 },
    Planted {
        bug: "AnswerRejectionsFromSpeculation",
        check: &["simulated", "--faults", "Partition"],
        seeds: 20,
    },
    Planted {
        bug: "RowsBeforeLog",
        check: &["simulated", "--faults", "PowerLoss", "--sync", "200"],
        seeds: 20,
    },
    Planted {
        bug: "InstallWithoutSync",
        check: &["simulated", "--faults", "Partition,PowerLoss,Snapshot", "--snapshot-after", "10"],
        seeds: 20,
    },
    Planted { bug: "StopBeforeConfirmedRead", check: &["planted", "units"], seeds: 20 },
    Planted { bug: "AdoptByPid", check: &["planted", "adoption"], seeds: 1 },
];

/// Runs one seed of a check, with or without a bug.
fn run(check: &[&str], seed: u64, bug: Option<&str>) -> Output {
    let (program, arguments) = check.split_first().expect("a check has a program");
    let program = match *program {
        "simulated" => env!("CARGO_BIN_EXE_simulated"),
        _ => env!("CARGO_BIN_EXE_planted"),
    };
    let mut command = Command::new(program);
    command.args(arguments).args(["--seed", &seed.to_string()]).env_remove("MERIDIAN_PLANTED_BUG");
    command.envs(bug.map(|bug| ("MERIDIAN_PLANTED_BUG", bug)));
    command.output().expect("the program can be run")
}

/// Returns the last output line: the violation, if there is one.
fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().chars().take(300).collect()
}

fn assert_detected(Planted { bug, check, seeds }: &Planted) {
    let detected = (0..*seeds).find_map(|seed| {
        let output = run(check, seed, Some(bug));
        (!output.status.success()).then(|| (seed, last_line(&output)))
    });
    let Some((seed, what)) = detected else {
        panic!("{bug} was not detected within {seeds} seeds")
    };
    // Without the bug the seed must pass: otherwise something else was detected.
    let without = run(check, seed, None);
    assert!(without.status.success(), "seed {seed} fails without {bug}: {}", last_line(&without));
    println!("{bug}: detected after {} seeds: {what}", seed + 1);
}

macro_rules! planted {
    ($($name:ident = $bug:literal;)*) => {
        $(#[test]
        fn $name() {
            let planted = PLANTED.iter().find(|planted| planted.bug == $bug);
            assert_detected(planted.expect("the bug has a check"));
        })*
    };
}

planted! {
    an_acknowledgement_before_the_sync_is_detected = "AcknowledgeBeforeSync";
    an_acknowledgement_before_the_commit_is_detected = "AcknowledgeBeforeCommit";
    a_read_without_its_index_is_detected = "SkipReadIndex";
    a_forgotten_request_is_detected = "ForgetRequests";
    an_entry_on_another_base_is_detected = "ApplyWithoutBaseCheck";
    a_rejection_from_speculation_is_detected = "AnswerRejectionsFromSpeculation";
    rows_ahead_of_the_log_are_detected = "RowsBeforeLog";
    an_unsynced_snapshot_is_detected = "InstallWithoutSync";
    a_stop_without_a_confirmed_read_is_detected = "StopBeforeConfirmedRead";
    an_adoption_by_pid_is_detected = "AdoptByPid";
}

#[test]
fn every_bug_has_a_check() {
    let mut known: Vec<_> =
        meridian_storage::planted::Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect();
    known.extend(["StopBeforeConfirmedRead", "AdoptByPid"].map(str::to_owned));
    known.sort();
    let mut checked = PLANTED.map(|planted| planted.bug.to_owned());
    checked.sort();
    assert_eq!(known, checked);
}
