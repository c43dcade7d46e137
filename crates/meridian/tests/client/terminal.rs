//! Progress and confirmation on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use meridian_proto::v1::LocationStatus;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake::{Agent, Reply, conflict, location};
use crate::run::meridian;

/// Runs the binary with a terminal for standard input and standard error. Types `input`, and returns
/// the exit code and everything that the terminal showed.
async fn on_terminal(agent: &Agent, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).expect("there are terminals");
    grantpt(&terminal).expect("belongs to this user");
    unlockpt(&terminal).expect("can be unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("has a name");
    let open = || {
        let opened = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        Stdio::from(opened.expect("can be opened"))
    };
    let mut command = meridian(&agent.endpoints(), arguments);
    let mut child = command
        .stdin(open())
        .stderr(open())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    // The command holds the other end of the terminal, which has to be closed for the end of its text.
    drop(command);
    let mut terminal = File::from(terminal);
    terminal.write_all(input.as_bytes()).expect("can be typed");
    let shown = tokio::task::spawn_blocking(move || {
        let (mut shown, mut part) = (Vec::new(), [0; 1024]);
        while let Ok(length @ 1..) = terminal.read(&mut part) {
            shown.extend_from_slice(&part[..length]);
        }
        String::from_utf8(shown).expect("is text")
    });
    let status = child.wait().await.expect("exits");
    (status.code(), shown.await.expect("does not panic"))
}

#[tokio::test]
async fn a_wait_shows_its_progress_and_its_end() {
    let converging = location("eastus", LocationStatus::Converging, 1, 2);
    let ready = location("eastus", LocationStatus::Ready, 2, 2);
    let agent = Agent::start([Reply::Done]).await.with_locations([converging, ready]);
    let line = ["region", "add", "eastus", "--wait"];
    let (code, shown) = on_terminal(&agent, &line, "").await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\r\u{1b}[Keastus 1/2 ready, "), "{shown:?}");
    assert!(shown.contains("\r\u{1b}[Kconverged in "), "the progress is removed: {shown:?}");
}

#[tokio::test]
async fn a_destructive_command_asks_on_a_terminal() {
    for (input, code, changes) in [("y\n", 0, 2), ("n\n", 1, 1), ("\n", 1, 1)] {
        for command in ["remove", "disable"] {
            let agent = Agent::start([Reply::Done]).await;
            let (exit, shown) = on_terminal(&agent, &["region", command, "eastus"], input).await;
            assert_eq!(exit, Some(code), "{shown}");
            assert!(shown.contains("Continue? [y/N] "), "{shown}");
            assert_eq!(agent.changes().len(), changes, "one is a dry run");
        }
    }
}

#[tokio::test]
async fn a_conflict_while_a_relative_change_is_rehearsed_is_resolved_again() {
    let location = || location("eastus", LocationStatus::Ready, 2, 2);
    let replies = [conflict(), Reply::Done, conflict(), Reply::Done];
    let agent = Agent::start(replies).await.with_locations([location()]);
    let line = ["region", "set", "eastus=+1", "-westus"];
    let (exit, shown) = on_terminal(&agent, &line, "y\n").await;
    assert_eq!(exit, Some(0), "{shown}");
    assert_eq!(shown.matches("Continue? [y/N] ").count(), 1, "{shown}");
    let dry: Vec<_> = agent.changes().iter().map(|(_, context)| context.dry_run).collect();
    assert_eq!(dry, [true, true, false, false]);
}
