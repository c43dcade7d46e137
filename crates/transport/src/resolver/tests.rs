use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::*;
use crate::settings::CLIENT;
use crate::{ConnectError, Dialer, connect};

/// Resolver whose lookup number `n`, from 1, takes the time and has the result of `lookup(n)`, and
/// the number of lookups.
fn resolver(
    lookup: impl Fn(usize) -> (Duration, io::Result<Vec<SocketAddr>>) + Send + Sync + 'static,
) -> (Resolver, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let resolver = Resolver::new(move |_| {
        let (time, found) = lookup(counter.fetch_add(1, Ordering::Relaxed) + 1);
        async move {
            sleep(time).await;
            found
        }
        .boxed()
    });
    (resolver, count)
}

fn address(last: u8) -> SocketAddr {
    ([127, 0, 0, last], 0).into()
}

async fn resolve(resolver: &Resolver) -> Found {
    resolver.clone().resolve("agent.example".to_owned()).await
}

#[tokio::test(start_paused = true)]
async fn a_lookup_outlives_the_attempt_that_started_it() {
    let (resolver, count) = resolver(|_| (Duration::from_secs(5), Ok(vec![address(1)])));
    for _ in 0..10 {
        timeout(Duration::from_millis(100), resolve(&resolver)).await.expect_err("is in progress");
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn known_addresses_are_used_at_once_while_a_lookup_refreshes_them() {
    let slow = Duration::from_secs(5);
    let (resolver, _) = resolver(move |n| match n {
        1 => (Duration::ZERO, Ok(vec![address(1)])),
        _ => (slow, Ok(vec![address(2)])),
    });
    assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
    sleep(REFRESH_AFTER).await;
    let started = Instant::now();
    assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
    assert_eq!(started.elapsed(), Duration::ZERO);
    sleep(slow + Duration::from_millis(1)).await;
    assert_eq!(resolve(&resolver).await, Ok(vec![address(2)]));
}

#[tokio::test(start_paused = true)]
async fn old_addresses_are_used_only_if_the_lookup_is_slow() {
    let slow = STALE_WAIT * 2;
    let (resolver, _) = resolver(move |n| match n {
        1 => (Duration::ZERO, Ok(vec![address(1)])),
        2 => (STALE_WAIT / 2, Ok(vec![address(2)])),
        _ => (slow, Ok(vec![address(3)])),
    });
    assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
    sleep(STALE_AFTER).await;
    assert_eq!(resolve(&resolver).await, Ok(vec![address(2)]));
    sleep(STALE_AFTER).await;
    let started = Instant::now();
    assert_eq!(resolve(&resolver).await, Ok(vec![address(2)]));
    assert!(started.elapsed() < slow);
    sleep(slow).await;
    assert_eq!(resolve(&resolver).await, Ok(vec![address(3)]));
}

#[tokio::test(start_paused = true)]
async fn the_last_addresses_survive_failed_lookups() {
    let (resolver, count) = resolver(|n| match n {
        2 => (Duration::ZERO, Ok(vec![address(1)])),
        n if n % 2 == 0 => (Duration::ZERO, Ok(Vec::new())),
        _ => (Duration::ZERO, Err(io::Error::other("temporary failure in name resolution"))),
    });
    let error = resolve(&resolver).await.expect_err("no address is known");
    assert_eq!(error.to_string(), "temporary failure in name resolution");
    for _ in 0..10 {
        assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
        sleep(REFRESH_AFTER).await;
    }
    assert!(count.load(Ordering::Relaxed) > 5);
}

#[test]
fn a_lookup_that_ended_with_its_runtime_is_repeated_by_another_one() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().expect("is built")
    };
    let (resolver, _) = resolver(|n| match n {
        1 => (Duration::ZERO, Ok(vec![address(1)])),
        2 => (Duration::from_secs(60), Ok(vec![address(2)])),
        _ => (Duration::ZERO, Ok(vec![address(3)])),
    });
    let other = runtime();
    assert_eq!(other.block_on(resolve(&resolver)), Ok(vec![address(1)]));
    let ended = runtime();
    ended.block_on(async {
        sleep(REFRESH_AFTER).await;
        assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
    });
    drop(ended);
    other.block_on(async {
        sleep(REFRESH_AFTER).await;
        assert_eq!(resolve(&resolver).await, Ok(vec![address(1)]));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(resolve(&resolver).await, Ok(vec![address(3)]));
    });
}

#[tokio::test(start_paused = true)]
async fn the_number_of_names_is_bounded() {
    let (resolver, _) = resolver(|_| (Duration::ZERO, Ok(vec![address(1)])));
    for n in 0..3 * MAX_NAMES {
        resolver.clone().resolve(format!("{n}.example")).await.expect("is resolved");
    }
    assert!(resolver.names().len() <= MAX_NAMES);
}

#[tokio::test]
async fn the_addresses_of_a_name_are_tried_in_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("is bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut serving = h2_preface(stream).await;
        serving.accept().await;
    });
    // Nothing listens on the first two; the first is IPv6.
    let unreachable: SocketAddr = "[::1]:0".parse().expect("is an address");
    let (resolver, _) =
        resolver(move |_| (Duration::ZERO, Ok(vec![unreachable, address(2), address(1)])));
    let dialer = Dialer::resolving(resolver);
    let name = format!("agent.example:{port}");
    connect(&dialer, name, &CLIENT, Duration::from_secs(5)).await.expect("is connected");
}

#[tokio::test]
async fn a_slow_lookup_delays_the_first_connection_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("is bound").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            tokio::spawn(async move { h2_preface(stream).await.accept().await });
        }
    });
    let (resolver, _) = resolver(|_| (Duration::from_millis(300), Ok(vec![address(1)])));
    let dialer = Dialer::resolving(resolver);
    let limit = Duration::from_millis(200);
    let first = connect(&dialer, format!("a.example:{port}"), &CLIENT, limit).await;
    assert_eq!(first.expect_err("the lookup is slower"), ConnectError::TimedOut { limit });
    let second = connect(&dialer, format!("a.example:{port}"), &CLIENT, limit).await;
    second.expect("the lookup of the first attempt continued");
    sleep(REFRESH_AFTER).await;
    let third = connect(&dialer, format!("a.example:{port}"), &CLIENT, limit).await;
    third.expect("the known addresses are used");
}

async fn h2_preface(
    stream: tokio::net::TcpStream,
) -> h2::server::Connection<tokio::net::TcpStream, bytes::Bytes> {
    h2::server::handshake(stream).await.expect("the client speaks HTTP/2")
}
