//! Impact of draining or removing an agent on its units, shown before it happens.

use std::collections::BTreeSet;
use std::fmt;

use meridian_domain::Event;
use meridian_proto::v1;
use meridian_wording::count;

use super::confirm;
use super::contract;
use super::effect::Effect;
use super::explain::explain;
use super::failover::RequestKind;
use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::{EventView, UnitView};
use crate::exit;

/// State of a unit that finishes its requests and then stops, as its agent reported it last.
const DRAINING: &str = "draining";

/// Asks the user to confirm `what`, with its impact on the units of `agent`. A dry run prints the
/// impact without asking.
///
/// # Errors
/// Same as [`confirm::confirm`], and if the impact cannot be determined.
pub async fn confirm(session: &Session, agent: &str, what: &str) -> Result<(), Failure> {
    if session.options.dry_run {
        // The response has the regions without capacity.
        let impact = Impact { without_capacity: BTreeSet::new(), ..predict(session, agent).await? };
        exit::message(format_args!("agent {agent}: {impact}"));
        return Ok(());
    }
    if !confirm::can_ask(session) {
        return confirm::confirm(session, what);
    }
    confirm::confirm(session, &format!("{what}: {}", predict(session, agent).await?))
}

/// Predicts the impact by a dry run of a removal: a drain places the same units in the same way.
async fn predict(session: &Session, agent: &str) -> Result<Impact, Failure> {
    let context =
        v1::ChangeContext { request_id: String::new(), dry_run: true, ..session.context() };
    let request = v1::RemoveAgentRequest { context: Some(context), agent: agent.to_owned() };
    let info = session.request_info(RequestKind::Read, None);
    let sending = session.client.send(RequestKind::Read, request, async |channel, request| {
        contract::cluster(channel).remove_agent(request).await
    });
    let events = sending.await.map_err(|error| explain(error, &info))?.events;
    let events: Vec<Event> =
        events.into_iter().filter_map(|event| EventView::from(event).event).collect();
    let assigned = events.iter().filter_map(|event| match Effect::of(event) {
        Effect::AssignsUnit(unit) => Some(unit.to_string()),
        Effect::StartsRollout | Effect::None => None,
    });
    let assigned = assigned.collect();
    Ok(Impact::of(agent, &lookup::units(session, "").await?, &assigned))
}

/// Impact on the units of one agent.
#[derive(Debug, PartialEq, Eq)]
struct Impact {
    /// Number of units that move to other agents.
    moving: u32,
    /// Number of units that stop.
    stopping: u32,
    /// Services, each with a region in which it has no capacity left.
    without_capacity: BTreeSet<String>,
}

impl Impact {
    /// Computes the impact if the agent is gone and the `assigned` units get another agent.
    fn of(agent: &str, all: &[UnitView], assigned: &BTreeSet<String>) -> Self {
        let wanted = || all.iter().filter(|unit| unit.reported_state != DRAINING);
        let own = wanted().filter(|unit| unit.agent == agent);
        let has_another_agent =
            |unit: &UnitView| wanted().any(|other| other.agent != agent && other.unit == unit.unit);
        let (moving, stopping): (Vec<_>, Vec<_>) =
            own.partition(|unit| assigned.contains(&unit.unit) || has_another_agent(unit));
        let place = |unit: &UnitView| (unit.service.clone(), unit.region.clone());
        let others = wanted().filter(|unit| unit.agent != agent);
        let served: BTreeSet<_> = others.chain(moving.iter().copied()).map(place).collect();
        let lost = stopping.iter().map(|unit| place(unit)).filter(|lost| !served.contains(lost));
        let count = |units: usize| u32::try_from(units).unwrap_or(u32::MAX);
        Self {
            moving: count(moving.len()),
            stopping: count(stopping.len()),
            without_capacity: lost
                .map(|(service, region)| format!("{service} in {region}"))
                .collect(),
        }
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moves = format!("{} moving to other agents", count(self.moving, "unit"));
        let stops =
            format!("{} stopping: no other agent can run them", count(self.stopping, "unit"));
        match (self.moving, self.stopping) {
            (0, 0) => return f.write_str("no units"),
            (_, 0) => f.write_str(&moves)?,
            (0, _) => f.write_str(&stops)?,
            (_, _) => write!(f, "{moves}, {stops}")?,
        }
        if !self.without_capacity.is_empty() {
            let places: Vec<&str> = self.without_capacity.iter().map(String::as_str).collect();
            write!(f, "; no capacity left for {}", places.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, agent: &str, state: &str) -> UnitView {
        let parts: Vec<&str> = name.split('/').collect();
        UnitView::from(v1::Unit {
            unit: name.to_owned(),
            service: parts[0].to_owned(),
            region: parts[1].to_owned(),
            agent: agent.to_owned(),
            state: state.to_owned(),
            reported_state: state.to_owned(),
            ..v1::Unit::default()
        })
    }

    #[test]
    fn units_that_move_and_stop_are_counted() {
        let units = [
            unit("contoso/eastus/1", "e1", "ready"),
            unit("contoso/eastus/2", "e1", "starting"),
            unit("contoso/eastus/3", "e1", "draining"),
            unit("contoso/westus/1", "w1", "ready"),
            unit("contoso/westus/2", "w2", "ready"),
            // Its slot was assigned to another agent before.
            unit("contoso/westus/3", "w3", "ready"),
            unit("contoso/westus/3", "w4", "starting"),
        ];
        for (agent, assigned, text) in [
            ("e1", &["contoso/eastus/1", "contoso/eastus/2"][..], "2 units moving to other agents"),
            (
                "e1",
                &["contoso/eastus/2", "contoso/westus/9"],
                "1 unit moving to other agents, 1 unit stopping: no other agent can run them",
            ),
            (
                "e1",
                &["contoso/westus/9"],
                "2 units stopping: no other agent can run them; no capacity left for contoso in eastus",
            ),
            ("w1", &[], "1 unit stopping: no other agent can run them"),
            ("w3", &[], "1 unit moving to other agents"),
            ("witness", &[], "no units"),
        ] {
            let assigned = assigned.iter().map(ToString::to_string).collect();
            assert_eq!(Impact::of(agent, &units, &assigned).to_string(), text, "{agent}");
        }
    }
}
