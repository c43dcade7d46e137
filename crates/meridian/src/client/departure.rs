//! What becomes of the units of an agent that is to be drained or removed, said before it happens.

use std::collections::BTreeSet;
use std::fmt;

use meridian_proto::v1;

use super::call::Kind;
use super::confirm;
use super::contract;
use super::explain::{Asked, explain};
use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::UnitView;

/// Asks whether to go on with `what`, and says what it does to the units of `agent`. A dry run, which
/// asks nobody, is told it, too.
///
/// # Errors
/// As [`confirm::confirm`], and if nobody can say what would become of the units.
pub async fn confirm(session: &Session, agent: &str, what: &str) -> Result<(), Failure> {
    if session.global.dry_run {
        anstream::eprintln!("agent {agent}: {}", foresee(session, agent).await?);
        return Ok(());
    }
    if !confirm::is_asked(session) {
        return confirm::confirm(session, what);
    }
    confirm::confirm(session, &format!("{what}: {}", foresee(session, agent).await?))
}

/// Without the agent, a drain and a removal place the same units in the same way.
async fn foresee(session: &Session, agent: &str) -> Result<Fate, Failure> {
    let context =
        v1::ChangeContext { request_id: String::new(), dry_run: true, ..session.context() };
    let request = v1::RemoveAgentRequest { context: Some(context), agent: agent.to_owned() };
    let asked = Asked { kind: Kind::Read, request_id: None, command_line: &session.command_line };
    let calling = session.caller.call(Kind::Read, request, async |channel, request| {
        contract::cluster(channel).remove_agent(request).await
    });
    let events = calling.await.map_err(|error| explain(error, &asked))?.events;
    let successors = events.iter().filter(|event| event.r#type == "UnitAssigned").count();
    Ok(Fate::of(agent, &lookup::units(session, "").await?, successors))
}

/// What becomes of the units of one agent.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    units: usize,
    /// How many of them others take over.
    moving: usize,
    /// Services with the regions in which they have no unit any more.
    left_without: BTreeSet<String>,
}

impl Fate {
    fn of(agent: &str, all: &[UnitView], successors: usize) -> Self {
        let wanted = || all.iter().filter(|unit| unit.state != "draining");
        let own: Vec<&UnitView> = wanted().filter(|unit| unit.agent == agent).collect();
        let moving = successors.min(own.len());
        let stays = |place: &UnitView| {
            wanted().any(|unit| {
                unit.agent != agent
                    && (&unit.service, &unit.region) == (&place.service, &place.region)
            })
        };
        let alone = own.iter().filter(|unit| moving == 0 && !stays(unit));
        let left_without = alone.map(|unit| format!("{} in {}", unit.service, unit.region));
        Self { units: own.len(), moving, left_without: left_without.collect() }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, moving) = (self.units, self.moving);
        match (moving, units - moving) {
            (0, 0) => return f.write_str("it has no units"),
            (_, 0) => write!(f, "units that move to other agents: {units}")?,
            (0, _) => write!(f, "units that stop, for no other agent can run them: {units}")?,
            (_, stopping) => write!(
                f,
                "units that move to other agents: {moving}; that stop, for none can run them: \
                 {stopping}"
            )?,
        }
        if !self.left_without.is_empty() {
            let places: Vec<&str> = self.left_without.iter().map(String::as_str).collect();
            write!(f, "; nothing is left of {}", places.join(", "))?;
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
            ..v1::Unit::default()
        })
    }

    #[test]
    fn what_becomes_of_the_units_is_counted() {
        let units = [
            unit("contoso/eastus/1", "e1", "ready"),
            unit("contoso/eastus/2", "e1", "starting"),
            unit("contoso/eastus/3", "e1", "draining"),
            unit("contoso/westus/1", "w1", "ready"),
            unit("contoso/westus/2", "w2", "ready"),
        ];
        for (agent, successors, said) in [
            ("e1", 2, "units that move to other agents: 2"),
            ("e1", 1, "units that move to other agents: 1; that stop, for none can run them: 1"),
            (
                "e1",
                0,
                "units that stop, for no other agent can run them: 2; nothing is left of contoso in \
                 eastus",
            ),
            ("w1", 0, "units that stop, for no other agent can run them: 1"),
            ("witness", 0, "it has no units"),
        ] {
            assert_eq!(Fate::of(agent, &units, successors).to_string(), said, "{agent}");
        }
    }
}
