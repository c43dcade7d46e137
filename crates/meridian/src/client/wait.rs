//! Waiting until the effect of a change can be seen.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::{LocationView, StatusWord, UnitView};

/// The first pause between two looks; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks: what a person does not notice.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Debug)]
pub enum Goal {
    /// As many units of this service answer as are wanted, everywhere, and serve what it says now.
    ServiceConverged(String),
    /// No unit of this service is left.
    ServiceGone(String),
    /// No unit is left on this agent.
    AgentEmpty(String),
    /// This agent is no member.
    AgentGone(String),
    /// This agent is a member.
    AgentJoined(String),
}

/// Returns once the goal is reached. An agent that cannot answer for a while does not end the wait.
///
/// # Errors
/// If it is not reached within `--wait-timeout`, or cannot be any more.
pub async fn until(
    session: &Session,
    goal: &Goal,
    request_id: Option<&str>,
) -> Result<(), Failure> {
    let limit = session.global.wait_timeout;
    let mut missing = String::from("nobody has answered yet");
    let looking = look(session, goal, &mut missing);
    let cause = tokio::select! {
        looked = timeout_at(Instant::now() + limit, looking) => match looked {
            Ok(reached) => return reached,
            Err(_) => format!("not there yet after {limit:.1?}"),
        },
        _ = tokio::signal::ctrl_c() => "interrupted while waiting".to_owned(),
    };
    let again = match request_id {
        Some(id) => session.command_line.with_request_id(id),
        None => session.command_line.again(),
    };
    Err(Failure::NotConverged {
        cause: format!("the change is done, but {cause}: {missing}"),
        next: format!("wait on with: {again}"),
    })
}

async fn look(session: &Session, goal: &Goal, missing: &mut String) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        session.caller.restart_clock();
        match lacks(session, goal).await {
            Ok(None) => return Ok(()),
            Ok(Some(lack)) => *missing = lack,
            Err(Failure::Unavailable { cause, .. }) => *missing = cause,
            Err(failure) => return Err(failure),
        }
        sleep(pause).await;
        pause = (pause + pause / 2).min(LONGEST_PAUSE);
    }
}

/// What the goal still lacks; none if it is reached.
async fn lacks(session: &Session, goal: &Goal) -> Result<Option<String>, Failure> {
    match goal {
        Goal::ServiceConverged(service) => {
            let locations = lookup::locations(session, service).await?;
            let wanted = wanted_where_disabled(session, service, &locations).await?;
            Ok(list(locations.iter().filter_map(|location| location_lacks(location, wanted))))
        }
        Goal::ServiceGone(service) => units_left(session, service, |_| true).await,
        Goal::AgentEmpty(agent) => units_left(session, "", |unit| unit.agent == *agent).await,
        Goal::AgentGone(agent) => {
            let member = lookup::member(session, agent).await?;
            Ok(member.map(|member| format!("{agent} is still a {}", member.role)))
        }
        Goal::AgentJoined(agent) => match lookup::member(session, agent).await? {
            Some(_) => Ok(None),
            None => Ok(Some(format!("{agent} is not a member"))),
        },
    }
}

/// The configuration that the units of disabled regions are to serve; 0 where there is no such
/// region. Their status says no more than that they are disabled.
async fn wanted_where_disabled(
    session: &Session,
    service: &str,
    locations: &[LocationView],
) -> Result<u64, Failure> {
    if !locations.iter().any(|location| location.status == StatusWord::Disabled) {
        return Ok(0);
    }
    let mut services = lookup::services(session).await?.into_iter();
    let service = services.find(|candidate| candidate.name == service);
    Ok(service.map_or(0, |service| service.configuration))
}

fn location_lacks(location: &LocationView, wanted_where_disabled: u64) -> Option<String> {
    let enough = location.ready_units >= location.units;
    let current = location.configuration.unwrap_or_default() >= wanted_where_disabled;
    match location.status {
        StatusWord::Ready => None,
        StatusWord::Disabled if enough && current => None,
        StatusWord::Converging | StatusWord::Disabled if enough => Some(format!(
            "{} is {}: its units are being replaced, or take over a configuration",
            location.region,
            location.status.as_str()
        )),
        StatusWord::Disabled
        | StatusWord::Converging
        | StatusWord::NoAgent
        | StatusWord::AgentUnreachable
        | StatusWord::Removing
        | StatusWord::Unknown => Some(format!(
            "{} is {} with {} of {} units",
            location.region,
            location.status.as_str(),
            location.ready_units,
            location.units
        )),
    }
}

async fn units_left(
    session: &Session,
    service: &str,
    counts: impl Fn(&UnitView) -> bool,
) -> Result<Option<String>, Failure> {
    match lookup::units(session, service).await {
        Ok(units) => {
            let left = units.into_iter().filter(counts);
            Ok(list(left.map(|unit| format!("{} is {}", unit.unit, unit.state))))
        }
        // A service of which nothing is left is not known any more.
        Err(Failure::Refused { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn list(lacks: impl Iterator<Item = String>) -> Option<String> {
    let lacks: Vec<String> = lacks.collect();
    (!lacks.is_empty()).then(|| lacks.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(status: StatusWord, ready_units: u32) -> LocationView {
        LocationView {
            region: "eastus".to_owned(),
            display_name: "East US".to_owned(),
            primary: false,
            units: 2,
            ready_units,
            zones: vec![],
            gateway_enabled: true,
            status,
            gateway_url: None,
            configuration: (ready_units > 0).then_some(7),
        }
    }

    #[test]
    fn a_disabled_region_has_converged_once_its_units_are_ready_and_know_it() {
        assert_eq!(location_lacks(&location(StatusWord::Disabled, 2), 7), None);
        assert!(location_lacks(&location(StatusWord::Disabled, 2), 8).is_some(), "it serves 7");
        assert!(location_lacks(&location(StatusWord::Disabled, 1), 7).is_some());
    }

    #[test]
    fn any_other_region_has_converged_by_its_status_alone() {
        assert_eq!(location_lacks(&location(StatusWord::Ready, 2), 0), None);
        assert_eq!(
            location_lacks(&location(StatusWord::NoAgent, 0), 0).as_deref(),
            Some("eastus is noAgent with 0 of 2 units")
        );
        assert_eq!(
            location_lacks(&location(StatusWord::Converging, 2), 0).as_deref(),
            Some(
                "eastus is converging: its units are being replaced, or take over a configuration"
            )
        );
        assert!(location_lacks(&location(StatusWord::Removing, 2), 0).is_some());
    }
}
