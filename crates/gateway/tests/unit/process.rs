use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use meridian_domain::Generation;
use meridian_gateway::{BuildError, LockError, Unit};
use meridian_proto::fd_passing;
use meridian_proto::v1::UnitState;
use meridian_proto::v1::unit_response::Response;
use rustix::process::{Pid, Signal, getsid, kill_process};
use tokio::time::timeout;

use crate::support::{
    Client, Running, config, configuration, eventually, listener, run_directory, spawn,
    spawn_waiting,
};

/// Configures the unit in `directory` as soon as its control socket is open.
fn configure_when_up(directory: &Path) {
    eventually("the control socket is open", || {
        UnixStream::connect(directory.join("u7.sock")).is_ok()
    });
    let response = crate::control::configure(directory, configuration(1, Vec::new()));
    assert!(matches!(response, Response::Configured(_)), "{response:?}");
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn a_unit_obeys_sigterm_and_ignores_terminal_signals() {
    let directory = run_directory();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut unit = spawn(directory.path(), &listener);
    configure_when_up(directory.path());
    let mut client = Client::connect(address).unwrap();
    assert!(client.request("GET", "/status-0123456789abcdef").is_ok());

    assert_eq!(getsid(Some(pid(&unit))).unwrap(), pid(&unit), "the unit is in its own session");
    for ignored in [Signal::INT, Signal::HUP] {
        kill_process(pid(&unit), ignored).unwrap();
        assert!(client.request("GET", "/").is_ok());
    }
    // Once this listener is closed too, the port refuses connections only if the draining unit
    // closed its own.
    drop(listener);
    kill_process(pid(&unit), Signal::TERM).unwrap();
    eventually("the port refuses connections", || Client::connect(address).is_err());
    assert!(client.request("GET", "/").unwrap().head.contains("connection: close\r\n"));
    assert_eq!(unit.wait().unwrap().code(), Some(0));
}

#[test]
fn a_drain_that_the_agent_did_not_request_ends_its_connection_and_shows_on_the_next_one() {
    let directory = run_directory();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut unit = spawn(directory.path(), &listener);
    configure_when_up(directory.path());
    let mut control = crate::control::Open::to(directory.path());
    assert_eq!(control.state(), UnitState::Serving);
    // An idle connection, for which the drain waits.
    let mut client = Client::connect(address).unwrap();
    assert!(client.request("GET", "/").is_ok());
    kill_process(pid(&unit), Signal::TERM).unwrap();
    control.until_closed();
    let mut control = crate::control::Open::to(directory.path());
    assert_eq!(control.state(), UnitState::Draining);
    assert_eq!(control.state(), UnitState::Draining, "this connection stays open");
    drop(client);
    assert_eq!(unit.wait().unwrap().code(), Some(0));
}

/// Sends `descriptor` over the socket at `path`.
fn send_descriptor(path: &Path, descriptor: &impl AsFd) {
    let stream = UnixStream::connect(path).unwrap();
    fd_passing::send(&stream, &[0], descriptor).unwrap();
}

#[test]
fn a_unit_that_inherits_no_listening_socket_receives_one_over_a_unix_socket() {
    let directory = run_directory();
    let path = directory.path().join("u7.listener");
    let mut unit = spawn_waiting(directory.path(), "u7.listener");
    eventually("the unit waits for a listening socket", || UnixStream::connect(&path).is_ok());
    // The unit ignores a connection without a descriptor and one with another kind of descriptor.
    send_descriptor(&path, &std::fs::File::open("/dev/null").unwrap());
    let listener = listener();
    send_descriptor(&path, &listener);
    configure_when_up(directory.path());
    let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
    assert!(client.request("GET", "/status-0123456789abcdef").is_ok());
    assert!(!path.exists());
    kill_process(pid(&unit), Signal::TERM).unwrap();
    assert_eq!(unit.wait().unwrap().code(), Some(0));

    let mut waiting = spawn_waiting(directory.path(), "u7.listener");
    eventually("the unit waits for a listening socket", || UnixStream::connect(&path).is_ok());
    kill_process(pid(&waiting), Signal::TERM).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0), "the unit did not exit while it waited");
}

#[test]
fn a_second_process_of_the_same_incarnation_exits_without_side_effects() {
    let directory = run_directory();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut first = spawn(directory.path(), &listener);
    configure_when_up(directory.path());
    let mut client = Client::connect(address).unwrap();
    let status =
        |client: &mut Client| client.request("GET", "/status-0123456789abcdef").unwrap().body;
    let identity = status(&mut client);

    let mut second = spawn(directory.path(), &listener);
    let ended = second.wait().unwrap();
    assert!(!ended.success() && ended.signal().is_none(), "{ended:?}");
    assert_eq!(status(&mut Client::connect(address).unwrap()), identity);
    assert!(UnixStream::connect(directory.path().join("u7.sock")).is_ok());
    first.kill().unwrap();
    first.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_no_agent_wants_does_not_start() {
    let unit = Running::start();
    let running = Unit::build(config(unit.directory.path()), listener()).unwrap_err();
    assert!(matches!(running, BuildError::Lock(LockError::AlreadyRunning { .. })), "{running}");
    let empty = tempfile::tempdir().unwrap();
    let missing = Unit::build(config(empty.path()), listener()).unwrap_err();
    assert!(matches!(missing, BuildError::Lock(LockError::Missing { .. })), "{missing}");
    let wanted = run_directory();
    let mut config = config(wanted.path());
    config.generation = Generation(2);
    let stale = Unit::build(config, listener()).unwrap_err();
    assert!(matches!(stale, BuildError::Lock(LockError::StaleGeneration { .. })), "{stale}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_lock_file_was_deleted_drains() {
    let unit = Running::start();
    std::fs::remove_dir_all(unit.directory.path()).unwrap();
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_directory_was_moved_drains_once_a_new_directory_takes_its_place() {
    let mut unit = Running::start();
    let path = unit.directory.path().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(&path, elsewhere.path().join("moved")).unwrap();
    let ended = timeout(Duration::from_secs(3), &mut unit.ended).await;
    assert!(ended.is_err(), "the unit must not drain: the disk may come back");
    std::fs::create_dir(&path).unwrap();
    unit.ended.await.unwrap();
}
