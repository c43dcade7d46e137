//! Gateways that linger because clients leave them. Clients find a gateway by names whose addresses they
//! keep for a time to live, so it serves on until that has passed, as if nothing had changed.
//!
//! | gateway | serves on |
//! | --- | --- |
//! | of a location whose gateway was disabled | by its previous configuration |
//! | whose last unit on this agent was released: the region was removed, or the agent drained | by that unit |
//!
//! A unit that is released while another one of its service remains at the same address stops at once. So
//! does one of a gateway that was disabled before, and all units of an agent that the cluster removed. A
//! restart of the agent ends what lingers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meridian_domain::{Configuration, Incarnation, ServiceName};
use tokio::time::Instant;

use crate::desired::{Desired, DesiredUnit};

/// Gateways of this agent that linger.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// Time at which each released unit may stop.
    units: BTreeMap<Incarnation, Instant>,
    /// Configurations by which disabled gateways serve on, and their end.
    disabled: BTreeMap<ServiceName, (Arc<Configuration>, Instant)>,
}

impl Lingering {
    /// Observes that `new` replaces `old` as the set of this agent.
    pub(crate) fn observe(&mut self, old: &Desired, new: &Desired, now: Instant) {
        let end = now + new.linger;
        let mut units = BTreeMap::new();
        let place = |unit: &DesiredUnit| (unit.unit.service.clone(), unit.port);
        let wanted: BTreeSet<_> = new.units.values().filter(|it| it.wanted).map(place).collect();
        let served = |unit: &DesiredUnit| {
            let before = old.units.get(&unit.incarnation).is_some_and(|unit| unit.wanted);
            let newest = old.configurations.get(&unit.unit.service);
            let configuration = self.configuration(&unit.unit.service, now).or(newest);
            before && configuration.is_some_and(|configuration| configuration.enabled)
        };
        for unit in new.units.values().filter(|unit| !unit.wanted) {
            let begins = !new.linger.is_zero() && served(unit) && !wanted.contains(&place(unit));
            let end = self.stop_at(unit.incarnation).or(begins.then_some(end));
            units.extend(end.map(|end| (unit.incarnation, end)));
        }
        self.units = units;
        for (service, configuration) in &new.configurations {
            if configuration.enabled {
                self.disabled.remove(service);
            } else if !new.linger.is_zero()
                && let Some(old) = old.configurations.get(service).filter(|old| old.enabled)
            {
                self.disabled.insert(service.clone(), (Arc::clone(old), end));
            }
        }
        self.disabled.retain(|service, _| new.configurations.contains_key(service));
    }

    /// Returns the time at which a released unit may stop; `None` for at once.
    pub(crate) fn stop_at(&self, incarnation: Incarnation) -> Option<Instant> {
        self.units.get(&incarnation).copied()
    }

    /// Returns the configuration by which the units of a service serve on at `now`; `None` if they
    /// serve the newest one.
    pub(crate) fn configuration(
        &self,
        service: &ServiceName,
        now: Instant,
    ) -> Option<&Arc<Configuration>> {
        let (configuration, end) = self.disabled.get(service)?;
        (*end > now).then_some(configuration)
    }

    /// Returns the earliest end after `now`.
    pub(crate) fn next_end(&self, now: Instant) -> Option<Instant> {
        let ends = self.disabled.values().map(|(_, end)| *end);
        ends.chain(self.units.values().copied()).filter(|end| *end > now).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::time::Duration;

    use meridian_domain::{RegionName, Revision, UnitId};

    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    fn service() -> ServiceName {
        ServiceName::new("contoso").unwrap()
    }

    /// Units by incarnation, with whether they are wanted, and whether the gateway is enabled.
    fn desired(units: &[(u64, bool)], enabled: bool) -> Desired {
        let unit = |(number, wanted): &(u64, bool)| {
            let region = RegionName::new("westeurope").unwrap();
            let unit = UnitId { service: service(), region, slot: 1 };
            let incarnation = Incarnation(*number);
            (incarnation, DesiredUnit { unit, incarnation, port: 8080, wanted: *wanted })
        };
        let revision = Revision(units.len() as u64);
        let configuration = Configuration { revision, enabled, ..Configuration::default() };
        Desired {
            units: units.iter().map(unit).collect(),
            configurations: [(service(), Arc::new(configuration))].into(),
            linger: TTL,
            ..Desired::default()
        }
    }

    #[test]
    fn the_last_unit_of_a_service_stops_after_the_time_to_live() {
        let mut lingering = Lingering::default();
        let (now, one) = (Instant::now(), Incarnation(1));
        let two = desired(&[(1, true), (2, true)], true);
        let scaled = desired(&[(1, false), (2, true)], true);
        lingering.observe(&two, &scaled, now);
        assert_eq!((lingering.stop_at(one), lingering.next_end(now)), (None, None));
        let removed = desired(&[(2, false)], true);
        lingering.observe(&scaled, &removed, now);
        assert_eq!(lingering.stop_at(Incarnation(2)), Some(now + TTL));
        // A later change does not delay it, nor does a new unit at its address end it.
        lingering.observe(&removed, &removed, now + TTL / 2);
        let added = desired(&[(2, false), (3, true)], true);
        lingering.observe(&removed, &added, now + TTL / 2);
        assert_eq!(lingering.next_end(now), Some(now + TTL));
        assert_eq!(lingering.next_end(now + TTL), None);
        lingering.observe(&removed, &desired(&[], true), now);
        assert_eq!(lingering.stop_at(Incarnation(2)), None);
    }

    #[test]
    fn the_unit_on_a_previous_port_lingers_and_one_of_a_disabled_gateway_does_not() {
        let (now, one) = (Instant::now(), Incarnation(1));
        let before = desired(&[(1, true)], true);
        let mut moved = desired(&[(1, false), (2, true)], true);
        moved.units.get_mut(&Incarnation(2)).unwrap().port = 9090;
        let mut lingering = Lingering::default();
        lingering.observe(&before, &moved, now);
        assert_eq!(lingering.stop_at(one), Some(now + TTL));
        let mut lingering = Lingering::default();
        lingering.observe(&desired(&[(1, true)], false), &desired(&[(1, false)], false), now);
        assert_eq!(lingering.stop_at(one), None);
    }

    #[test]
    fn a_disabled_gateway_serves_its_previous_configuration_until_the_time_to_live_has_passed() {
        let mut lingering = Lingering::default();
        let now = Instant::now();
        let (enabled, disabled) = (desired(&[(1, true)], true), desired(&[(1, true)], false));
        lingering.observe(&enabled, &disabled, now);
        lingering.observe(&disabled, &disabled, now + TTL / 2);
        let served = |at| lingering.configuration(&service(), at).map(|it| it.enabled);
        assert_eq!((served(now), served(now + TTL)), (Some(true), None));
        // Its region is removed before that: the unit lingers as well.
        lingering.observe(&disabled, &desired(&[(1, false)], false), now);
        assert_eq!(lingering.stop_at(Incarnation(1)), Some(now + TTL));
        lingering.observe(&disabled, &enabled, now);
        assert_eq!(lingering.configuration(&service(), now), None);
    }

    #[test]
    fn a_gateway_that_was_disabled_before_does_not_serve_again() {
        let mut lingering = Lingering::default();
        let disabled = desired(&[(1, true)], false);
        lingering.observe(&Desired::default(), &disabled, Instant::now());
        assert_eq!(lingering.next_end(Instant::now()), None);
    }
}
