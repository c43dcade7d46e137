use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::Duration;

use meridian_agent::driver::{
    Builtin, Driver as _, ExitStatus, Phase, Program, RunningUnit, stop_all,
};
use meridian_domain::{ClusterId, Incarnation};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Machine, call, config, eventually, spec, until, until_ready};

fn pids(units: &[RunningUnit]) -> Vec<Option<u32>> {
    units.iter().map(|unit| unit.pid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn units_survive_their_agent_and_its_next_life_adopts_them_with_their_socket() {
    let machine = Machine::new();
    let mut agent = machine.agent(3);
    eventually("three units answer", || {
        let answering: std::collections::BTreeSet<u64> =
            (0..20).filter_map(|_| call(machine.address()).ok()).collect();
        answering.len() == 3
    })
    .await;
    let mut before = machine.processes();
    before.sort_unstable();
    agent.kill().unwrap();
    agent.wait().unwrap();

    let driver = machine.driver(2).await;
    let units = until_ready(&driver, 3).await;
    let mut adopted: Vec<u32> = pids(&units).into_iter().flatten().collect();
    adopted.sort_unstable();
    assert_eq!(adopted, before);

    // Only with the socket of the others can a fourth listen on their port.
    driver.start(machine.spec(4)).await.unwrap();
    let units = until_ready(&driver, 4).await;
    let found = units[0].pid.unwrap();
    kill_process(Pid::from_raw(found.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    let exited = |units: &[RunningUnit]| matches!(units[0].phase, Phase::Exited(_));
    let units = until(&driver, "the death of an adopted unit is seen", exited).await;
    let Phase::Exited(exit) = &units[0].phase else { unreachable!() };
    assert_eq!(exit.how, ExitStatus::Unknown);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_spawn_leaves_no_unit_too_many() {
    let machine = Machine::new();
    for round in 0..12_u64 {
        let mut agent = machine.agent(2);
        let log = machine.run().join("u1.log");
        eventually("the agent is about to spawn", || log.exists()).await;
        // Spread the blow over the spawn, the start of the process, and the first answers.
        tokio::time::sleep(Duration::from_micros(round * round * 100)).await;
        agent.kill().unwrap();
        agent.wait().unwrap();

        let driver = machine.driver(2 + round).await;
        for incarnation in [1, 2] {
            driver.start(machine.spec(incarnation)).await.unwrap();
        }
        let units = until_ready(&driver, 2).await;
        let mut known: Vec<u32> = pids(&units).into_iter().flatten().collect();
        known.sort_unstable();
        eventually("no other process lives", || {
            let mut living = machine.processes();
            living.sort_unstable();
            living == known
        })
        .await;
        machine.tidy(&driver).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_starts_after_its_agent_died_finds_that_nobody_wants_it() {
    let machine = Machine::new();
    let mut agent = machine.agent_of_late_units(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();

    let driver = machine.driver(2).await;
    assert_eq!(driver.list().await.unwrap(), []);
    File::create(machine.run().join("go")).unwrap();
    eventually("the late unit has ended", || machine.processes().is_empty()).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_unit_does_not_take_the_place_of_the_one_that_the_next_life_spawned() {
    let machine = Machine::new();
    let mut agent = machine.agent_of_late_units(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    let late = machine.processes()[0];
    agent.kill().unwrap();
    agent.wait().unwrap();

    // It holds the old socket until it ends, so the next life is given another port.
    let port = Machine::new().port;
    let mut config = config(&machine.run(), 2);
    let arguments = config.program.arguments.clone();
    let script = "while grep -q . /proc/$LATE/cmdline; do sleep 0.01; done; exec \"$0\" \"$@\""
        .replace("$LATE", &late.to_string());
    let unit = [config.program.path.clone().into_os_string()];
    let shell = ["-c".into(), script.into()].into_iter();
    config.program =
        Program { path: "/bin/sh".into(), arguments: shell.chain(unit).chain(arguments).collect() };
    let driver = Builtin::open(config).await.unwrap();
    driver.start(spec(1, port)).await.unwrap();
    File::create(machine.run().join("go")).unwrap();
    let units = until_ready(&driver, 1).await;
    assert_ne!(units[0].pid, Some(late));
    assert_eq!(machine.processes(), [units[0].pid.unwrap()]);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_unit_that_hangs_is_killed_once_it_is_stopped_and_not_before() {
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit answers", || call(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    let process = Pid::from_raw(machine.processes()[0].try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();

    let mut config = config(&machine.run(), 2);
    config.drain_limit = Duration::from_millis(200);
    let driver = Builtin::open(config).await.unwrap();
    assert_eq!(driver.list().await.unwrap()[0].phase, Phase::Starting);
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_driver_stops_nothing() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    let before = until_ready(&first, 1).await;
    drop(first);
    let second = machine.driver(2).await;
    assert_eq!(second.list().await.unwrap(), before);
    machine.tidy(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_life_of_the_agent_cannot_stop_what_a_newer_one_has() {
    let machine = Machine::new();
    let newer = machine.driver(5).await;
    newer.start(machine.spec(1)).await.unwrap();
    let units = until_ready(&newer, 1).await;
    let mut config = config(&machine.run(), 4);
    config.drain_limit = Duration::from_millis(1);
    let older = Builtin::open(config).await.unwrap();
    let seen = older.list().await.unwrap();
    assert_eq!((seen.len(), &seen[0].phase), (1, &Phase::Starting), "it answered the older one");
    older.stop(Incarnation(1)).await.unwrap();
    let mut probes = 0;
    eventually("many times the older one's patience is over", || {
        probes += 1;
        probes > 20
    })
    .await;
    assert_eq!(pids(&newer.list().await.unwrap()), pids(&units));
    assert!(call(machine.address()).is_ok());
    machine.tidy(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_end_when_the_run_directory_is_deleted_under_them() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    let pid = until_ready(&driver, 1).await[0].pid.unwrap();
    std::fs::remove_dir_all(machine.run()).unwrap();
    until(&driver, "the unit has ended", |units| matches!(units[0].phase, Phase::Exited(_))).await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_data_directory_does_not_matter() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&deep).unwrap();
    let machine = Machine::new();
    let config = config(&deep.join("run"), 1);
    let first = Builtin::open(config.clone()).await.unwrap();
    first.start(spec(1, machine.port)).await.unwrap();
    until_ready(&first, 1).await;
    let second = Builtin::open(config).await.unwrap();
    until_ready(&second, 1).await;
    stop_all(&second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_else_is_left_alone() {
    let machine = Machine::new();
    let ours = machine.driver(1).await;
    ours.start(machine.spec(1)).await.unwrap();
    until_ready(&ours, 1).await;

    let mut other = config(&machine.run(), 9);
    other.cluster = ClusterId("01932f5e-8b1a-7c3d-9e4f-ffffffffffff".parse().unwrap());
    let other = Builtin::open(other).await.unwrap();
    assert_eq!(other.list().await.unwrap(), []);
    stop_all(&other).await.unwrap();
    assert!(call(machine.address()).is_ok());
    machine.tidy(&ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_known_by_what_it_says_where_its_intent_cannot_be_read() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    drop(first);
    std::fs::write(machine.run().join("u1.json"), "damaged").unwrap();
    let second = machine.driver(2).await;
    let units = until_ready(&second, 1).await;
    assert_eq!(units[0].unit, machine.spec(1).unit);
    machine.tidy(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_without_an_answer_is_listed_and_its_end_is_seen() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    let intent = std::fs::read(machine.run().join("u1.json")).unwrap();
    machine.tidy(&first).await;

    std::fs::write(machine.run().join("u1.json"), intent).unwrap();
    let hung = File::open(machine.run().join("u1.json")).unwrap();
    flock(&hung, FlockOperation::LockExclusive).unwrap();
    let second = machine.driver(2).await;
    let units = second.list().await.unwrap();
    assert_eq!((units[0].incarnation, &units[0].phase), (Incarnation(1), &Phase::Starting));
    drop(hung);
    until(&second, "its end is seen", |units| matches!(units[0].phase, Phase::Exited(_))).await;
}
