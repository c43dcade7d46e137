//! Waiting until the effect of a change can be seen.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::{LocationView, MemberView, StatusWord, UnitView, WaitView};

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
    /// No unit is left on this agent, and it does not vote.
    AgentDrained(String),
    /// This agent is no member.
    AgentGone {
        /// Its name.
        agent: String,
        /// Its member id; where it had gone before it could be asked, no removed agent is to be a
        /// member any more.
        id: Option<String>,
    },
    /// This agent is a member.
    AgentJoined(String),
    /// This agent is a member, the leader has nothing to change about it (it votes, if it is to), and
    /// its units answer.
    AgentSettled(String),
}

/// What a goal lacks.
#[derive(Debug)]
struct Lack {
    cause: String,
    /// What can be done about it, where there is more to do than to wait.
    next: Option<String>,
}

impl From<String> for Lack {
    fn from(cause: String) -> Self {
        Self { cause, next: None }
    }
}

impl From<WaitView> for Lack {
    fn from(wait: WaitView) -> Self {
        Self { cause: wait.cause, next: Some(wait.next_step) }
    }
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
    let mut missing = Lack::from(String::from("nobody has answered yet"));
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
        cause: format!("the change is done, but {cause}: {}", missing.cause),
        next: match missing.next {
            Some(next) => format!("{next}; wait on with: {again}"),
            None => format!("wait on with: {again}"),
        },
    })
}

async fn look(session: &Session, goal: &Goal, missing: &mut Lack) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        session.caller.restart_clock();
        match lacks(session, goal).await {
            Ok(None) => return Ok(()),
            Ok(Some(lack)) => *missing = lack,
            Err(Failure::Unavailable { cause, .. }) => *missing = cause.into(),
            Err(failure) => return Err(failure),
        }
        sleep(pause).await;
        pause = (pause + pause / 2).min(LONGEST_PAUSE);
    }
}

/// What the goal still lacks; none if it is reached.
async fn lacks(session: &Session, goal: &Goal) -> Result<Option<Lack>, Failure> {
    let lack = match goal {
        Goal::ServiceConverged(service) => {
            let locations = lookup::locations(session, service).await?;
            let cause = list(locations.iter().filter_map(location_lacks));
            let next = format!("see `meridian unit list --service {service}` for what units lack");
            return Ok(cause.map(|cause| Lack { cause, next: Some(next) }));
        }
        Goal::ServiceGone(service) => units_left(session, service, |_| true).await?,
        Goal::AgentDrained(agent) => {
            let units = units_left(session, "", |unit| unit.agent == *agent).await?;
            let member = lookup::member(session, agent).await?;
            return Ok(units.map(Lack::from).or(member.and_then(vote_left)));
        }
        Goal::AgentGone { agent, id } => {
            let members = lookup::members(session).await?;
            return Ok(members.into_iter().find_map(|member| membership_left(member, agent, id)));
        }
        Goal::AgentJoined(agent) => {
            let member = lookup::member(session, agent).await?;
            member.is_none().then(|| format!("{agent} is not a member"))
        }
        Goal::AgentSettled(agent) => {
            let member = lookup::member(session, agent).await?;
            let starts = |unit: &UnitView| unit.agent == *agent && unit.state != "ready";
            let units = units_left(session, "", starts).await?;
            return Ok(unsettled(agent, member).or(units.map(Lack::from)));
        }
    };
    Ok(lack.map(Lack::from))
}

/// The vote of a drained agent, while it has one.
fn vote_left(member: MemberView) -> Option<Lack> {
    let cause = || format!("{} still votes", member.agent.as_deref().unwrap_or(&member.id));
    member.voter.then(|| member.waits_for.map_or_else(|| cause().into(), Lack::from))
}

/// The member that a removed agent still is.
fn membership_left(member: MemberView, agent: &str, id: &Option<String>) -> Option<Lack> {
    let is_it = match (id, &member.agent) {
        (Some(id), _) => member.id == *id,
        (None, Some(name)) => name == agent,
        (None, None) => true,
    };
    let cause = || format!("{agent} is still a {}", member.role);
    is_it.then(|| member.waits_for.map_or_else(|| cause().into(), Lack::from))
}

fn unsettled(agent: &str, member: Option<MemberView>) -> Option<Lack> {
    let Some(member) = member else {
        return Some(format!("{agent} is not a member").into());
    };
    let cause = || match &member.next {
        Some(next) => format!("{agent} is a {}, and the next step is {next}", member.role),
        None => format!("{agent} is a {}, and no leader says whether it stays one", member.role),
    };
    (!member.stays()).then(|| member.waits_for.map_or_else(|| cause().into(), Lack::from))
}

fn location_lacks(location: &LocationView) -> Option<String> {
    let (ready, wanted) = (location.ready_units, location.units);
    let lack = match location.status {
        StatusWord::Ready => return None,
        // The status of a disabled region says no more than that it is disabled.
        StatusWord::Disabled if location.converged => return None,
        StatusWord::Converging | StatusWord::Disabled if ready >= wanted => format!(
            "{} is {}: its units are being replaced, or take over a configuration",
            location.region,
            location.status.as_str()
        ),
        StatusWord::Disabled
        | StatusWord::Converging
        | StatusWord::NoAgent
        | StatusWord::AgentUnreachable
        | StatusWord::Removing
        | StatusWord::Unknown => format!(
            "{} is {} with {ready} of {wanted} units",
            location.region,
            location.status.as_str()
        ),
    };
    Some(match &location.blocked_reason {
        Some(blocked_reason) => format!("{lack} ({blocked_reason})"),
        None => lack,
    })
}

async fn units_left(
    session: &Session,
    service: &str,
    counts: impl Fn(&UnitView) -> bool,
) -> Result<Option<String>, Failure> {
    match lookup::units(session, service).await {
        Ok(units) => {
            let left = units.into_iter().filter(counts);
            let lack = |unit: UnitView| match unit.cause {
                Some(cause) => format!("{} is {}: {cause}", unit.unit, unit.state),
                None => format!("{} is {}", unit.unit, unit.state),
            };
            Ok(list(left.map(lack)))
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

    fn location(status: StatusWord, ready_units: u32, converged: bool) -> LocationView {
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
            converged,
            blocked_reason: None,
        }
    }

    #[test]
    fn a_disabled_region_has_converged_once_its_units_have() {
        assert_eq!(location_lacks(&location(StatusWord::Disabled, 2, true)), None);
        assert!(location_lacks(&location(StatusWord::Disabled, 2, false)).is_some(), "rolls");
        assert!(location_lacks(&location(StatusWord::Disabled, 1, false)).is_some());
    }

    #[test]
    fn any_other_region_has_converged_by_its_status_alone() {
        assert_eq!(location_lacks(&location(StatusWord::Ready, 2, true)), None);
        assert_eq!(
            location_lacks(&location(StatusWord::NoAgent, 0, false)).as_deref(),
            Some("eastus is noAgent with 0 of 2 units")
        );
        assert_eq!(
            location_lacks(&location(StatusWord::Converging, 2, false)).as_deref(),
            Some(
                "eastus is converging: its units are being replaced, or take over a configuration"
            )
        );
        assert!(location_lacks(&location(StatusWord::Removing, 2, false)).is_some());
    }

    #[test]
    fn what_keeps_a_region_from_converging_is_said() {
        let mut failing = location(StatusWord::Converging, 1, false);
        failing.blocked_reason = Some("contoso/eastus/2 on b: exit code 1".to_owned());
        assert_eq!(
            location_lacks(&failing).as_deref(),
            Some("eastus is converging with 1 of 2 units (contoso/eastus/2 on b: exit code 1)")
        );
    }
}
