use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use meridian_domain::Generation;
use meridian_gateway::{BuildError, LockError, Unit};
use meridian_proto::hand_over;
use meridian_proto::v1::unit_response::Answer;
use rustix::process::{Pid, Signal, getsid, kill_process};
use tokio::time::timeout;

use crate::support::{
    Caller, Running, config, configuration, eventually, listener, run_directory, spawn,
    spawn_waiting,
};

/// Configures the unit in `directory` as soon as it has its control socket.
fn configure_when_up(directory: &Path) {
    eventually("the control socket is open", || {
        UnixStream::connect(directory.join("u7.sock")).is_ok()
    });
    let answer = crate::control::configure(directory, configuration(1, Vec::new()));
    assert!(matches!(answer, Answer::Configured(_)), "{answer:?}");
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn a_unit_obeys_sigterm_and_nothing_that_is_meant_for_a_terminal() {
    let directory = run_directory();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut unit = spawn(directory.path(), &listener);
    configure_when_up(directory.path());
    let mut caller = Caller::connect(address).unwrap();
    assert!(caller.call("GET", "/status-0123456789abcdef").is_ok());

    assert_eq!(getsid(Some(pid(&unit))).unwrap(), pid(&unit), "it is in a session of its own");
    for ignored in [Signal::INT, Signal::HUP] {
        kill_process(pid(&unit), ignored).unwrap();
        assert!(caller.call("GET", "/").is_ok());
    }
    // Once ours is closed, what refuses callers is that the draining unit let go of its own.
    drop(listener);
    kill_process(pid(&unit), Signal::TERM).unwrap();
    eventually("the port refuses", || Caller::connect(address).is_err());
    assert!(caller.call("GET", "/").unwrap().head.contains("connection: close\r\n"));
    assert_eq!(unit.wait().unwrap().code(), Some(0));
}

/// Sends `descriptor` to whoever listens at `path`.
fn hand(path: &Path, descriptor: &impl AsFd) {
    let stream = UnixStream::connect(path).unwrap();
    hand_over::send(&stream, &[0], descriptor).unwrap();
}

#[test]
fn a_unit_that_inherits_no_listening_socket_takes_the_one_that_it_is_handed() {
    let directory = run_directory();
    let path = directory.path().join("u7.listener");
    let mut unit = spawn_waiting(directory.path(), "u7.listener");
    eventually("it waits", || UnixStream::connect(&path).is_ok());
    // Neither a connection without a socket nor one with something else is what it waits for.
    hand(&path, &std::fs::File::open("/dev/null").unwrap());
    let listener = listener();
    hand(&path, &listener);
    configure_when_up(directory.path());
    let mut caller = Caller::connect(listener.local_addr().unwrap()).unwrap();
    assert!(caller.call("GET", "/status-0123456789abcdef").is_ok());
    assert!(!path.exists());
    kill_process(pid(&unit), Signal::TERM).unwrap();
    assert_eq!(unit.wait().unwrap().code(), Some(0));

    let mut unwanted = spawn_waiting(directory.path(), "u7.listener");
    eventually("it waits", || UnixStream::connect(&path).is_ok());
    kill_process(pid(&unwanted), Signal::TERM).unwrap();
    assert_eq!(unwanted.wait().unwrap().code(), Some(0), "it did not end while it waited");
}

#[test]
fn a_second_process_of_the_same_incarnation_exits_and_harms_nothing() {
    let directory = run_directory();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut first = spawn(directory.path(), &listener);
    configure_when_up(directory.path());
    let mut caller = Caller::connect(address).unwrap();
    let status = |caller: &mut Caller| caller.call("GET", "/status-0123456789abcdef").unwrap().body;
    let identity = status(&mut caller);

    let mut second = spawn(directory.path(), &listener);
    let ended = second.wait().unwrap();
    assert!(!ended.success() && ended.signal().is_none(), "{ended:?}");
    assert_eq!(status(&mut Caller::connect(address).unwrap()), identity);
    assert!(UnixStream::connect(directory.path().join("u7.sock")).is_ok());
    first.kill().unwrap();
    first.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_no_agent_wants_does_not_start() {
    let unit = Running::start();
    let taken = Unit::build(config(unit.directory.path()), listener()).unwrap_err();
    assert!(matches!(taken, BuildError::Lock(LockError::Taken { .. })), "{taken}");
    let empty = tempfile::tempdir().unwrap();
    let unwanted = Unit::build(config(empty.path()), listener()).unwrap_err();
    assert!(matches!(unwanted, BuildError::Lock(LockError::Unwanted { .. })), "{unwanted}");
    let wanted = run_directory();
    let mut config = config(wanted.path());
    config.generation = Generation(2);
    let late = Unit::build(config, listener()).unwrap_err();
    assert!(matches!(late, BuildError::Lock(LockError::Late { .. })), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_lock_file_was_deleted_ends_by_itself() {
    let unit = Running::start();
    std::fs::remove_dir_all(unit.directory.path()).unwrap();
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_directory_was_moved_away_ends_once_an_agent_begins_anew_there() {
    let mut unit = Running::start();
    let place = unit.directory.path().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(&place, elsewhere.path().join("moved")).unwrap();
    let ended = timeout(Duration::from_secs(3), &mut unit.ended).await;
    assert!(ended.is_err(), "the disk may come back");
    std::fs::create_dir(&place).unwrap();
    unit.ended.await.unwrap();
}
