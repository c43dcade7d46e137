use std::sync::Arc;

use meridian_agent::driver::{Builtin, BuiltinConfig, Driver as _, Traffic};
use meridian_domain::Incarnation;

use super::{Machine, config};
use crate::backend::Backend;
use crate::support::{Variant, configuration, eventually, get, until, until_ready};

/// Number of requests. No API matches them.
const REQUESTS: u64 = 5;

async fn open(machine: &Machine, generation: u64) -> (Builtin, Traffic) {
    let traffic = Traffic::default();
    let config = config(&machine.run(), generation, Variant::Usual);
    let config = BuiltinConfig { traffic: traffic.clone(), ..config };
    (Builtin::open(config).await.unwrap(), traffic)
}

/// Number of requests that a scrape shows, if it has the series.
fn counted(traffic: &Traffic) -> Option<u64> {
    let series = "meridian_gateway_requests_total{service=\"contoso\",api=\"\",incarnation=\"7\",\
                  status=\"4xx\"} ";
    let text = traffic.render();
    text.lines().find_map(|line| line.strip_prefix(series)).map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_do_not_go_back_when_the_agent_restarts_and_vanish_with_their_unit() {
    let machine = Machine::new();
    let (first, traffic) = open(&machine, 1).await;
    first.start(machine.spec(7)).await.unwrap();
    until_ready(&first, 1).await;
    for _ in 0..REQUESTS {
        assert_eq!(get(machine.address(), "/nowhere").unwrap().0, 404);
    }
    eventually("the requests are counted", || counted(&traffic) == Some(REQUESTS)).await;
    drop(first);

    let (second, traffic) = open(&machine, 2).await;
    eventually("the next process run shows the counter", || {
        let counted = counted(&traffic);
        assert!(counted.is_none_or(|counted| counted == REQUESTS), "{counted:?}");
        counted.is_some()
    })
    .await;
    second.stop(Incarnation(7)).await.unwrap();
    until(&second, "the unit has left the list", <[_]>::is_empty).await;
    assert!(!traffic.render().contains("contoso"), "{}", traffic.render());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_finishes_during_the_drain_of_its_unit_is_counted() {
    let machine = Machine::new();
    let (orders, stock) = (Backend::start(), Backend::start());
    let (driver, traffic) = open(&machine, 1).await;
    let mut spec = machine.spec(7);
    let apis = [("/orders", orders.address), ("/stock", stock.address)];
    spec.configuration = Arc::new(configuration(9, &apis));
    driver.start(spec).await.unwrap();
    until_ready(&driver, 1).await;
    let address = machine.address();
    let clients = ["/orders/slow", "/stock/slow"]
        .map(|path| std::thread::spawn(move || get(address, path).unwrap().0));
    let waiting = || (orders.waiting(), stock.waiting()) == (1, 1);
    eventually("both requests are in flight", waiting).await;
    driver.stop(Incarnation(7)).await.unwrap();
    orders.release();
    let series = "api=\"orders\",incarnation=\"7\",status=\"2xx\"} 1\n";
    eventually("the request is counted", || traffic.render().contains(series)).await;
    stock.release();
    assert_eq!(clients.map(|client| client.join().unwrap()), [200, 200]);
    until(&driver, "the unit has left the list", <[_]>::is_empty).await;
}
