//! Faults of the network between agents.

use std::time::Duration;

use meridian_testkit::process::network::Rule;
use tokio::time::sleep;

use super::{ATTEMPTS, ActiveFault, Injector};
use crate::chaos::schedule::Kind;
use crate::chaos::{clients, effects};

/// Fraction of packets that are lost, duplicated or reordered.
const FRACTION: f64 = 0.3;
/// Latency of delayed packets.
const DELAY: Duration = Duration::from_millis(100);
/// One direction of a link between continents: with its jitter, 150 ms on average.
const LONG_LINK: Rule = Rule {
    delay: Duration::from_millis(125),
    jitter: Duration::from_millis(50),
    loss: 0.01,
    ..Rule::NONE
};

impl Injector {
    pub(super) async fn partition(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        self.isolate(member)?;
        self.wait(member, duration, restart).await?;
        self.heal_network(fault).await;
        Ok(())
    }

    /// Waits for `duration`, and optionally restarts an agent halfway.
    pub(super) async fn wait(
        &self,
        member: usize,
        duration: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        sleep(duration / 2).await;
        if restart {
            self.cluster.kill(member)?;
            self.cluster.start_member(member)?;
        }
        sleep(duration / 2).await;
        Ok(())
    }

    pub(super) async fn region(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let region = self.cluster.members[member].region;
        self.retry_until_accepted(member, &clients::set_units(region, 1)).await?;
        self.isolate(member)?;
        // The outcome of the removal does not matter: after the partition, the location has changed
        // anyway.
        self.client.change(member + 1, &clients::remove_region(region), ATTEMPTS).await?;
        sleep(duration).await;
        self.retry_until_accepted(member + 1, &clients::set_units(region, 1)).await?;
        self.heal_network(fault).await;
        Ok(())
    }

    fn isolate(&self, member: usize) -> anyhow::Result<()> {
        for other in self.others(member) {
            self.cut(member, other)?;
            self.cut(other, member)?;
        }
        Ok(())
    }

    pub(super) async fn one_way(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        inbound: bool,
    ) -> anyhow::Result<()> {
        for other in self.others(member) {
            let (from, to) = if inbound { (other, member) } else { (member, other) };
            self.cut(from, to)?;
        }
        sleep(duration).await;
        self.heal_network(fault).await;
        Ok(())
    }

    /// Delays, duplicates, reorders or drops packets between agents.
    pub(super) async fn degrade(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        let rule = match fault.kind {
            Kind::Delay => Rule { delay: DELAY, ..Rule::default() },
            Kind::Duplicate => Rule { duplication: FRACTION, ..Rule::default() },
            Kind::Reorder => Rule { reordering: FRACTION, ..Rule::default() },
            Kind::LongLinks => LONG_LINK,
            _ => Rule { loss: FRACTION, ..Rule::default() },
        };
        for from in 0..self.cluster.members.len() {
            for to in self.others(from) {
                if fault.kind != Kind::Delay || [from, to].contains(&member) {
                    self.rule(from, to, rule)?;
                }
            }
        }
        self.wait(member, duration, restart).await?;
        self.heal_network(fault).await;
        Ok(())
    }

    fn cut(&self, from: usize, to: usize) -> anyhow::Result<()> {
        self.rule(from, to, Rule::CUT)
    }

    /// Sets a rule; agents of the network are numbered from 1.
    fn rule(&self, from: usize, to: usize, rule: Rule) -> anyhow::Result<()> {
        self.cluster.network().set(u8::try_from(from)? + 1, u8::try_from(to)? + 1, rule)
    }

    /// Removes a network fault once it had an effect: agents that are just starting send nothing.
    async fn heal_network(&self, fault: &ActiveFault) {
        let network = self.cluster.network();
        self.record_effect(fault, effects::network_effect(network, fault.kind).await);
        network.heal();
    }
}
