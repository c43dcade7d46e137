//! Watches: no gaps, no duplicates, and their progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meridian_domain::{Command, Edit, RegionName, ServiceName};
use meridian_ports::ReadError;
use meridian_proto::v1;
use meridian_proto::v1::events_client::EventsClient;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::harness::{World, connect, reason, scale};

const STALE: i32 = v1::Consistency::Stale as i32;
const SOON: Duration = Duration::from_secs(5);

async fn watch(
    world: &World,
    from: u64,
    follow: bool,
    consistency: i32,
) -> Result<Streaming<v1::WatchResponse>, Status> {
    let request = v1::WatchRequest { from, follow, consistency };
    world.events.clone().watch(request).await.map(tonic::Response::into_inner)
}

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> v1::WatchResponse {
    let frame = timeout(SOON, stream.message()).await.expect("a frame comes in time");
    frame.expect("the watch continues").expect("the watch does not end")
}

fn revisions(events: &[v1::Event]) -> Vec<u64> {
    events.iter().map(|event| event.revision).collect()
}

#[tokio::test]
async fn without_follow_a_watch_sends_everything_and_ends() {
    let world = World::with_contoso().await;
    let mut stream = watch(&world, 0, false, 0).await.expect("starts");
    let (mut seen, mut caught_up) = (Vec::new(), 0);
    while let Some(frame) = stream.message().await.expect("continues") {
        assert_eq!(caught_up, 0, "nothing follows the frame with caught_up");
        assert!(!frame.caught_up || frame.events.is_empty());
        assert!(frame.leader_contact.is_some());
        caught_up += u32::from(frame.caught_up);
        seen.extend(revisions(&frame.events));
    }
    assert_eq!((seen, caught_up), ((1..=world.fake.revision()).collect(), 1));
}

#[tokio::test]
async fn a_following_watch_has_no_gaps_and_no_duplicates_under_concurrent_writes() {
    let world = World::with_contoso().await;
    let (start, rounds) = (world.fake.revision(), 150);
    let written = Arc::new(AtomicBool::new(false));
    let writers = [1_u32, 2, 3].map(|offset| {
        let mut services = world.services.clone();
        tokio::spawn(async move {
            for round in 0..rounds {
                let request =
                    crate::harness::change(vec![scale("eastus", (round + offset) % 4 + 1)]);
                services.change_service(request).await.expect("is accepted");
            }
        })
    });
    let watchers =
        [1, start, 7].map(|from| (from, world.events.clone())).map(|(from, mut events)| {
            let (fake, written) = (world.fake.clone(), written.clone());
            tokio::spawn(async move {
                let request = v1::WatchRequest { from, follow: true, consistency: 0 };
                let mut stream = events.watch(request).await.expect("starts").into_inner();
                let (mut expected, mut caught_up) = (from, 0);
                loop {
                    let frame = next(&mut stream).await;
                    assert!(frame.events.len() <= 256);
                    for event in &frame.events {
                        assert_eq!(event.revision, expected);
                        expected += 1;
                    }
                    caught_up += u32::from(frame.caught_up);
                    let idle = frame.events.is_empty() && !frame.caught_up;
                    if idle && written.load(Ordering::SeqCst) {
                        assert_eq!((expected, caught_up), (fake.revision() + 1, 1));
                        break;
                    }
                }
            })
        });
    for writer in writers {
        writer.await.expect("writes to the end");
    }
    written.store(true, Ordering::SeqCst);
    for watcher in watchers {
        timeout(SOON, watcher).await.expect("ends in time").expect("sees everything");
    }
    let mut rest = watch(&world, world.fake.revision(), true, 0).await.expect("starts");
    assert_eq!(revisions(&next(&mut rest).await.events), [world.fake.revision()]);
}

#[tokio::test]
async fn caught_up_is_sent_once_and_followed_by_idle_frames() {
    let mut world = World::with_contoso().await;
    let last = world.fake.revision();
    let mut stream = watch(&world, last, true, 0).await.expect("starts");
    assert_eq!(revisions(&next(&mut stream).await.events), [last]);
    assert!(next(&mut stream).await.caught_up);
    for _ in 0..2 {
        let idle = next(&mut stream).await;
        assert!(idle.events.is_empty() && !idle.caught_up);
        assert_eq!(idle.revision, last);
        assert!(idle.leader_contact.is_some());
    }
    let changed = world.edit(vec![scale("eastus", 3)]).await.expect("is changed");
    let mut seen = Vec::new();
    while seen.len() < changed.events.len() {
        seen.extend(next(&mut stream).await.events);
    }
    assert_eq!(seen, changed.events);
}

#[tokio::test]
async fn a_watch_that_starts_beyond_a_stale_node_waits_for_it() {
    let mut world = World::with_contoso().await;
    let last = world.fake.revision();
    let mut stream = watch(&world, last + 2, true, STALE).await.expect("starts");
    let idle = next(&mut stream).await;
    assert!(idle.events.is_empty() && !idle.caught_up, "the node is behind: {idle:?}");
    let changed = world.edit(vec![scale("eastus", 4)]).await.expect("is changed");
    let (mut seen, mut caught_up) = (Vec::new(), false);
    while !caught_up || seen.last() != Some(&changed.revision) {
        let frame = next(&mut stream).await;
        caught_up |= frame.caught_up;
        seen.extend(revisions(&frame.events));
    }
    assert_eq!(seen, (last + 2..=changed.revision).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_watch_that_starts_beyond_the_end_ends_immediately_unless_it_follows() {
    let world = World::with_contoso().await;
    for from in [world.fake.revision() + 1, u64::MAX] {
        let mut stream = watch(&world, from, false, 0).await.expect("starts");
        assert!(next(&mut stream).await.caught_up);
        assert_eq!(stream.message().await.expect("ends well"), None);
    }
    let mut stream = watch(&world, u64::MAX, true, STALE).await.expect("starts");
    assert!(!next(&mut stream).await.caught_up);
}

#[tokio::test]
async fn trimmed_events_are_out_of_range_with_the_oldest_available() {
    let world = World::with_contoso().await;
    world.fake.trim(3);
    let status = watch(&world, 2, true, 0).await.expect_err("is refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TRIMMED"));
    let info = status.get_details_error_info().expect("has one");
    assert_eq!(info.metadata.get("oldest").map(String::as_str), Some("4"));
    for from in [0, 4] {
        let mut stream = watch(&world, from, true, 0).await.expect("starts");
        assert_eq!(next(&mut stream).await.events[0].revision, 4);
    }
}

#[tokio::test]
async fn a_linearizable_watch_needs_a_quorum_and_a_stale_one_does_not() {
    let world = World::with_contoso().await;
    world.fake.set(|script| script.read = Some(ReadError::NoLeader { waited: SOON }));
    let status = watch(&world, 1, true, 0).await.expect_err("is refused");
    assert_eq!(status.code(), Code::Unavailable);
    let mut stream = watch(&world, 1, true, STALE).await.expect("starts");
    assert_eq!(next(&mut stream).await.events[0].revision, 1);
}

#[tokio::test]
async fn little_is_read_ahead_for_a_slow_reader() {
    let world = World::with_contoso().await;
    let (service, region) = ("contoso".parse(), "japaneast".parse());
    let (service, region) = (service.expect("is a name"), region.expect("is a name"));
    for round in 0..40_000_u16 {
        let edits = vec![Edit::Set { region: RegionName::clone(&region), units: round % 2 + 1 }];
        let service = ServiceName::clone(&service);
        world.fake.happen(Command::ChangeService { service, expected: None, edits });
    }
    // A separate connection: a shared one has shared flow-control windows.
    let mut slow = EventsClient::new(connect(world.address).await);
    let request = v1::WatchRequest { from: 1, follow: false, consistency: 0 };
    let mut slow = slow.watch(request).await.expect("starts").into_inner();
    next(&mut slow).await;
    let before = world.fake.reads.load(Ordering::SeqCst);
    let mut fast = watch(&world, 1, false, 0).await.expect("starts");
    let mut pages = 0;
    while !next(&mut fast).await.caught_up {
        pages += 1;
    }
    let ahead = world.fake.reads.load(Ordering::SeqCst) - before - pages;
    assert!(ahead < pages / 2, "{ahead} of {pages} pages were read ahead for a slow reader");
    let mut expected = 257;
    loop {
        let frame = next(&mut slow).await;
        if frame.caught_up {
            break;
        }
        for event in frame.events {
            assert_eq!(event.revision, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, world.fake.revision() + 1);
}

#[tokio::test]
async fn a_watch_ends_when_the_server_shuts_down() {
    let mut world = World::with_contoso().await;
    let mut stream = watch(&world, world.fake.revision(), true, 0).await.expect("starts");
    next(&mut stream).await;
    world.stop.take().expect("runs").send(()).expect("listens");
    let status = loop {
        match timeout(SOON, stream.message()).await.expect("ends in time") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an end without a status looks like the end of the log"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    drop(stream);
    timeout(SOON, world.server).await.expect("ends in time").expect("ends well");
}
