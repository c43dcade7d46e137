use std::collections::BTreeSet;

use meridian_domain::evolve::evolve;
use meridian_domain::reachability::ProberGroup;
use meridian_domain::{
    Address, AgentDescription, ClusterId, DataVersion, Generation, Incarnation, NodeId, RegionName,
    Revision, Unit, UnitId, UnitPhase,
};
use uuid::Uuid;

use super::*;

const WINDOW: Duration = Duration::from_secs(2);
const REGIONS: [&str; 4] = ["westeurope", "eastus", "southeastasia", "japaneast"];

/// A leader of a cluster with an agent in each region, which counts every 100 ms.
struct World {
    state: State,
    windows: Windows,
    now: Instant,
    time: Timestamp,
    votes: Vec<VoteCount>,
}

impl World {
    fn new() -> Self {
        let description = |(node, name): (u64, &&str)| AgentDescription {
            name: agent(name),
            node: NodeId(node),
            region: region(name),
            zone: None,
            witness: false,
            client_address: Address::new("127.0.0.1:7400").expect("is an address"),
            peer_address: Address::new("127.0.0.1:7401").expect("is an address"),
            gateway_host: "127.0.0.1".to_owned(),
            supports: DataVersion::SUPPORTED,
        };
        let agents = (1..).zip(&REGIONS).map(description).collect();
        let mut world = Self {
            state: State::default(),
            windows: Windows::default(),
            now: Instant::now(),
            time: Timestamp(1_000_000),
            votes: Vec::new(),
        };
        world.apply(&Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents });
        world.start_unit();
        world
    }

    /// Starts a unit of contoso on the agent of the first region.
    fn start_unit(&mut self) {
        let unit = Unit {
            id: UnitId { service: service("contoso"), region: region(REGIONS[0]), slot: 1 },
            incarnation: Incarnation(1),
            agent: agent(REGIONS[0]),
            port: 8080,
            phase: UnitPhase::Ready { pid: None, configuration: Revision(1), refused: None },
        };
        self.state.units.insert((unit.id.clone(), unit.incarnation), unit);
    }

    fn apply(&mut self, command: &Command) {
        self.state.header.time = self.time;
        for event in decide(&self.state, command).expect("the command is accepted") {
            let revision = self.state.header.revision.next();
            evolve(&mut self.state, revision, &event);
        }
    }

    /// Counts once, applies what is due, and returns it in words.
    fn count(&mut self) -> Vec<String> {
        let due = self.windows.due(&self.state, &self.votes, WINDOW, self.now, self.time);
        due.iter().for_each(|command| self.apply(command));
        due.iter().map(in_words).collect()
    }

    /// Counts until something is due, and returns the time that it took, in seconds.
    fn next_due(&mut self, limit: Duration) -> (f64, Vec<String>) {
        let started = self.now;
        while self.now.duration_since(started) < limit {
            let due = self.count();
            if !due.is_empty() {
                return (self.now.duration_since(started).as_secs_f64(), due);
            }
            self.pass(Duration::from_millis(100));
        }
        (self.now.duration_since(started).as_secs_f64(), vec![])
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.time.0 += time.as_millis() as u64;
    }
}

fn in_words(command: &Command) -> String {
    match command {
        Command::LoseGateways(loss) => format!("{} lost x{}", loss.gateways, loss.relapses),
        Command::FindGateways { gateways, .. } => format!("{gateways} found"),
        other => panic!("{other:?} is not about gateways"),
    }
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("is a name")
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("is a name")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("is a name")
}

fn of(name: &str) -> Gateways {
    Gateways::Of(service(name))
}

/// Returns the votes of the other three regions on the agent of the first one.
fn votes(gateways: Gateways, unreachable: usize, reached: usize) -> VoteCount {
    let group = |name: &&str| ProberGroup::Region(region(name));
    let others: Vec<_> = REGIONS[1..].iter().map(group).collect();
    let reached_from: BTreeSet<_> = others[others.len() - reached..].iter().cloned().collect();
    VoteCount {
        agent: agent(REGIONS[0]),
        generation: Generation(0),
        gateways,
        unreachable_from: others[..unreachable].iter().cloned().collect(),
        reached_from,
        groups: others.len(),
    }
}

#[test]
fn a_majority_loses_gateways_once_and_a_minority_never() {
    let mut world = World::new();
    for (unreachable, reached) in [(0, 3), (1, 2), (1, 0)] {
        world.votes = vec![votes(Gateways::All, unreachable, reached)];
        assert_eq!(world.next_due(WINDOW * 10).1, [""; 0], "{unreachable} of 3");
    }
    world.votes = vec![votes(Gateways::All, 2, 0)];
    assert_eq!(world.count(), ["all services lost x0"]);
    world.pass(WINDOW * 2);
    assert_eq!(world.next_due(WINDOW * 10).1, [""; 0], "while it lasts, nothing is written");
}

#[test]
fn the_losses_of_single_services_are_proposed_together_and_once_in_a_window() {
    let mut world = World::new();
    world.votes = vec![votes(of("one"), 2, 0), votes(of("two"), 3, 0), votes(of("three"), 1, 2)];
    assert_eq!(world.count(), ["one lost x0", "two lost x0"]);
    world.votes.push(votes(of("four"), 3, 0));
    let (seconds, due) = world.next_due(WINDOW * 2);
    assert_eq!(due, ["four lost x0"]);
    assert!((2.0..2.2).contains(&seconds), "{seconds}");
    world.votes.push(votes(Gateways::All, 3, 0));
    assert_eq!(world.next_due(WINDOW * 2).1, ["all services lost x0"]);
}

#[test]
fn gateways_are_found_after_a_stable_window_that_doubles_with_each_relapse() {
    let mut world = World::new();
    let mut windows = Vec::new();
    for relapses in 0..7 {
        world.votes = vec![votes(Gateways::All, 3, 0)];
        let (_, lost) = world.next_due(WINDOW * 2);
        assert_eq!(lost, [format!("all services lost x{relapses}")]);
        world.votes = vec![votes(Gateways::All, 0, 2)];
        let (seconds, found) = world.next_due(Duration::from_secs(400));
        assert_eq!(found, ["all services found"]);
        windows.push(seconds.round() as u32);
    }
    assert_eq!(windows, [10, 20, 40, 80, 160, 300, 300]);
    world.pass(Duration::from_secs(3_600));
    world.votes = vec![votes(Gateways::All, 3, 0)];
    assert_eq!(world.count(), ["all services lost x0"], "relapses are forgotten after an hour");
}

#[test]
fn a_loss_ends_without_a_ready_unit_because_nothing_is_probed() {
    let mut world = World::new();
    world.votes = vec![votes(Gateways::All, 3, 0), votes(of("contoso"), 3, 0)];
    assert_eq!(world.count(), ["all services lost x0"]);
    world.votes = vec![votes(Gateways::All, 3, 0)];
    assert_eq!(world.next_due(Duration::from_secs(60)).1, [""; 0], "its unit cannot be reached");
    world.state.units.clear();
    world.votes = vec![votes(Gateways::All, 0, 0)];
    let (seconds, found) = world.next_due(Duration::from_secs(60));
    assert_eq!(found, ["all services found"]);
    assert_eq!(seconds.round() as u32, 10);
    // Only then does a new unit serve, and it is lost again if it cannot be reached.
    world.start_unit();
    world.votes = vec![votes(Gateways::All, 3, 0)];
    assert_eq!(world.next_due(WINDOW * 2).1, ["all services lost x1"]);
}

#[test]
fn an_interruption_or_a_gap_between_counts_starts_the_stable_window_over() {
    let mut world = World::new();
    world.votes = vec![votes(Gateways::All, 3, 0)];
    assert_eq!(world.count().len(), 1);
    let reached = vec![votes(Gateways::All, 1, 2)];
    world.votes = reached.clone();
    assert_eq!(world.next_due(Duration::from_secs(9)).1, [""; 0]);
    world.votes = vec![votes(Gateways::All, 2, 1)];
    assert_eq!(world.count(), [""; 0]);
    world.votes = reached;
    assert_eq!(world.next_due(Duration::from_secs(9)).1, [""; 0]);
    world.pass(MAX_GAP * 2);
    let (seconds, found) = world.next_due(Duration::from_secs(20));
    assert_eq!(found, ["all services found"]);
    assert!(seconds >= 10.0, "{seconds}");
}
