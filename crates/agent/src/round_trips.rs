//! Records the round trips from the agent's region to others, for routing.
//!
//! One agent measures for each region, the first by name, and of two regions the first by name records
//! their round trip. A median over half an hour, in which recent samples count more, ignores both
//! outliers and the load of a moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meridian_domain::{Agent, Command, NodeId, RegionName, State, Timestamp, decide};
use meridian_ports::{Ports, Proposal, Requester};
use tokio::time::{Instant, sleep};

/// Interval between samples; each is the median of the last seconds.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Number of samples that are kept: half an hour.
const SAMPLES: usize = 180;
/// Number of samples from which on a median is recorded: five minutes.
const MIN_SAMPLES: usize = 30;
/// Age in samples at which a sample counts half as much as a new one.
const HALF_LIFE: f64 = 30.0;
/// Minimum time between two records of the same pair, so that a path that alternates between two
/// routes does not fill the log.
const RECORD_INTERVAL: Duration = Duration::from_secs(3_600);
/// Timeout of a proposal. The next sample proposes again.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Samples by region, the oldest first.
type Samples = BTreeMap<RegionName, VecDeque<Duration>>;

/// Measures and records round trips, until dropped.
pub async fn record(ports: Ports) {
    let mut samples = Samples::new();
    loop {
        sleep(SAMPLE_INTERVAL).await;
        let medians = ports.cluster.round_trips().medians;
        let command = {
            let state = ports.read.state();
            let Some(own) = measured_region(&state, ports.cluster.node()) else {
                samples.clear();
                continue;
            };
            add(&mut samples, sample(&state, own, &medians));
            command(&state, own, &samples, now())
        };
        if let Some(command) = command {
            let deadline = Instant::now() + PROPOSAL_TIMEOUT;
            let proposal = Proposal { command, requester: Requester::System, deadline };
            if let Err(error) = ports.propose.propose(proposal).await {
                tracing::debug!(%error, "round trips not recorded; retrying");
            }
        }
    }
}

/// Returns the region for which the agent of this node measures; `None` if another one does.
fn measured_region(state: &State, node: NodeId) -> Option<&RegionName> {
    let measurers = measurers(state);
    measurers
        .into_iter()
        .find(|(_, agent)| agent.description.node == node)
        .map(|(region, _)| region)
}

/// The first agent by name in each region.
fn measurers(state: &State) -> BTreeMap<&RegionName, &Agent> {
    let mut first = BTreeMap::new();
    for agent in state.agents.values() {
        first.entry(&agent.description.region).or_insert(agent);
    }
    first
}

/// Returns the round trips to the measurers of the regions that follow `own` by name.
fn sample(
    state: &State,
    own: &RegionName,
    medians: &BTreeMap<NodeId, Duration>,
) -> BTreeMap<RegionName, Duration> {
    let others = measurers(state).into_iter().filter(|(region, _)| *region > own);
    let measured = others.filter_map(|(region, agent)| {
        let median = medians.get(&agent.description.node)?;
        Some((region.clone(), *median))
    });
    measured.collect()
}

/// Adds a sample for each region, and forgets the regions without one: what was measured before an
/// interruption may not hold after it.
fn add(samples: &mut Samples, sample: BTreeMap<RegionName, Duration>) {
    samples.retain(|region, _| sample.contains_key(region));
    for (region, median) in sample {
        let known = samples.entry(region).or_default();
        known.push_back(median);
        if known.len() > SAMPLES {
            known.pop_front();
        }
    }
}

/// Returns the command that records the medians, if the log should change.
fn command(state: &State, own: &RegionName, samples: &Samples, now: Timestamp) -> Option<Command> {
    let is_due = |region: &RegionName| {
        let recorded = state.round_trips.get(&(own.clone(), region.clone()));
        let age = recorded.map(|it| now.0.saturating_sub(it.recorded.0));
        age.is_none_or(|age| age >= RECORD_INTERVAL.as_millis() as u64)
    };
    let settled = samples.iter().filter(|(_, known)| known.len() >= MIN_SAMPLES);
    let measured = settled.filter(|(region, _)| is_due(region)).map(|(region, known)| {
        let micros = weighted_median(known).as_micros();
        (region.clone(), u32::try_from(micros).unwrap_or(u32::MAX))
    });
    let command = Command::RecordRoundTrips { from: own.clone(), measured: measured.collect() };
    // A proposal without an event would be an entry of its own each time.
    decide(state, &command).is_ok_and(|events| !events.is_empty()).then_some(command)
}

/// Returns the median of the samples, each weighted by its age.
fn weighted_median(samples: &VecDeque<Duration>) -> Duration {
    let weight = |age: usize| 0.5_f64.powf(age as f64 / HALF_LIFE);
    let ages = (0..samples.len()).rev();
    let mut weighted: Vec<_> = samples.iter().zip(ages.map(weight)).collect();
    weighted.sort_by_key(|(sample, _)| **sample);
    let half = weighted.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    let median = weighted.iter().find(|(_, weight)| {
        sum += weight;
        sum >= half
    });
    median.map(|(sample, _)| **sample).unwrap_or_default()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use meridian_domain::evolve::evolve;
    use meridian_domain::{Address, AgentDescription, AgentName, ClusterId, DataVersion};
    use uuid::Uuid;

    use super::*;

    fn region(name: &str) -> RegionName {
        RegionName::new(name).expect("valid name")
    }

    /// Returns a cluster with two agents in eastus and one in westeurope, with nodes 1 to 3.
    fn cluster() -> State {
        let description = |name: &str, node: u64, place: &str| AgentDescription {
            name: AgentName::new(name).expect("valid name"),
            node: NodeId(node),
            region: region(place),
            zone: None,
            witness: false,
            client_address: Address::new("127.0.1.1:7400").expect("valid address"),
            peer_address: Address::new("127.0.1.1:7401").expect("valid address"),
            gateway_host: "127.0.1.1".to_owned(),
            supports: DataVersion::SUPPORTED,
        };
        let mut state = State::default();
        let agents = vec![
            description("a", 1, "eastus"),
            description("b", 2, "eastus"),
            description("c", 3, "westeurope"),
        ];
        let cluster = ClusterId(Uuid::from_u128(1));
        apply(&mut state, &Command::BootstrapCluster { cluster, agents });
        state
    }

    fn apply(state: &mut State, command: &Command) {
        for event in decide(state, command).expect("is accepted") {
            let revision = state.header.revision.next();
            evolve(state, revision, &event);
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn samples_of(count: usize, median: Duration) -> Samples {
        let mut samples = Samples::new();
        for _ in 0..count {
            add(&mut samples, [(region("westeurope"), median)].into());
        }
        samples
    }

    #[test]
    fn the_first_agent_of_a_region_measures_and_the_first_region_of_a_pair_records() {
        let state = cluster();
        assert_eq!(measured_region(&state, NodeId(1)), Some(&region("eastus")));
        assert_eq!(measured_region(&state, NodeId(2)), None);
        let medians = [(NodeId(1), ms(9)), (NodeId(2), ms(1)), (NodeId(3), ms(90))].into();
        let to = |own: &str| sample(&state, &region(own), &medians);
        assert_eq!(to("eastus"), [(region("westeurope"), ms(90))].into());
        assert_eq!(to("westeurope"), [].into());
    }

    #[test]
    fn recent_samples_count_more_and_outliers_do_not_count() {
        let old_then_new = |old: usize, new: usize| {
            let samples = std::iter::repeat_n(ms(80), old).chain(std::iter::repeat_n(ms(120), new));
            weighted_median(&samples.collect())
        };
        assert_eq!(old_then_new(60, 10), ms(80));
        assert_eq!(old_then_new(60, 30), ms(120), "five minutes outweigh the ten before them");
        let mut samples: VecDeque<_> = std::iter::repeat_n(ms(80), 20).collect();
        samples.extend(std::iter::repeat_n(ms(5_000), 5));
        assert_eq!(weighted_median(&samples), ms(80));
    }

    #[test]
    fn a_round_trip_is_recorded_if_it_differs_and_at_most_once_an_hour() {
        let mut state = cluster();
        let own = region("eastus");
        let recorded = |state: &State, count, median, now| {
            command(state, &own, &samples_of(count, median), Timestamp(now))
        };
        assert_eq!(recorded(&state, MIN_SAMPLES - 1, ms(140), 0), None, "too few samples");
        assert_eq!(recorded(&state, MIN_SAMPLES, ms(85), 0), None, "about as published");
        let change = recorded(&state, MIN_SAMPLES, ms(140), 0).expect("differs");
        apply(&mut state, &change);
        assert_eq!(recorded(&state, MIN_SAMPLES, ms(84), 3_599_999), None, "recently recorded");
        assert!(recorded(&state, MIN_SAMPLES, ms(84), 3_600_000).is_some());
    }

    #[test]
    fn an_interruption_starts_a_new_measurement() {
        let mut samples = samples_of(MIN_SAMPLES, ms(80));
        add(&mut samples, BTreeMap::new());
        assert!(samples.is_empty());
    }
}
