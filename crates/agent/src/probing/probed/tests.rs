use meridian_domain::{Generation, NodeId, RegionName};

use super::*;

const WINDOW: Duration = Duration::from_secs(2);
const REACHED: Reached = Reached { names_itself: true };

fn service(number: usize) -> ServiceName {
    ServiceName::new(format!("service-{number}")).expect("is a name")
}

fn plan(services: usize, lost: &[Gateways]) -> Plan {
    let ports = (0..services).map(|number| {
        let port = u16::try_from(8080 + number).expect("is a port");
        (service(number), [port].into())
    });
    Plan {
        node: NodeId(1),
        generation: Generation(1),
        host: "eu.example.net".to_owned(),
        region: RegionName::new("eastus").expect("is a name"),
        ports: ports.collect(),
        lost: lost.iter().cloned().collect(),
        purpose: Purpose::Vote,
    }
}

/// A target on a network where only some services respond, with its own clock.
struct World {
    target: Target,
    now: Instant,
    probes: usize,
    reachable: Box<dyn Fn(&ServiceName) -> bool>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let target = Target::new(plan, WINDOW, now);
        Self { target, now, probes: 0, reachable: Box::new(|_| true) }
    }

    fn lose(&mut self, lost: impl Fn(&ServiceName) -> bool + 'static) {
        self.reachable = Box::new(move |service| !lost(service));
    }

    /// Runs the target for a time, and returns how long it took until `observed` was true.
    fn run_until(
        &mut self,
        limit: Duration,
        observed: impl Fn(&Target, Instant) -> bool,
    ) -> Duration {
        let started = self.now;
        while self.now < started + limit && !observed(&self.target, self.now) {
            self.now = self.target.next_due(self.now).max(self.now + Duration::from_millis(5));
            if let Some((_, gateway)) = self.target.start_probe(self.now) {
                self.probes += 1;
                if (self.reachable)(&gateway.service) {
                    self.target.record_success(&gateway.service, REACHED, self.now);
                }
            }
            self.target.complete_checks(self.now);
        }
        self.now.duration_since(started)
    }

    fn run(&mut self, time: Duration) {
        self.run_until(time, |_, _| false);
    }

    fn observed(&self) -> Vec<(Gateways, Reach)> {
        let observed = self.target.observed(self.now);
        observed.map(|it| it.gateways.into_iter().collect()).unwrap_or_default()
    }
}

#[test]
fn reachable_gateways_cause_no_report_and_are_probed_thirteen_times_in_a_window() {
    let mut world = World::new(plan(5, &[]));
    world.run(WINDOW * 100);
    assert_eq!(world.observed(), []);
    assert!((1_295..=1_305).contains(&world.probes), "{}", world.probes);
}

#[test]
fn an_agent_whose_gateways_all_fail_is_unreachable_after_a_window() {
    let mut world = World::new(plan(5, &[]));
    world.run(WINDOW * 3);
    world.lose(|_| true);
    let took = world.run_until(WINDOW * 3, |target, now| target.observed(now).is_some());
    assert_eq!(world.observed(), [(Gateways::All, Reach::Unreachable)]);
    assert!(took >= WINDOW * 9 / 10 && took <= WINDOW * 11 / 10, "{took:?}");
}

#[test]
fn single_services_are_checked_only_while_the_agent_is_silent() {
    let mut world = World::new(plan(5, &[]));
    let lost = Gateways::Of(service(2));
    world.lose(|it| *it == service(2));
    world.run(WINDOW * 20);
    assert_eq!(world.observed(), [], "the agent itself reports on its units");
    world.target.set_silent(true, world.now);
    world.run(WINDOW * 2);
    assert_eq!(world.observed(), [(lost.clone(), Reach::Unreachable)]);
    world.target.set_silent(false, world.now);
    assert_eq!(world.observed(), []);
}

#[test]
fn a_lost_service_is_checked_until_it_is_found_though_its_agent_responds() {
    let lost = Gateways::Of(service(2));
    let mut world = World::new(plan(5, std::slice::from_ref(&lost)));
    world.lose(|it| *it == service(2));
    world.run(WINDOW * 2);
    assert_eq!(world.observed(), [(lost.clone(), Reach::Unreachable)]);
    world.lose(|_| false);
    world.run(CHECK_INTERVAL * 2);
    assert_eq!(world.observed(), [(lost, Reach::Reached)]);
    assert!(world.target.adopt(&plan(5, &[]), world.now));
    assert_eq!(world.observed(), []);
}

#[test]
fn one_lost_service_of_a_thousand_is_known_within_sixty_seconds_at_a_bounded_rate() {
    let mut world = World::new(plan(1_000, &[]));
    world.target.set_silent(true, world.now);
    world.run(WINDOW * 40);
    let (number, before) = (world.probes, world.now);
    world.lose(|it| *it == service(999));
    let took =
        world.run_until(Duration::from_secs(60), |target, now| target.observed(now).is_some());
    assert_eq!(world.observed(), [(Gateways::Of(service(999)), Reach::Unreachable)]);
    let rate = (world.probes - number) as f64 / world.now.duration_since(before).as_secs_f64();
    assert!(took < Duration::from_secs(60) && rate < 55.0, "{took:?}, {rate} probes/s");
}

#[test]
fn many_lost_services_are_found_one_after_another_while_others_respond() {
    let mut world = World::new(plan(40, &[]));
    world.target.set_silent(true, world.now);
    world.lose(|it| it.as_str() < "service-3");
    let lost = |target: &Target, now| target.observed(now).map_or(0, |it| it.gateways.len());
    let took = world.run_until(Duration::from_secs(60), |target, now| lost(target, now) == 22);
    assert!(took < Duration::from_secs(20), "{took:?}: {:?}", world.observed());
}

#[test]
fn an_unreachable_agent_is_not_checked_service_by_service() {
    let mut world = World::new(plan(40, &[]));
    world.target.set_silent(true, world.now);
    world.run(WINDOW * 3);
    world.lose(|_| true);
    world.run(WINDOW);
    let before = world.probes;
    world.run(WINDOW * 10);
    assert!((125..=135).contains(&(world.probes - before)), "{}", world.probes - before);
    assert_eq!(world.observed(), [(Gateways::All, Reach::Unreachable)]);
}

#[test]
fn a_restarted_or_moved_agent_is_another_target_and_a_changed_port_is_not() {
    let mut target = World::new(plan(2, &[])).target;
    let now = Instant::now();
    let same = plan(2, &[]);
    assert!(target.adopt(&same, now));
    assert!(target.adopt(&plan(3, &[]), now));
    assert_eq!(target.order.len(), 3);
    assert!(!target.adopt(&Plan { generation: Generation(2), ..same.clone() }, now));
    assert!(!target.adopt(&Plan { host: "elsewhere".to_owned(), ..same.clone() }, now));
    assert!(!target.adopt(&Plan { purpose: Purpose::LocalView, ..same }, now));
}

#[test]
fn a_stall_of_the_prober_is_no_evidence() {
    let mut world = World::new(plan(1, &[]));
    world.run(WINDOW * 3);
    world.lose(|_| true);
    world.run(WINDOW * 9 / 10);
    world.now += WINDOW * 2;
    world.target.restart_windows(world.now);
    assert_eq!(world.observed(), []);
    world.run(WINDOW * 9 / 10);
    assert_eq!(world.observed(), []);
    world.run(WINDOW / 5);
    assert_eq!(world.observed(), [(Gateways::All, Reach::Unreachable)]);
}

#[test]
fn probes_for_the_local_view_are_slower() {
    let mut world = World::new(Plan { purpose: Purpose::LocalView, ..plan(1, &[]) });
    world.run(WINDOW * 60);
    assert!((125..=135).contains(&world.probes), "{}", world.probes);
    world.lose(|_| true);
    world.run(WINDOW * 4);
    assert_eq!(world.observed(), []);
    world.run(WINDOW * 3);
    assert_eq!(world.observed(), [(Gateways::All, Reach::Unreachable)]);
}
